//! The `tidemark-bench` command: measures Tidemark beside a plain loop that does the same work and nothing else.
//!
//! Decides what is run and how it is shown. Reports slowness and never fails because of it.

mod contacts;
mod database;
mod edits;
mod fast_crm;
mod inbound;
mod installation;
mod machine;
mod pages;
mod process;
mod product;
mod reference;
mod search;
mod shop;
mod summary;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Tidemark beside a plain loop that does the same work and nothing else. Needs Linux: figures come from /proc.
#[derive(Parser)]
#[command(name = "tidemark-bench", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Inbound(inbound::Options),
    Serve(fast_crm::Options),
    Reference(reference::Options),
    Pages(pages::Options),
    Edits(edits::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidemark-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> eyre::Result<()> {
    // One thread: the server is to leave the other cores to what is measured, and the loop is at its cheapest so.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match verb {
            Verb::Inbound(options) => inbound::run(&options).await,
            Verb::Serve(options) => fast_crm::run(&options).await,
            Verb::Reference(options) => reference::run(&options).await,
            Verb::Pages(options) => pages::run(&options).await,
            Verb::Edits(options) => edits::run(&options).await,
        }
    })
}

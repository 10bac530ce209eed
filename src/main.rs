//! The `tidemark` command: composition only. Each verb has a file of its own; what they share is in `compose`.

mod cli;
mod compose;
mod demo;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(verbs::run(args)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// One error, with its causes, for a person.
fn fail(error: &eyre::Report) -> ExitCode {
    let mut words = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words.push_str("\n  because: ");
            words.push_str(&cause);
        }
    }
    eprintln!("tidemark: {words}");
    ExitCode::FAILURE
}

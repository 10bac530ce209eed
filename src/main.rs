//! The `tidemark` command: composition only. Each verb has a file of its own; what they share is in `compose`.

mod cli;
mod compose;
mod demo;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = match cli::Args::try_parse() {
        Ok(args) => args,
        Err(asked) => return answer(&asked),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(verbs::run(args)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// Help and version, or what was not understood. That is exit code 1, for 2 says that the sides differ.
fn answer(asked: &clap::Error) -> ExitCode {
    // A reader that went away has seen enough.
    let _ = asked.print();
    if asked.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
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

//! The one binary of Tollgate: `dev`, `control`, `node`, and the operator's verbs.
//!
//! This file parses, runs the verb and turns its outcome into an exit code: 0 done, 1 failed, 2 not called
//! rightly, 64 configured wrongly. Each verb is one file under `verbs/`.

mod caller;
mod cli;
mod config;
mod duration;
mod error;
mod files;
mod json;
mod listen;
mod memory;
mod operator;
mod ops;
mod output;
mod prompt;
mod remote;
mod secret;
mod service;
mod shadows;
mod signals;
mod status;
mod table;
mod verbs;

use std::process::ExitCode;

use error::Error;

fn main() -> ExitCode {
    let cli = match config::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(config::Error::Usage(error)) => return usage(&error),
        Err(config::Error::File(message)) => return failed(&Error::Config(message)),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn run(cli: cli::Cli) -> Result<(), Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if matches!(cli.verb, cli::Verb::Node(_)) {
        // Callers have threads of their own. What remains is little, and two threads would wake each other for it.
        builder.worker_threads(1);
    }
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Error::Failed(format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(verbs::run(cli.verb));
    // Whatever still runs has had its time to drain; a blocking read must not hold the process.
    runtime.shutdown_background();
    outcome
}

fn usage(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    match error.print() {
        Ok(()) => ExitCode::from(code),
        Err(_closed) => ExitCode::from(code.max(1)),
    }
}

fn failed(error: &Error) -> ExitCode {
    // A reader that went away, such as `head`, has had what it wanted.
    if error.exit_code() != 0 {
        output::note(&format!("tollgate: {error}"));
    }
    ExitCode::from(error.exit_code())
}

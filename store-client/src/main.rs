//! The command `message-store`: fill a store, empty it, look at it, measure it.

mod command;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match command::run(command::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("message-store: {error}");
            ExitCode::FAILURE
        }
    }
}

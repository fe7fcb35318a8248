//! The command `benches`: see `--help` and `benches/README.md`.

use benches::options::Options;
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match benches::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("benches: {failure}");
            ExitCode::FAILURE
        }
    }
}

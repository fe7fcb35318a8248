//! The binary `raidb`: command line → configuration → proxy.

use std::process::ExitCode;

fn main() -> ExitCode {
    raidb::cli::main()
}

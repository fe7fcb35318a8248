//! The binary `raidb`: command line → configuration → proxy.

use std::process::ExitCode;

/// The proxy allocates small things per message; this allocator takes about a tenth off its own work there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    raidb::cli::main()
}

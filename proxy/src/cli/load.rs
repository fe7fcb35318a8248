//! Reads the configuration file, or says everything that is wrong with it.

use std::path::Path;
use std::process::ExitCode;

use raidb_core::config::Config;

use super::EXIT_USAGE;

/// The configuration, or the exit code after the message has been printed.
pub(super) fn load(file: &Path) -> Result<Config, ExitCode> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        eprintln!("raidb: cannot read {}: {error}", file.display());
        ExitCode::from(EXIT_USAGE)
    })?;
    let base_dir = file.parent().unwrap_or(Path::new(""));
    Config::parse(&text, base_dir).map_err(|errors| {
        eprintln!("raidb: {}: {errors}", file.display());
        ExitCode::from(EXIT_USAGE)
    })
}

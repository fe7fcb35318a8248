//! `raidb run`.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use raidb_core::config::Config;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::EXIT_USAGE;
use super::load::load;
use crate::server;

/// Runs the proxy until SIGTERM or Ctrl-C.
pub(super) async fn run(file: &Path, adopt: &[String]) -> ExitCode {
    let mut config = match load(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(unknown) = note_adopt(&mut config, adopt) {
        eprintln!("raidb: --adopt: there is no member \"{unknown}\" in {}", file.display());
        return EXIT_USAGE.into();
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let (interrupt, terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("raidb: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shutdown = async move {
        let (mut interrupt, mut terminate) = (interrupt, terminate);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    match server::run(config, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raidb: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells each virtual database which of its members were named; the error is a name that none has.
fn note_adopt(config: &mut Config, adopt: &[String]) -> Result<(), String> {
    for name in adopt {
        let mut known = false;
        for database in &mut config.virtual_databases {
            if database.members.iter().any(|member| member.name == *name) {
                database.adopt.push(name.clone());
                known = true;
            }
        }
        if !known {
            return Err(name.clone());
        }
    }
    Ok(())
}

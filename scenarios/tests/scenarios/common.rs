//! Runs a scenario as a test: one at a time (they share two cores), in a runtime of its own.

use std::sync::{Mutex, PoisonError};

use scenarios::{Options, scenario};

/// Scenarios take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `name` in its short form and panics with the failure's text.
///
/// `RAIDB_SCENARIOS_BARE=1` runs it against one bare PostgreSQL, to check the scenario itself; those that cannot are
/// passed over.
pub(crate) fn run(name: &str, options: Options) {
    // A scenario that failed says nothing about the next one.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bare = std::env::var_os("RAIDB_SCENARIOS_BARE").is_some();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    match runtime.block_on(scenario::run(name, Options { bare, ..options })) {
        Ok(summary) => println!("{name}: {summary}"),
        Err(failure) if bare && failure.to_string().contains("--bare") => {
            println!("{name}: not without the proxy")
        }
        Err(failure) => panic!("{name}: {failure}"),
    }
}

//! The scenarios, one file each, and the table that names them.

mod pgbench_freeze_lead;
mod pgbench_kill_lead;
mod pgbench_plain;

use futures::future::BoxFuture;

use crate::{Options, Result, Summary, fail};

/// One entry of the table.
pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    run: fn(Options) -> BoxFuture<'static, Result<Summary>>,
}

/// Declares the table: name, module, one line.
macro_rules! table {
    ($($name:ident: $about:literal,)*) => {
        /// All scenarios.
        pub const ALL: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            about: $about,
            run: |options| Box::pin($name::run(options)),
        }),*];
    };
}

table! {
    pgbench_plain: "pgbench TPC-B simple, extended, prepared: 0 failed, members equal",
    pgbench_kill_lead: "kill -9 of the lead and of the next lead under TPC-B: 0 errors, nothing lost, pause below 1 s",
    pgbench_freeze_lead: "SIGSTOP of the lead under TPC-B: 0 errors, nothing lost, pause below member_timeout + 1 s",
}

/// Runs the scenario `name` once.
///
/// # Errors
/// There is no such scenario, or it failed.
pub async fn run(name: &str, options: Options) -> Result<Summary> {
    match ALL.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => (scenario.run)(options).await,
        None => fail(format!("no scenario {name}: see `scenarios list`")),
    }
}

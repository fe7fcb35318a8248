//! The scenarios, one file each, and the table that names them.

mod activemq_faults;
mod activemq_kill;
mod activemq_takeover;
mod advisory_locks;
mod applications;
mod bad_input;
mod big_result;
mod chaos;
mod checked;
mod churn;
mod crash_points;
mod crash_points_commit;
mod crash_points_log;
mod crash_points_members;
mod crash_points_start;
mod cut_at_commit;
mod cut_at_once;
mod cut_combined;
mod cut_serializable;
mod differential;
mod django;
mod explain_route;
mod hermitage;
mod hidden_writes;
mod hot_rows;
mod jdbc;
mod killed_rejoining;
mod last_member;
mod list_append;
mod lock_forever;
mod log_limit;
mod log_lost;
mod long_fork;
mod member_add;
mod model_delayed;
mod model_keyed;
mod node_postgres;
mod notifications;
mod outcome_tokens;
mod overtaken;
mod pg_dump;
mod pgbench_freeze_lead;
mod pgbench_kill_lead;
mod pgbench_plain;
mod psql;
mod psycopg;
mod regressions;
mod rejoin_under_load;
mod restart_keeps_disabled;
mod single_row_verdicts;
mod slow_client;
mod sqlalchemy;
mod tls_scram;
mod tokio_client;
mod uncertified;

use checked::{bank, locks, messages, registers, unique_inserts};
use differential::oracles;
use futures::future::BoxFuture;

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, Member};
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
    model_keyed: "the original model's statements with delayed followers: members equal, nobody disabled, no hang",
    model_delayed: "the grown model with delayed followers: members equal, nobody disabled, no hang, no last resort",
    hidden_writes: "triggers, rules, functions, procedures, DO, MERGE, writing CTEs; faults: members equal",
    hot_rows: "clients update the same ten rows in random order: only 40P01, no hang, members equal",
    lock_forever: "an endless lock transaction survives the loss of the lead and holds up nobody else",
    restart_keeps_disabled: "a disabled member stays disabled over restarts of the proxy, though it is back",
    advisory_locks: "advisory locks in all forms, a lock service, leads killed under competition: never two holders, no hang",
    notifications: "LISTEN and NOTIFY: order, savepoints, process ids, kills of the lead: each exactly once",
    last_member: "all but one die: goes on; the last dies: 57P03; it returns: goes on",
    outcome_tokens: "what is told of a named transaction is what became of it: lost clients, kill -9 of the proxy",
    log_lost: "the proxy and its log are gone: members made equal row by row, no stale one adopted, nothing lost",
    regressions: "bugs that were found and fixed, one case each: members equal, nobody disabled",
    explain_route: "EXPLAIN ROUTE and raidb explain run nothing and say what is done; unsafe_statement reject and warn",
    single_row_verdicts: "rows changed behind the proxy's back, found by one-row commits: the right member is disabled",
    chaos: "members and proxy killed and frozen under a mixed load, cycle by cycle: nothing lost, members equal, all back",
    crash_points_commit: "the proxy dies at every point of a commit: nothing lost, nothing by halves, members equal",
    crash_points_members: "the proxy dies at every point of a member's leaving and return, and in the recovery: as above",
    killed_rejoining: "a member that comes back dies at every point of its return, and starts again: nothing lost, members equal",
    crash_points_start: "the proxy dies at every point of its start, twice in a row: as above",
    crash_points_log: "the proxy dies at every point of a truncation; full disk, failed flush, short write: as above",
    cut_at_commit: "a session's connections are cut between agreement and COMMIT: no wrong answer, members equal",
    cut_combined: "the same for INSERTs of several sessions that run as one transaction",
    cut_at_once: "the same for single INSERTs, of which no follower has heard before the decision",
    overtaken: "locks lost with the connection at the moment of COMMIT: nobody is decided out of order, members equal",
    churn: "clients come, write, COPY and go while members are taken out and brought back: no hang, nothing lost or twice",
    cut_serializable: "the same for serializable transactions, of which the lead's COMMIT decides",
    uncertified: "a lead is frozen while it certifies and carries out what was aborted: it becomes a copy of another member by itself",
    list_append: "histories at each isolation level, also under faults: no anomaly that the level forbids, nothing lost",
    hermitage: "the Hermitage cases at each isolation level: each step answers and waits as on one PostgreSQL",
    bank: "transfers at each level, reads on any member, members killed and frozen: every read has the same total",
    registers: "read, write and swap by key, members killed and frozen: the history of each key is that of one copy",
    locks: "row locks and leases, members killed and frozen: at most one holder at any time",
    unique_inserts: "keys that are used once, members killed and frozen: what was acknowledged is there, nothing else",
    messages: "the store client, members killed and frozen: each message is in one place, nothing lost, nothing doubled",
    long_fork: "reads outside transactions, on all members: one order of all writes, nothing acknowledged is missed",
    rejoin_under_load: "a member that was away catches up under full load: no client error, members equal",
    log_limit: "the log outgrows log.size_max: an open COPY keeps its rows; a member that is away is left behind, and rebuilt",
    member_add: "members are added under load, a build is killed half-way: no client error, nobody half-built serves, members equal",
    differential: "a corpus of SQL on one bare server and through the proxy: the same answers, members equal",
    oracles: "the same corpus on one bare server: what is judged a read writes nothing, what is replicated writes what was declared",
    psql: "psql: describe, \\copy, several statements, positions of errors, notices, cursors",
    pg_dump: "pg_dump through the proxy beside writes, what it saves is put back: the same as a member's, members equal",
    psycopg: "a Python application with psycopg 3",
    sqlalchemy: "a Python application on SQLAlchemy: Alembic's migrations, mapper, Core; as on a bare PostgreSQL",
    django: "a Django project: makemigrations, migrate, models, admin site, manage.py; as on a bare PostgreSQL",
    node_postgres: "a JavaScript application on node-postgres; as on a bare PostgreSQL",
    jdbc: "a Java application with the stock JDBC driver",
    tokio_client: "a Rust client: pipelines, COPY, cancel, portals, notices, LATIN1 text",
    tls_scram: "TLS and SCRAM-SHA-256 from the client and towards the members; wrong passwords",
    bad_input: "bytes that no client should send; another session notices nothing",
    big_result: "a result of 1 GB through bounded memory",
    slow_client: "clients that do not read hold up nobody and disable nobody",
    activemq_kill: "ActiveMQ, both lockers, a member dies in the middle: nothing lost, nothing twice, no send error",
    activemq_faults: "two brokers, both lockers, a fault every 20 s: members, links, proxy, brokers: nothing lost, one master",
    activemq_takeover: "two brokers on the default locker: the second takes over, also after the loss of the lead",
}

/// Scenarios that count their cycles themselves, all in one set-up.
pub const COUNTS_CYCLES: &[&str] = &["chaos"];

/// Scenarios that run against an installation that is somebody's own as well.
pub const AGAINST: &[&str] = &["bank", "registers", "locks", "unique_inserts", "messages"];

/// Runs the scenario `name` once.
///
/// # Errors
/// There is no such scenario, or it failed.
pub async fn run(name: &str, options: Options) -> Result<Summary> {
    if options.against.is_some() && !AGAINST.contains(&name) {
        return fail(format!("{name} starts what it breaks: --against is for {}", AGAINST.join(", ")));
    }
    match ALL.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => (scenario.run)(options).await,
        None => fail(format!("no scenario {name}: see `scenarios list`")),
    }
}

/// How every scenario without a fault ends: all members enabled and equal. Returns the rows that each holds.
async fn ending(cluster: &Cluster) -> Result<u64> {
    cluster.expect_all_enabled().await?;
    let members: Vec<&Member> = cluster.members.iter().collect();
    members_equal(&members, EqualityOptions::default()).await
}

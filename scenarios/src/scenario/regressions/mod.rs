//! Bugs that were found and fixed: one file each, against three real members, each ending in member equality.
//!
//! All run, and all failures are told together. `RAIDB_REGRESSIONS=name,name` runs only those.

mod advisory_in_functions;
mod cancel_in_time;
mod cancel_storm;
mod captured_in_latin1;
mod characteristics_kept;
mod client_not_reading;
mod combined_inserts;
mod committed_then_cut;
mod concurrently;
mod constants_behind_set;
mod copy_cancelled;
mod copy_fails_at_start;
mod copy_imaged;
mod copy_imaged_over_kills;
mod copy_out_of_step;
mod copy_pipelined;
mod copy_undone_beside_advisory;
mod ddl_beside_lock;
mod ddl_lead_frozen;
mod ddl_outcome_unknown;
mod ddl_overtakes;
mod deallocate_parsed;
mod discard_over_lead_kill;
mod dummy_update_over_lead_kill;
mod error_at_flush;
mod errors_in_order;
mod execute_means_what_it_meant;
mod execute_redone_at_start;
mod filled_over_lead_kill;
mod follower_dies_idle;
mod for_update_over_lead_change;
mod full_batch;
mod held_cursors;
mod hidden_at_commit;
mod hidden_from_probes;
mod hidden_in_cursors;
mod hidden_in_queries;
mod hidden_row_locks;
mod lead_cut_at_deferred_commit;
mod leave_unrecorded;
mod limits_not_at_commit;
mod literals_as_parameters;
mod locked_under_snapshot;
mod locks_lost_while_reading;
mod lost_before_sync;
mod meaning_refused;
mod named_not_locked;
mod notifications_flow;
mod notified_by_functions;
mod parameter_status_at_commit;
mod portal_behind_setting;
mod portal_runs_again;
mod prepare_in_transaction;
mod read_only_with_settings;
mod row_too_large_to_capture;
mod same_name_other_statement;
mod savepoint_gives_back;
mod sequences_of_failed;
mod serial_over_lead_kill;
mod serial_restarted;
mod serializable_lone_read;
mod serialization_hint;
mod set_config_again;
mod set_in_transaction_redone;
mod set_local_search_path;
mod settings_on_a_new_link;
mod standard_conforming_off;
pub(super) mod support;
mod temporary_beside_images;
mod temporary_copy_over_lead_kill;
mod temporary_names;
mod temporary_over_lead_kill;
mod temporary_redone;
mod temporary_shadowed;
mod terminated_follower;
mod terminated_lead;
mod terminated_line;
mod text_parameter_now;
mod time_limit_in_transaction;
mod token_of_locks_redone;
mod two_phase;
mod two_phase_refused;
mod unnamed_statement;
mod unreadable_message;

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::time::timeout;

use crate::checkers::{EqualityOptions, hang_report, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Delay, Member};
use crate::{Options, Result, Summary, fail};

/// What one case may take before it counts as hung.
const CASE_LIMIT: Duration = Duration::from_secs(30);

/// Which members a case runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Setup {
    /// Those of the case before: it harms none, and its tables are its own.
    Shared,
    /// Its own, since it kills one.
    Own,
    /// Its own, with relays before the followers.
    Relayed,
    /// Its own, with few connections to members.
    Narrow,
    /// Its own, on which transactions can be prepared.
    Prepared,
}

struct Case {
    name: &'static str,
    setup: Setup,
    run: for<'a> fn(&'a mut Cluster) -> BoxFuture<'a, Result<()>>,
}

/// Declares the table: set-up, module.
macro_rules! cases {
    ($($setup:ident $name:ident,)*) => {
        const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            setup: Setup::$setup,
            run: |cluster| Box::pin($name::run(cluster)),
        }),*];
    };
}

cases! {
    Shared terminated_follower,
    Shared terminated_lead,
    Shared lead_cut_at_deferred_commit,
    Shared lost_before_sync,
    Shared follower_dies_idle,
    Shared row_too_large_to_capture,
    Shared set_local_search_path,
    Shared set_config_again,
    Shared set_in_transaction_redone,
    Shared settings_on_a_new_link,
    Shared standard_conforming_off,
    Shared ddl_overtakes,
    Shared copy_fails_at_start,
    Shared copy_imaged,
    Shared sequences_of_failed,
    Shared unnamed_statement,
    Shared error_at_flush,
    Shared deallocate_parsed,
    Shared prepare_in_transaction,
    Shared execute_means_what_it_meant,
    Shared parameter_status_at_commit,
    Shared text_parameter_now,
    Shared cancel_in_time,
    Shared cancel_storm,
    Shared literals_as_parameters,
    Shared locked_under_snapshot,
    Shared savepoint_gives_back,
    Shared named_not_locked,
    Shared full_batch,
    Shared serializable_lone_read,
    Shared serialization_hint,
    Shared unreadable_message,
    Shared combined_inserts,
    Shared constants_behind_set,
    Shared ddl_beside_lock,
    Shared captured_in_latin1,
    Shared characteristics_kept,
    Shared limits_not_at_commit,
    Shared time_limit_in_transaction,
    Shared meaning_refused,
    Shared held_cursors,
    Shared hidden_at_commit,
    Shared hidden_from_probes,
    Shared hidden_row_locks,
    Shared hidden_in_cursors,
    Shared hidden_in_queries,
    Shared advisory_in_functions,
    Shared locks_lost_while_reading,
    Shared notifications_flow,
    Shared read_only_with_settings,
    Shared copy_pipelined,
    Shared copy_out_of_step,
    Shared copy_cancelled,
    Shared errors_in_order,
    Shared portal_behind_setting,
    Shared portal_runs_again,
    Shared concurrently,
    Shared two_phase,
    Shared notified_by_functions,
    Own token_of_locks_redone,
    Own copy_undone_beside_advisory,
    Own temporary_shadowed,
    Own temporary_copy_over_lead_kill,
    Own discard_over_lead_kill,
    Own dummy_update_over_lead_kill,
    Own ddl_lead_frozen,
    Own ddl_outcome_unknown,
    Own serial_over_lead_kill,
    Own filled_over_lead_kill,
    Own copy_imaged_over_kills,
    Own serial_restarted,
    Own temporary_beside_images,
    Own temporary_names,
    Own temporary_redone,
    Own temporary_over_lead_kill,
    Own execute_redone_at_start,
    Own client_not_reading,
    Own leave_unrecorded,
    Own terminated_line,
    Narrow same_name_other_statement,
    Prepared two_phase_refused,
    Relayed committed_then_cut,
    Relayed for_update_over_lead_change,
}

pub(super) async fn run(options: Options) -> Result<Summary> {
    let wanted = std::env::var("RAIDB_REGRESSIONS").unwrap_or_default();
    let is_wanted = |case: &&Case| wanted.is_empty() || wanted.split(',').any(|name| name == case.name);
    let mut shared: Option<Cluster> = None;
    let mut failures = Vec::new();
    let (mut passed, mut passed_over) = (0, 0);
    for case in CASES.iter().filter(is_wanted) {
        let mut cluster = match shared.take().filter(|_| case.setup == Setup::Shared) {
            Some(cluster) => cluster,
            None => start(&options, case.setup).await?,
        };
        let begun = Instant::now();
        match run_case(case, &mut cluster).await {
            Ok(()) => {
                passed += 1;
                shared = (case.setup == Setup::Shared).then_some(cluster);
            }
            Err(failure) if options.bare && failure.to_string().contains("--bare") => {
                passed_over += 1;
                shared = Some(cluster);
            }
            // What a failed case leaves behind says nothing about the next one.
            Err(failure) => failures.push(format!("{}: {failure}", case.name)),
        }
        eprintln!("  {} {:.1}s", case.name, begun.elapsed().as_secs_f64());
    }
    if failures.is_empty() {
        return Ok(Summary::default().with("cases", passed).with("passed_over", passed_over));
    }
    fail(format!("{} of {} cases failed\n{}", failures.len(), failures.len() + passed, failures.join("\n")))
}

async fn start(options: &Options, setup: Setup) -> Result<Cluster> {
    let follower_delay = (setup == Setup::Relayed).then_some(Delay::NONE);
    let few = format!("max_connections_per_member = {}", same_name_other_statement::CLIENTS);
    let virtual_database = if setup == Setup::Narrow { vec![few] } else { Vec::new() };
    let prepared = "max_prepared_transactions = 10".to_owned();
    let member_settings = if setup == Setup::Prepared { vec![prepared] } else { Vec::new() };
    let setup = ClusterOptions { follower_delay, virtual_database, member_settings, ..ClusterOptions::default() };
    Cluster::start(options, setup).await
}

async fn run_case(case: &Case, cluster: &mut Cluster) -> Result<()> {
    let Ok(result) = timeout(CASE_LIMIT, (case.run)(cluster)).await else {
        return fail(format!("no end within {CASE_LIMIT:?}:\n{}", hang_report(cluster).await));
    };
    // Both may be wrong, and each explains the other.
    match (result, ending(cluster).await) {
        (Ok(()), ending) => ending,
        (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(ending)) if ending.to_string() == failure.to_string() => Err(failure),
        (Err(failure), Err(ending)) => fail(format!("{failure}\nand {ending}")),
    }
}

/// Members that the case did not kill are enabled and equal; those that it killed are not enabled; nothing panicked.
async fn ending(cluster: &Cluster) -> Result<()> {
    let states = cluster.member_states().await?;
    for (member, (_, state)) in cluster.members.iter().zip(&states) {
        if member.pid().is_some() != (state == "enabled") {
            return fail(format!("{} is {state}: {}", member.name(), cluster.proxy()?.status().await?));
        }
    }
    if let Some(proxy) = &cluster.proxy {
        let panics = proxy.panics()?;
        if !panics.is_empty() {
            return fail(format!("the proxy panicked: {panics:?}"));
        }
    }
    let living: Vec<&Member> = cluster.members.iter().filter(|member| member.pid().is_some()).collect();
    members_equal(&living, EqualityOptions::default()).await.map(drop)
}

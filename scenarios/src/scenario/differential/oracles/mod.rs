//! Two oracles for the analysis, on one bare server and without a proxy: the corpus of [`super`] and its generated statements are
//! analysed, each right before it runs and with the server's own catalog, and then held against what the server says:
//!
//! 1. *what is judged a read is one*: a proven read is also run in a READ ONLY transaction. SQLSTATE 25006 there is a finding; so is a
//!    row, a sequence or a transaction id that a read uses, proven or probed, where it is not refused there;
//! 2. *what is written was declared*: of each statement that is replicated, the tables, sequences and changes of the schema
//!    that the server counts (`pg_stat_get_xact_tuples_…`) are among those that the analysis names, or its foreign keys and
//!    inheritance lead to. An imaged statement may write anything: the session finds that as this oracle does.
//!
//! `--transactions N` makes 20 × N generated statements, `--only A,B` runs topics whose names contain one of these.

mod declared;
mod facts;
mod report;
mod session;
mod written;

use std::collections::BTreeMap;

use raidb_core::sql::split::split;

use super::corpus::{self, KnownBug, Statement, Step, Topic};
use super::{GENERATED_PER_TRANSACTION, environment, generator};
use crate::cluster::{Cluster, ClusterOptions};
use crate::sql::Endpoint;
use crate::{Options, Result, Summary, fail};
use report::Report;
use session::{Session, Shared};

/// Runs the scenario.
///
/// # Errors
/// A finding, or the server does not work.
pub(in crate::scenario) async fn run(options: Options) -> Result<Summary> {
    let mut topics = corpus::read()?;
    topics.extend(generator::topics(
        options.seed,
        options.transactions * GENERATED_PER_TRANSACTION,
        generator::Mix::Wide,
    ));
    if let Some(only) = &options.only {
        topics.retain(|topic| only.split(',').any(|part| topic.name.contains(part)));
    }
    let setup = ClusterOptions { member_settings: environment::settings(), ..ClusterOptions::default() };
    let cluster = Cluster::start(&Options { bare: true, ..options.clone() }, setup).await?;
    let mut report = Report::default();
    for topic in &topics {
        one(&cluster.endpoint(), topic, &mut report).await.map_err(|failure| failure.during(topic.name.clone()))?;
    }
    println!("{}", report.table());
    let summary = report.summary();
    if options.only.is_none() && report.is_vacuous() {
        return fail(format!("{summary}: nothing was looked at"));
    }
    if report.findings().is_empty() { Ok(summary) } else { fail(format!("{summary}\n{}", report.findings())) }
}

/// Runs one topic in a schema of its own.
async fn one(endpoint: &Endpoint, topic: &Topic, report: &mut Report) -> Result<()> {
    let schema = topic.schema();
    endpoint.execute(&format!("drop schema if exists {schema} cascade; create schema {schema}")).await?;
    let mut asking = super::client::Client::connect(endpoint, &schema).await?;
    let builtins = facts::builtins(&mut asking).await?;
    let catalog = facts::catalog(&mut asking, false, &builtins).await?;
    asking.close().await;
    let mut shared = Shared { builtins, catalog, stale: false };
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    for step in &topic.steps {
        let statement = match step {
            Step::Run(statement) if !matches!(statement.known, Some(KnownBug::NotRun(_))) => statement,
            Step::Run(_) => continue,
            Step::Close(name) => {
                if let Some(session) = sessions.remove(name) {
                    session.close().await;
                }
                continue;
            }
        };
        let mut session = match sessions.remove(&statement.session) {
            Some(session) => session,
            None => Session::open(endpoint, &schema).await?,
        };
        let mut alive = true;
        for piece in pieces(statement) {
            match session.run(&piece, &mut shared).await {
                Ok(verdict) => report.add(topic, &piece, verdict),
                // The statement has ended its own connection, which the corpus does on purpose.
                Err(failure) => {
                    report.lost(topic, &piece, &failure);
                    alive = false;
                    break;
                }
            }
        }
        if alive {
            sessions.insert(statement.session.clone(), session);
        }
    }
    for session in sessions.into_values() {
        session.close().await;
    }
    endpoint.execute(&format!("drop schema if exists {schema} cascade")).await
}

/// The statements of a text.
fn pieces(statement: &Statement) -> Vec<Statement> {
    let ranges = split(statement.text.as_bytes(), true);
    let piece = |range: std::ops::Range<usize>| {
        let text = statement.text.get(range).unwrap_or_default().to_owned();
        Statement { text, ..statement.clone() }
    };
    ranges.into_iter().map(piece).collect()
}

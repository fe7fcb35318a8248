//! One session on the bare server: each statement is analysed right before it runs, run, and held against the analysis.

use std::collections::HashMap;
use std::sync::Arc;

use raidb_core::sql::analysis::{Analysis, Command};
use raidb_core::sql::catalog::{Builtins, Catalog};
use raidb_core::sql::{Settings, analyse};

use super::declared::{Check, check};
use super::facts::{self, RESTORE, SAVE};
use super::written::{Counters, Written};
use crate::Result;
use crate::scenario::differential::answer::Answer;
use crate::scenario::differential::client::Client;
use crate::scenario::differential::corpus::{Protocol, Statement};
use crate::sql::Endpoint;

/// What a member says to a write in a READ ONLY transaction.
const READ_ONLY: &str = "25006";
/// A procedure ends transactions, which it may not inside one.
const ENDS_TRANSACTIONS: &str = "2D000";

/// The catalog that sessions of one topic share, until one of them has changed it.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) builtins: Arc<Builtins>,
    pub(super) catalog: Arc<Catalog>,
    /// It must be read again.
    pub(super) stale: bool,
}

/// What became of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is what it was judged to be; of which kind, and whether it ended with an error.
    Holds(&'static str, bool),
    /// It was not looked at.
    Passed,
    /// The proxy would not run it.
    NotRun,
    /// It is not.
    Finding(String),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    settings: Settings,
    /// What the settings are must be asked again.
    unsure: bool,
    /// The schema was changed in the transaction that is open.
    changed: bool,
    status: u8,
    /// Texts of statements that were prepared by name.
    prepared: HashMap<String, Vec<u8>>,
}

impl Session {
    pub(super) async fn open(endpoint: &Endpoint, schema: &str) -> Result<Self> {
        let mut client = Client::connect(endpoint, schema).await?;
        let settings = facts::settings(&mut client).await?;
        Ok(Self { client, settings, unsure: false, changed: false, status: b'I', prepared: HashMap::new() })
    }

    pub(super) async fn close(self) {
        self.client.close().await;
    }

    /// Runs one statement (of several in a text, say) and judges it.
    pub(super) async fn run(&mut self, statement: &Statement, shared: &mut Shared) -> Result<Verdict> {
        self.learn(shared).await?;
        let analysis = analyse(statement.text.as_bytes(), &shared.catalog, &self.settings);
        let analysis = self.meant(analysis, &shared.catalog);
        let check = check(&analysis, &shared.catalog);
        // A failed transaction does nothing, and cannot be asked.
        if self.status == b'E' && check != Check::NotRun {
            self.plain(&analysis, statement, shared).await?;
            return Ok(Verdict::Passed);
        }
        match check {
            Check::NotRun => Ok(Verdict::NotRun),
            Check::Plain => {
                self.plain(&analysis, statement, shared).await?;
                Ok(Verdict::Passed)
            }
            Check::ProvenRead(declared) => {
                if self.refused_as_write(statement).await? {
                    return Ok(Verdict::Finding("judged a proven read, and READ ONLY refuses it".to_owned()));
                }
                let (written, failed) = self.watched(statement, shared).await?;
                Ok(verdict("proven", failed, declared.exceeded_by(&written)))
            }
            Check::ProbedRead(declared) => {
                if self.refused_as_write(statement).await? {
                    let (_, failed) = self.watched(statement, shared).await?;
                    return Ok(Verdict::Holds("refused probes", failed));
                }
                let (written, failed) = self.watched(statement, shared).await?;
                Ok(verdict("probed", failed, declared.exceeded_by(&written)))
            }
            Check::Replicated(kind, declared) => {
                let (written, failed) = self.watched(statement, shared).await?;
                Ok(verdict(kind, failed, declared.exceeded_by(&written)))
            }
        }
    }

    /// Reads again what may have changed.
    async fn learn(&mut self, shared: &mut Shared) -> Result<()> {
        if self.status == b'E' {
            return Ok(());
        }
        if std::mem::take(&mut self.unsure) {
            self.settings = facts::settings(&mut self.client).await?;
        }
        if std::mem::take(&mut shared.stale) {
            shared.catalog = facts::catalog(&mut self.client, self.status == b'T', &shared.builtins).await?;
        }
        Ok(())
    }

    /// What EXECUTE stands for, if it was prepared here.
    fn meant(&self, analysis: Analysis, catalog: &Catalog) -> Analysis {
        match &analysis.command {
            Command::Execute { name } => match self.prepared.get(name) {
                Some(inner) => analyse(inner, catalog, &self.settings),
                None => analysis,
            },
            _ => analysis,
        }
    }

    /// Runs a statement that is not looked at.
    async fn plain(&mut self, analysis: &Analysis, statement: &Statement, shared: &mut Shared) -> Result<()> {
        let answer = self.client.run(statement, protocol(statement)).await;
        if let Command::Prepare { name, inner, .. } = &analysis.command
            && !answer.failed()
        {
            let text = statement.text.as_bytes().get(*inner..).unwrap_or_default();
            self.prepared.insert(name.clone(), text.to_vec());
        }
        self.unsure = true;
        // What was changed may have been taken back, and what others did may be visible by now.
        shared.stale |= self.changed || matches!(analysis.command, Command::Utility(_));
        self.ends(&answer)
    }

    /// The state behind a statement of the client's.
    fn ends(&mut self, answer: &Answer) -> Result<()> {
        match answer.status {
            Some(status) => self.status = status,
            None => return crate::fail(format!("the connection is lost: {:?}", answer.lines.last())),
        }
        self.changed &= self.status != b'I';
        Ok(())
    }

    /// Runs a statement where nothing may be written, and takes it back. True: it was refused for that.
    async fn refused_as_write(&mut self, statement: &Statement) -> Result<bool> {
        let inside = self.status == b'T';
        if inside && moves_a_cursor(&statement.text) {
            return Ok(false);
        }
        let (before, behind) = match inside {
            true => (format!("{SAVE}SET LOCAL transaction_read_only = on"), RESTORE),
            false => ("BEGIN READ ONLY".to_owned(), "ROLLBACK"),
        };
        self.client.rows(&before).await?;
        let answer = self.client.run(statement, protocol(statement)).await;
        if answer.status.is_none() {
            return crate::fail(format!("the connection is lost: {:?}", answer.lines.last()));
        }
        self.client.rows(behind).await?;
        Ok(answer.sqlstate() == Some(READ_ONLY))
    }

    /// Runs a statement and says what it wrote; nothing if it failed.
    async fn watched(&mut self, statement: &Statement, shared: &mut Shared) -> Result<(Written, bool)> {
        let alone = self.status == b'I';
        let before = Counters::look(&mut self.client, if alone { "BEGIN; " } else { "" }).await?;
        let answer = self.client.run(statement, protocol(statement)).await;
        if answer.failed() || answer.status != Some(b'T') {
            if alone && answer.status.is_some() {
                self.client.rows("ROLLBACK").await?;
                if answer.sqlstate() == Some(ENDS_TRANSACTIONS) {
                    // The proxy refuses it; whatever it does alone is for the statements behind it.
                    self.client.run(statement, protocol(statement)).await;
                    (shared.stale, self.unsure) = (true, true);
                }
                return Ok((Written::default(), true));
            }
            self.ends(&answer)?;
            return Ok((Written::default(), true));
        }
        // What waits for COMMIT belongs to the statement.
        let waiting = if alone { "SET CONSTRAINTS ALL IMMEDIATE; " } else { "" };
        let look = Counters::look(&mut self.client, waiting).await;
        let written = match look {
            Ok(counters) => counters.since(&before),
            Err(_) if alone => {
                self.client.rows("ROLLBACK").await?;
                return Ok((Written::default(), true));
            }
            Err(failure) => return Err(failure),
        };
        if written.schema {
            (shared.stale, self.unsure) = (true, true);
            self.changed = !alone;
        }
        // A function may change settings.
        self.unsure |= statement.text.contains("set_config") || written.tables.is_empty();
        if alone {
            self.client.rows("COMMIT").await?;
        }
        Ok((written, false))
    }
}

fn verdict(kind: &'static str, failed: bool, exceeded: Option<String>) -> Verdict {
    match exceeded {
        None => Verdict::Holds(kind, failed),
        Some(what) => Verdict::Finding(format!("{kind}: it wrote {what}, which the analysis has not declared")),
    }
}

/// FETCH and its like move a cursor for good, also where the savepoint behind them is taken back.
fn moves_a_cursor(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    ["fetch", "move", "close"].iter().any(|word| text.starts_with(word))
}

fn protocol(statement: &Statement) -> Protocol {
    match (&statement.parameters, statement.only) {
        (Some(_), _) => Protocol::Extended,
        (None, Some(only)) => only,
        (None, None) => Protocol::Simple,
    }
}

//! One client's statement on the lead, in an open transaction: run it, see what it touched, put it into the transcript.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raidb_core::sql::analyse;
use raidb_core::sql::analysis::{
    Analysis, Command, FootprintHint, Isolation, LockCapture, Proof, Read, RowLock, Unproven, Write, WriteForm,
};
use raidb_core::sql::catalog::{Catalog, Table};
use raidb_core::sql::footprint::Footprint;
use raidb_core::sql::key_hash::{ParamValue, footprint_of};
use raidb_core::sql::literals::Literals;
use raidb_core::sql::split::{end_of_last_token, start_of_token};

use super::Session;
use super::foreground::{Reading, Rows};
use super::frames;
use super::imaged::as_imaged;
use super::prepared::Prepared;
use super::present_time::refuse_parameters;
use super::transaction::{OpenTransaction, Payload};
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Owner;
use crate::wire::decode;

/// Texts longer than this are analysed anew each time.
pub(super) const CACHED_TEXT_MAX: usize = 16 * 1024;

/// A statement that cannot run beside a copy of a member waits so long for its end.
const NO_COPY_WAIT: Duration = Duration::from_secs(5);

/// A statement in hand.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its text, without what stands before and behind it in the client's message.
    pub sql: Bytes,
    /// What it is.
    pub analysis: Arc<Analysis>,
    /// Its parameters, if it came by Bind.
    pub bound: Option<Bound>,
    /// What it executes, if it is an EXECUTE.
    pub executes: Option<Arc<Prepared>>,
    /// DDL that had ended when it was judged.
    pub generation: u64,
}

/// A bound statement.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The prepared statement.
    pub prepared: Arc<Prepared>,
    /// Formats, values, result formats.
    pub tail: Bytes,
}

impl Session {
    /// The catalog that holds for this session now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        match self.open.as_ref().and_then(|open| open.own_catalog.clone()) {
            Some(own) => own,
            None => self.with_temporary(self.database.catalog()),
        }
    }

    /// What a statement is.
    pub(crate) fn analysis(&self, sql: &[u8], keep: bool) -> Arc<Analysis> {
        self.as_configured(sql, self.plain_analysis(sql, keep))
    }

    fn plain_analysis(&self, sql: &[u8], keep: bool) -> Arc<Analysis> {
        let catalog = self.catalog();
        let settings = self.settings.meaning(&catalog.default_search_path);
        // What is temporary is known to this session alone.
        let own = !catalog.temporary.is_empty() || self.open.as_ref().is_some_and(|o| o.own_catalog.is_some());
        if own || sql.len() > CACHED_TEXT_MAX {
            return Arc::new(analyse(sql, &catalog, &settings));
        }
        self.database.analyses.get(sql, keep, &settings, &catalog)
    }

    /// Whether rows captured as text come back exactly under this session's settings.
    pub(super) fn must_capture_exactly(&self, table: &Table) -> Result<(), SqlError> {
        self.must_name_exactly(table.columns.iter().map(|column| &column.name).chain([&table.schema, &table.name]))?;
        self.must_show_exactly()
    }

    /// Names of the catalog in texts that are sent on the client's behalf: they stand there in UTF-8.
    pub(super) fn must_name_exactly<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> Result<(), SqlError> {
        // What was set in this transaction is not known.
        let utf8 = self.settings.utf8 && !self.open.as_ref().is_some_and(|open| open.meaning_changed);
        if !utf8 && names.into_iter().any(|name| !name.is_ascii()) {
            return Err(SqlError::refused(
                "followers get its values with names of tables and columns that are not ASCII, and client_encoding is not UTF8",
                "SET client_encoding = 'UTF8' outside the transaction.",
            ));
        }
        Ok(())
    }

    /// Whether values come back exactly as they are shown.
    pub(super) fn must_show_exactly(&self) -> Result<(), SqlError> {
        if self.settings.exact_text() {
            return Ok(());
        }
        Err(SqlError::refused(
            "its values are captured as text, which DateStyle, IntervalStyle or extra_float_digits of this session make inexact",
            "SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1.",
        ))
    }

    /// Runs a simple statement on the lead, and again on the next lead if the first is lost.
    pub(crate) async fn simple_on_lead(&mut self, statement: &Statement) -> Result<(), Trouble> {
        let mut statement = self.with_cursor_watched(statement);
        loop {
            let mark = self.staged.len();
            match self.try_simple_on_lead(&statement).await {
                Err(Trouble::Undone) => self.staged.truncate(mark),
                Err(Trouble::Writes) => {
                    self.staged.truncate(mark);
                    statement = std::borrow::Cow::Owned(as_imaged(&statement));
                    self.learn_that_it_writes(&statement);
                }
                Err(Trouble::Doubtful(refusal)) => {
                    self.staged.truncate(mark);
                    statement = std::borrow::Cow::Owned(self.as_unproven(&statement, &refusal)?);
                }
                Err(Trouble::LeadChanged) => {
                    self.staged.truncate(mark);
                    self.unlock_unanswered(&statement)?;
                    self.change_lead().await?;
                }
                Err(Trouble::MemberLost) if !self.released => {
                    self.staged.truncate(mark);
                    self.next_view().await;
                }
                Err(Trouble::Sql(error)) => return Err(self.answer_dropped(error, &statement, mark)),
                other => return other,
            }
        }
    }

    /// The statement is refused, or fails, behind the lead's answer: the client must not see both. What has left cannot be taken
    /// back; where its end would follow, the session ends.
    pub(super) fn answer_dropped(&mut self, error: SqlError, statement: &Statement, mark: usize) -> Trouble {
        if !self.released {
            self.staged.truncate(mark);
        } else if matches!(statement.analysis.command, Command::Imaged(_) | Command::CopyIn(_)) {
            return Trouble::Fatal(error);
        }
        Trouble::Sql(error)
    }

    async fn try_simple_on_lead(&mut self, statement: &Statement) -> Result<(), Trouble> {
        let writes = statement.analysis.command.may_write();
        let lead = self.ready_members(writes).await?;
        self.before_statement(statement, lead).await?;
        let images = self.before_images(statement).await?;
        let plan = self.lead_text(statement)?;
        let begin = self.take_begin();
        let hidden = usize::from(!begin.is_empty()) + plan.hidden;
        let Some(link) = self.link(lead) else { return Err(Trouble::LeadChanged) };
        let (prepare, prepares) = frames::before_sql(link, statement);
        let hidden = hidden + prepares;
        let mut pieces: Vec<&[u8]> = vec![&begin, plan.prefix, &prepare];
        pieces.extend(plan.text.iter().map(|p| &p[..]));
        link.simple(&pieces, Owner::Foreground);
        if plan.probe {
            link.simple(&[PROBE_END], Owner::ProbeEnd);
        }
        let shift = begin.len() + plan.prefix.len() + String::from_utf8_lossy(&prepare).chars().count();
        let reading = Reading { hidden_commands: hidden, rows: plan.rows, ..Reading::default() };
        let result = self.read_client_unit(lead, reading).await;
        if !matches!(&result, Ok((end, _)) if end.error.is_none()) {
            self.prepared_unsure(statement);
        }
        let (end, took) = result?;
        match images {
            Some(before) => self.behind_images(statement, before, end, took, shift).await,
            None => self.after_statement(statement, end, took, shift).await,
        }
    }

    /// An EXECUTE failed: perhaps the PREPARE that went before it did.
    pub(super) fn prepared_unsure(&mut self, statement: &Statement) {
        if let Some(prepared) = &statement.executes {
            self.slots.iter_mut().filter_map(|slot| slot.link.as_mut()).for_each(|link| link.forget(&prepared.name));
        }
    }

    /// What must happen on the lead before the statement: waits of a strict read, table locks.
    pub(crate) async fn before_statement(
        &mut self,
        statement: &Statement,
        lead: raidb_core::ids::MemberId,
    ) -> Result<(), Trouble> {
        if let (Command::Write(write), Some(bound)) = (&statement.analysis.command, &statement.bound) {
            refuse_parameters(&write.table, bound)?;
        }
        if let Command::Advisory(advisory) = &statement.analysis.command {
            self.check_advisory(statement, advisory)?;
        }
        if let Command::Unproven(unproven) = &statement.analysis.command {
            self.before_unproven(unproven, statement.bound.as_ref())?;
        }
        if let Command::Fill(fill) = &statement.analysis.command {
            self.check_fill(statement, fill)?;
        }
        self.no_copy_beside(statement).await?;
        self.look_on_lead(statement, lead).await?;
        let (locks, logged) = match &statement.analysis.command {
            Command::Write(Write { form: WriteForm::Locked(locked), table, .. }) => {
                (&locked.lock_sql, !table.is_of_session())
            }
            Command::Unproven(Unproven { locked, .. }) => (&locked.lock_sql, true),
            _ => return Ok(()),
        };
        if locks.is_empty() {
            // It reads and writes what nobody else can see.
            return Ok(());
        }
        self.check_snapshot()?;
        self.lock_tables(locks, logged).await
    }

    /// The locked form rests on a lead that sees the rows which its followers see. A snapshot that lasts and is older than the
    /// locks shows others; one that is taken behind them does not.
    fn check_snapshot(&self) -> Result<(), SqlError> {
        let old = |open: &OpenTransaction| open.lead_begun && open.modes.isolation.lasts();
        if !self.open.as_ref().is_some_and(old) {
            return Ok(());
        }
        Err(SqlError::refused(
            "followers would see rows that the snapshot of this transaction does not hold",
            "Make it the first statement of the transaction, use READ COMMITTED, or give the table a key.",
        ))
    }

    /// A statement that shuts out readers does not run beside a copy of a member, which reads everything: it waits for a moment,
    /// before anybody is asked, and is refused then.
    async fn no_copy_beside(&mut self, statement: &Statement) -> Result<(), Trouble> {
        let shuts_out = match &statement.analysis.command {
            Command::Utility(utility) => utility.shuts_out_readers,
            Command::LockTable(lock) => lock.shuts_out_readers,
            _ => false,
        };
        if shuts_out { self.no_copy().await } else { Ok(()) }
    }

    /// No member is copied from here on, up to the end of the transaction.
    pub(super) async fn no_copy(&mut self) -> Result<(), Trouble> {
        if self.open.as_ref().is_none_or(|open| open.no_copy.is_some()) {
            return Ok(());
        }
        let permit = self.database.shut_out.clone().read_owned();
        match self.drive(tokio::time::timeout(NO_COPY_WAIT, permit)).await {
            Ok(permit) => {
                if let Some(open) = self.open.as_mut() {
                    open.no_copy = Some(permit);
                }
                Ok(())
            }
            Err(_) => Err(SqlError::new(
                "55006",
                "a member is being copied from another one, which reads all tables",
                "Run the statement again when `raidb status` shows no member that is being rebuilt.",
            )
            .into()),
        }
    }

    /// Locks on the lead, then (by the transcript) on the followers. `logged`: so is what they are for.
    pub(crate) async fn lock_tables(&mut self, locks: &[String], logged: bool) -> Result<(), Trouble> {
        for sql in locks {
            let started = tokio::time::Instant::now();
            self.lead_command(sql).await?;
            let footprint = Footprint::Everything;
            let tag = Some(Bytes::from_static(b"LOCK TABLE"));
            self.push_lock(Bytes::copy_from_slice(sql.as_bytes()), tag, &footprint, started.elapsed())?;
            self.change_last(|entry| entry.logged = logged);
        }
        Ok(())
    }

    pub(crate) fn push_lock(
        &mut self,
        sql: Bytes,
        tag: Option<Bytes>,
        barrier: &Footprint,
        took: Duration,
    ) -> Result<(), SqlError> {
        // A lock waits for every commit, but writes nothing: the transaction's own footprint stays.
        let before = self.open.as_ref().map(|open| open.footprint.clone()).unwrap_or_default();
        self.push_entry(Payload::Simple(sql), tag, barrier, took)?;
        self.change_last(|entry| entry.frame = true);
        if let Some(open) = self.open.as_mut() {
            open.footprint = before;
        }
        Ok(())
    }

    /// What a strict read of the statement must wait for.
    pub(crate) fn read_footprint(&self, statement: &Statement) -> Footprint {
        match &statement.analysis.read_key {
            Some((table, hint)) => self.footprint(hint, table, statement),
            None => statement.analysis.read_footprint.clone(),
        }
    }

    pub(crate) fn footprint(&self, hint: &FootprintHint, table: &Table, statement: &Statement) -> Footprint {
        let literals = Literals::of(&statement.sql, &statement.analysis);
        let Some(bound) = &statement.bound else { return footprint_of(hint, table, &literals, &|_| None) };
        let parameters = decode::bind_parameters(&bound.tail);
        let types = &bound.prepared.types;
        footprint_of(hint, table, &literals, &|n| {
            let index = usize::from(n).checked_sub(1)?;
            let parameter = parameters.get(index)?;
            let oid =
                types.get(2 + 4 * index..6 + 4 * index).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
            Some(ParamValue { type_oid: oid, binary: parameter.binary, bytes: parameter.value? })
        })
    }

    /// The text for the lead and how to read its answer.
    fn lead_text<'a>(&self, statement: &'a Statement) -> Result<LeadPlan<'a>, Trouble> {
        let whole = || vec![statement.sql.clone()];
        let (text, rows) = self.rewritten(statement)?.unwrap_or_else(|| (whole(), rows_as_they_are(statement)));
        let probe = matches!(
            &statement.analysis.command,
            Command::Read(Read { proof: Proof::Probe, .. }) | Command::CopyOut(Read { proof: Proof::Probe, .. })
        );
        let (prefix, hidden): (&[u8], usize) = match &statement.analysis.command {
            _ if probe && !self.before_probe().is_empty() => (PROBE_BEGIN_CERTIFIED, 3),
            _ if probe => (PROBE_BEGIN, 2),
            Command::Concurrently(_) => (IN_BLOCK, 1),
            _ => (b"", 0),
        };
        Ok(LeadPlan { prefix, hidden, text, rows, probe })
    }

    /// What must be run before the begin of a probe.
    pub(super) fn before_probe(&self) -> &'static str {
        let certified = |open: &OpenTransaction| open.modes.isolation == Isolation::Serializable;
        if self.open.as_ref().is_some_and(certified) { TAKES_SNAPSHOT } else { "" }
    }

    /// How the rows of the statement's answer are read.
    pub(crate) fn rows_of(&self, statement: &Statement) -> Result<Rows, SqlError> {
        Ok(self.rewritten(statement)?.map_or_else(|| rows_as_they_are(statement), |(_, rows)| rows))
    }

    /// The rewritten text for the lead, if the statement is captured.
    pub(crate) fn rewritten(&self, statement: &Statement) -> Result<Option<(Vec<Bytes>, Rows)>, SqlError> {
        let sql = &statement.sql;
        match &statement.analysis.command {
            Command::Write(Write { form: WriteForm::Captured(capture), client_returning, table, .. }) => {
                self.must_capture_exactly(table)?;
                let at = end_of_last_token(sql, self.settings.standard_conforming);
                let suffix = Bytes::copy_from_slice(capture.lead_suffix.as_bytes());
                let rows = Rows::Capture { columns: capture.columns.len(), hide: !client_returning };
                Ok(Some((vec![sql.slice(..at), suffix, sql.slice(at..)], rows)))
            }
            Command::RowLock(RowLock {
                capture: Some(LockCapture { insert_before, lead_insert, columns, .. }),
                table,
                ..
            }) => {
                self.must_capture_exactly(table)?;
                let insert = Bytes::copy_from_slice(lead_insert.as_bytes());
                let rows = Rows::Capture { columns: columns.len(), hide: false };
                let at = start_of_token(sql, *insert_before, statement.analysis.standard_conforming);
                Ok(Some((vec![sql.slice(..at), insert, sql.slice(at..)], rows)))
            }
            _ => Ok(None),
        }
    }

    /// Waits until the view has changed or a moment has passed: a member was lost, its successor is about to be known.
    pub(crate) async fn next_view(&mut self) {
        let version = self.view.version;
        let pause = tokio::time::sleep(Duration::from_millis(2));
        tokio::pin!(pause);
        std::future::poll_fn(|cx| {
            self.poll_background(cx);
            if self.view.version != version {
                std::task::Poll::Ready(())
            } else {
                std::future::Future::poll(pause.as_mut(), cx)
            }
        })
        .await;
    }
}

/// How the rows of a text that was not rewritten are read.
fn rows_as_they_are(statement: &Statement) -> Rows {
    match &statement.analysis.command {
        Command::Advisory(_) => Rows::Watch,
        _ => Rows::Forward,
    }
}

/// What goes to the lead for one simple statement.
struct LeadPlan<'a> {
    prefix: &'a [u8],
    hidden: usize,
    text: Vec<Bytes>,
    rows: Rows,
    probe: bool,
}

/// Before what works concurrently: a message of several statements is a transaction block, in which the lead refuses it, whatever
/// else is open there.
const IN_BLOCK: &[u8] = b"SAVEPOINT raidb_block;";
/// A read that is not proven runs where a write is refused (CORRECTNESS.md row 7).
const PROBE_BEGIN: &[u8] = b"SAVEPOINT raidb_probe;SET LOCAL transaction_read_only=on;";
/// The same behind [`TAKES_SNAPSHOT`].
const PROBE_BEGIN_CERTIFIED: &[u8] = b"SELECT 1;SAVEPOINT raidb_probe;SET LOCAL transaction_read_only=on;";
/// Under SERIALIZABLE, before a probe: the snapshot that is taken while the transaction is READ ONLY makes PostgreSQL take it for one
/// that never writes, also when that was undone, and it certifies without what the transaction reads and writes later
/// (`GetSerializableTransactionSnapshotInt` in predicate.c).
const TAKES_SNAPSHOT: &str = "SELECT 1;";
/// And behind it everything is as before.
const PROBE_END: &[u8] = b"ROLLBACK TO SAVEPOINT raidb_probe;RELEASE SAVEPOINT raidb_probe";

impl Statement {
    /// The same statement, as a follower gets it.
    #[must_use]
    pub fn payload(&self) -> Payload {
        match (&self.bound, &self.executes) {
            (_, Some(prepared)) => Payload::Execute { prepared: prepared.clone(), sql: self.sql.clone() },
            (Some(bound), None) => Payload::Extended { prepared: bound.prepared.clone(), tail: bound.tail.clone() },
            (None, None) => Payload::Simple(self.sql.clone()),
        }
    }
}

/// What a command means for the connections that it needs.
pub trait CommandExt {
    /// It may write or lock: followers take part.
    fn may_write(&self) -> bool;
}

impl CommandExt for Command {
    fn may_write(&self) -> bool {
        match self {
            Command::Write(_)
            | Command::Imaged(_)
            | Command::Unproven(_)
            | Command::Fill(_)
            | Command::RowLock(_)
            | Command::CopyIn(_)
            | Command::LockTable(_)
            | Command::Advisory(_)
            | Command::Utility(_) => true,
            Command::Empty
            | Command::Begin(_)
            | Command::Commit { .. }
            | Command::Rollback { .. }
            | Command::Savepoint(_)
            | Command::Release(_)
            | Command::RollbackTo(_)
            | Command::Read(_)
            | Command::CopyOut(_)
            | Command::Session(_)
            | Command::Prepare { .. }
            | Command::Execute { .. }
            | Command::Deallocate(_)
            | Command::Discard { .. }
            | Command::Token(_)
            | Command::Route { .. }
            | Command::Notification(_)
            | Command::Unknown { .. }
            | Command::Concurrently(_)
            | Command::TwoPhase { .. }
            | Command::Refused(_) => false,
        }
    }
}

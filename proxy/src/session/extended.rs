//! The extended query protocol: batches up to Sync or Flush.
//!
//! A batch of nothing but reads, outside a transaction, goes whole to one picked member. Everything else goes to
//! the lead, one Execute at a time, inside a transaction that the proxy holds open: what stands up to Sync is one implicit
//! transaction, and an error skips the rest up to Sync, as in PostgreSQL.

use std::collections::VecDeque;

use bytes::Bytes;
use raidb_core::sql::analysis::{Analysis, Command, Write};
use raidb_core::sql::split::split;

use super::Session;
use super::batch::{Message, decode_message};
use super::control::is_control;
use super::foreground::{Reading, Rows, Step};
use super::frames::parse_if_unknown;
use super::prepared::{PREPARED_MAX, Portal, Prepared, PreparedStatement, portable_types};
use super::reads::{ReadPlan, write_probe_begin};
use super::simple::starts_with;
use super::statement::{Bound, CommandExt, Statement};
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::{Link, Owner, Written};
use crate::wire::decode::{Bind, Named, Parse};
use crate::wire::{decode, encode};

/// A batch that grows beyond this is worked on before its Sync has come.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// SQLSTATE of more than one statement in one Parse.
pub(super) const SEVERAL: &str = "42601";

/// Whether a message of this type belongs to the extended protocol.
pub(super) fn is_extended(tag: u8) -> bool {
    matches!(tag, b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S')
}

impl Session {
    /// Takes messages up to Sync, Flush or a limit, and works on them.
    ///
    /// # Errors
    /// Only what ends the session.
    pub(crate) async fn extended_batch(&mut self, first: Bytes) -> Result<(), Trouble> {
        let mut frames = vec![first];
        let mut bytes = 0;
        loop {
            let last = &frames[frames.len() - 1];
            bytes += last.len();
            let ends = matches!(last[0], b'S' | b'H');
            if ends || bytes > BATCH_BYTES_MAX || !self.client.has_input() && bytes > 0 && self.pipeline_open() {
                break;
            }
            // Whoever has asked for a COPY may wait for its answer before it says more.
            if last[0] == b'E' && !self.client.has_input() && self.executes_copy(&frames) {
                break;
            }
            // Another kind of message ends the batch, and stays where it is: it may be the first row of a COPY that is in it.
            if !is_extended(self.client_tag().await?) {
                break;
            }
            frames.push(self.client_frame().await?);
        }
        self.work_batch(&frames).await
    }

    /// Whether the last of these messages executes a COPY FROM STDIN, or one that fails.
    fn executes_copy(&self, frames: &[Bytes]) -> bool {
        let Some((last, before)) = frames.split_last() else { return false };
        let Ok((portal, _)) = decode::execute(last) else { return false };
        let newest = |tag| before.iter().rev().filter(move |frame| frame[0] == tag);
        let bind = newest(b'B').filter_map(|frame| decode::bind(frame).ok()).find(|bind| bind.portal == portal);
        let text = match bind {
            None => self.names.bound(&portal).map(|known| known.statement.prepared.text.clone()),
            Some(Bind { statement: name, .. }) => newest(b'P')
                .filter_map(|frame| decode::parse(frame).ok())
                .find(|parse| parse.name == name)
                .map(|parse| parse.text)
                .or_else(|| self.names.statement(&name).map(|known| known.prepared.text.clone())),
        };
        let takes_rows = |text: &Bytes| !matches!(self.analysis(text, true).command, Command::CopyOut(_));
        text.is_some_and(|text| starts_with(&text, "copy") && takes_rows(&text))
    }

    /// Whether an implicit transaction of an unfinished pipeline is open: then nothing is gained by waiting for its Sync.
    fn pipeline_open(&self) -> bool {
        self.block == Block::Idle && self.open.is_some()
    }

    async fn work_batch(&mut self, frames: &[Bytes]) -> Result<(), Trouble> {
        self.generation = self.judgeable().await?;
        let mut messages = Vec::with_capacity(frames.len());
        for frame in frames {
            match decode_message(frame) {
                Ok(message) => messages.push(message),
                Err(malformed) => {
                    return Err(Trouble::Fatal(SqlError::new(
                        "08P01",
                        malformed.to_string(),
                        "The connection is closed.",
                    )));
                }
            }
        }
        if let Some(batch) = self.read_batch(&messages) {
            return self.run_read_batch(messages, batch).await;
        }
        if self.combined_batch(&messages).await? {
            return Ok(());
        }
        self.lead_batch(messages).await
    }

    /// Whether a Parse has more than one statement.
    pub(super) fn several(&self, parse: &Parse) -> bool {
        parse.text.contains(&b';') && split(&parse.text, self.settings.standard_conforming).len() > 1
    }

    /// Registers what a Parse message names.
    pub(crate) fn prepare(&mut self, parse: &Parse) -> Result<PreparedStatement, SqlError> {
        if self.several(parse) {
            return Err(SqlError::new(SEVERAL, "cannot insert multiple commands into a prepared statement", ""));
        }
        if !parse.name.is_empty() && self.names.statement(&parse.name).is_some() {
            let name = String::from_utf8_lossy(&parse.name).into_owned();
            return Err(SqlError::new("42P05", format!("prepared statement \"{name}\" already exists"), ""));
        }
        if self.names.len() >= PREPARED_MAX {
            return Err(SqlError::new(
                "54000",
                format!("more than {PREPARED_MAX} prepared statements in one session"),
                "Close some.",
            ));
        }
        let analysis = self.analysis(&parse.text, true);
        let prepared = Prepared {
            identity: self.names.identity(),
            name: parse.name.clone(),
            text: parse.text.clone(),
            types: portable_types(&parse.types),
            by_sql: None,
        };
        let version = self.analysis_version();
        Ok(PreparedStatement { prepared: prepared.into(), analysis, version, parsed_at: version })
    }

    /// A known statement, judged anew if the catalog or the settings have changed since.
    pub(crate) fn known_statement(&mut self, name: &Bytes) -> Result<PreparedStatement, SqlError> {
        let Some(known) = self.names.statement(name).cloned() else {
            let what = if name.is_empty() {
                "unnamed prepared statement".to_owned()
            } else {
                format!("prepared statement \"{}\"", String::from_utf8_lossy(name))
            };
            return Err(SqlError::new("26000", format!("{what} does not exist"), ""));
        };
        let version = self.analysis_version();
        if known.version == version {
            return Ok(known);
        }
        // The same text stays prepared where it is: if the shape of its result has changed, the member says so
        // (0A000, "cached plan must not change result type"), and drivers prepare it again.
        let analysis = self.analysis(&known.prepared.text, true);
        if known.prepared.has_open_types(analysis.parameters) && column_types_differ(&known.analysis, &analysis) {
            // Members find the types of its parameters themselves, when they parse it: the lead, which has, would read a value
            // as of the old type, and a follower, which has not, as of the new one.
            return Err(SqlError::new(
                "0A000",
                "cached plan must not change result type",
                "The types of the table's columns were changed. Prepare the statement again.",
            ));
        }
        let renewed = PreparedStatement { analysis, version, ..known };
        self.names.keep(renewed.clone());
        Ok(renewed)
    }

    /// Whether the batch may go to any member; `None`: it goes to the lead.
    fn read_batch(&mut self, messages: &[Message]) -> Option<ReadBatch> {
        let complete = matches!(messages.last(), Some(Message::Sync));
        let idle = self.open.is_none() && self.block == Block::Idle && self.lost_transaction.is_none();
        let idle = idle && !self.meaning_unknown;
        if !complete || !idle || self.skipping || messages.len() < 2 {
            return None;
        }
        let mut batch = ReadBatch::default();
        let mut portals: Vec<(Bytes, Statement)> = Vec::new();
        for message in &messages[..messages.len() - 1] {
            match message {
                Message::Parse(parse, _) => {
                    let statement = self.prepare(parse).ok()?;
                    batch.add(self, &statement, None)?;
                    batch.parsed.push(statement);
                }
                Message::Bind(bind, _) => {
                    let statement = batch.statement(self, &bind.statement)?;
                    let bound = Bound { prepared: statement.prepared.clone(), tail: bind.tail.clone() };
                    let whole = batch.add(self, &statement, Some(bound))?;
                    batch.needed.push(statement);
                    portals.push((bind.portal.clone(), whole));
                }
                Message::Describe(Named::Statement(name), _) => {
                    let statement = batch.statement(self, name)?;
                    batch.add(self, &statement, None)?;
                    batch.needed.push(statement);
                }
                Message::Execute(portal, ..) | Message::Describe(Named::Portal(portal), _) => {
                    portals.iter().find(|(name, _)| name == portal)?;
                }
                Message::Close(Named::Statement(name), _) => {
                    let read =
                        self.names.statement(name).is_none_or(|s| super::simple::reads_outside(&s.analysis.command));
                    if !read {
                        return None;
                    }
                }
                Message::Close(Named::Portal(_), _) => {}
                Message::Flush | Message::Sync => return None,
            }
        }
        Some(batch)
    }

    async fn run_read_batch(&mut self, messages: Vec<Message>, batch: ReadBatch) -> Result<(), Trouble> {
        if let Some(statement) = batch.parsed.first().or(batch.needed.first()) {
            self.current = statement.prepared.text.clone();
        }
        let plan = batch.plan.clone().unwrap_or(ReadPlan {
            footprint: raidb_core::sql::footprint::Footprint::Nothing,
            lead_only: false,
            probe: false,
            statements: 1,
            sequences: Vec::new(),
        });
        let now = self.analysis_version();
        let same = batch.needed.iter().all(|statement| statement.parsed_at == now);
        let mut parses: Vec<Bytes> = Vec::new();
        let mark = self.staged.len();
        let result = {
            let (batch, parses, probe, messages) = (&batch, &mut parses, plan.probe, &messages[..]);
            let mut write = move |link: &mut Link| {
                parses.clear();
                write_read_batch(link, messages, batch, probe, parses)
            };
            self.balanced(&plan, &mut write).await
        };
        match result {
            Ok(end)
                if plan.probe
                    && !self.released
                    && end.error.as_ref().is_some_and(|frame| super::lead::is_read_only_violation(frame)) =>
            {
                // It has done nothing: READ ONLY. It runs again on the lead, where what it writes is found.
                self.staged.truncate(mark);
                self.after_read_batch(&[], &batch, &[], true);
                return self.lead_batch(messages).await;
            }
            Ok(end) => {
                let failed = end.error.is_some();
                let stood = if failed { end.parsed.saturating_sub(usize::from(plan.probe)) } else { parses.len() };
                self.after_read_batch(&messages, &batch, &parses[..stood.min(parses.len())], failed);
                if let Some(frame) = end.error {
                    self.staged.extend_from_slice(&if same { frame } else { stale_plan(frame) });
                }
            }
            Err(trouble) => self.fail(trouble, 0).await?,
        }
        self.ready().await
    }

    /// Keeps the names that the batch made, forgets those that it closed or failed to make.
    fn after_read_batch(&mut self, messages: &[Message], batch: &ReadBatch, stood: &[Bytes], failed: bool) {
        for statement in &batch.parsed {
            let name = &statement.prepared.name;
            if stood.contains(name) || !failed {
                self.names.keep(statement.clone());
            } else if name.is_empty() {
                self.names.close_statement(name);
            }
        }
        if failed {
            // What was parsed in a failed pipeline may or may not stand on the link that was used.
            for statement in batch.parsed.iter().chain(&batch.needed) {
                self.slots.iter_mut().filter_map(|s| s.link.as_mut()).for_each(|l| l.forget(&statement.prepared.name));
            }
        }
        for message in messages {
            if let Message::Close(Named::Statement(name), _) = message {
                self.close_everywhere(name);
            }
        }
    }

    /// The client closed a statement: on the links it is closed before its name is used again.
    pub(crate) fn close_everywhere(&mut self, name: &Bytes) {
        self.names.close_statement(name);
        self.slots.iter_mut().filter_map(|s| s.link.as_mut()).for_each(|l| l.forget(name));
    }

    /// Binds a portal.
    pub(crate) fn bind_portal(
        &mut self,
        portal: &Bytes,
        statement: &PreparedStatement,
        tail: &Bytes,
    ) -> Result<(), SqlError> {
        if !portal.is_empty() && self.names.has_portal(portal) {
            let name = String::from_utf8_lossy(portal).into_owned();
            return Err(SqlError::new("42P03", format!("portal \"{name}\" already exists"), ""));
        }
        let settings = self.settings.version;
        let (statement, tail) = (statement.clone(), tail.clone());
        self.names.bind(portal.clone(), Portal { statement, tail, settings, bound_on: None });
        Ok(())
    }

    /// The lead runs a portal as it was planned at Bind, and followers parse its text when it comes to them: behind a setting, or DDL, that
    /// may be another statement.
    ///
    /// # Errors
    /// 0A000.
    pub(super) fn check_bound(&mut self, portal: &Bytes, statement: &Statement) -> Result<(), SqlError> {
        let settings = self.settings.version;
        let Some(bound) = self.names.portal(portal) else { return Ok(()) };
        let as_bound = bound.settings == settings && *bound.statement.analysis == *statement.analysis;
        if as_bound || !statement.analysis.command.may_write() {
            return Ok(());
        }
        Err(SqlError::refused(
            "a setting or the schema has changed since the portal was bound, and followers would read its text anew",
            "Send Bind again behind the change.",
        ))
    }

    /// The statement behind a portal.
    pub(crate) fn portal_statement(&mut self, portal: &Bytes) -> Result<Statement, SqlError> {
        let Some(found) = self.names.portal(portal) else {
            return Err(SqlError::new(
                "34000",
                format!("portal \"{}\" does not exist", String::from_utf8_lossy(portal)),
                "",
            ));
        };
        let found = found.clone();
        let version = self.analysis_version();
        let analysis = if found.statement.version == version {
            found.statement.analysis.clone()
        } else {
            self.analysis(&found.statement.prepared.text, true)
        };
        Ok(Statement {
            sql: found.statement.prepared.text.clone(),
            analysis,
            bound: Some(Bound { prepared: found.statement.prepared.clone(), tail: found.tail.clone() }),
            executes: None,
            generation: self.generation,
        })
    }
}

/// Whether the columns of the table that a statement writes are of other types than they were.
fn column_types_differ(before: &Analysis, now: &Analysis) -> bool {
    let (Command::Write(before), Command::Write(now)) = (&before.command, &now.command) else { return false };
    let types = |write: &Write| write.table.columns.iter().map(|c| (c.name.clone(), c.type_oid)).collect::<Vec<_>>();
    let now = types(now);
    types(before).iter().any(|column| !now.contains(column))
}

/// What a batch of reads needs.
#[derive(Debug, Default)]
pub(crate) struct ReadBatch {
    plan: Option<ReadPlan>,
    parsed: Vec<PreparedStatement>,
    needed: Vec<PreparedStatement>,
}

impl ReadBatch {
    /// Adds one statement; `None` if it is no read.
    fn add(&mut self, session: &Session, statement: &PreparedStatement, bound: Option<Bound>) -> Option<Statement> {
        let whole = Statement {
            sql: statement.prepared.text.clone(),
            analysis: statement.analysis.clone(),
            bound,
            executes: None,
            generation: 0,
        };
        if is_control(&whole.analysis.command) || matches!(whole.analysis.command, Command::Execute { .. }) {
            return None;
        }
        let plan = session.read_plan(&whole)?;
        if !plan.sequences.is_empty() || (plan.lead_only && whole.bound.is_some()) {
            return None;
        }
        match self.plan.as_mut() {
            // Parse and Describe read nothing: only bound statements wait for commits.
            Some(all) => all.absorb(plan),
            None => self.plan = Some(plan),
        }
        Some(whole)
    }

    fn statement(&self, session: &mut Session, name: &Bytes) -> Option<PreparedStatement> {
        match self.parsed.iter().rev().find(|s| s.prepared.name == *name) {
            Some(parsed) => Some(parsed.clone()),
            None => session.known_statement(name).ok(),
        }
    }
}

fn write_read_batch(
    link: &mut Link,
    messages: &[Message],
    batch: &ReadBatch,
    probe: bool,
    parses: &mut Vec<Bytes>,
) -> Reading {
    let mut steps = VecDeque::new();
    let hidden_commands = if probe { write_probe_begin(link.out(), &mut steps) } else { 0 };
    let mut fresh = batch.parsed.iter();
    let mut needed = batch.needed.iter();
    for message in messages {
        match message {
            Message::Parse(..) => {
                let Some(statement) = fresh.next() else { continue };
                let close = link.occupied(&statement.prepared.name);
                if close {
                    encode::close(link.out(), b'S', &statement.prepared.name);
                    steps.push_back(Step::Close { visible: false });
                }
                let prepared = &statement.prepared;
                encode::parse(link.out(), &prepared.name, &[&prepared.text], &prepared.types);
                link.learn(prepared.name.clone(), prepared.identity);
                parses.push(prepared.name.clone());
                steps.push_back(Step::Parse { visible: true });
            }
            Message::Bind(_, frame) | Message::Describe(Named::Statement(_), frame) => {
                if let Some(statement) = needed.next() {
                    let Written { parsed, closed } = parse_if_unknown(link, &statement.prepared);
                    if closed {
                        steps.push_back(Step::Close { visible: false });
                    }
                    if parsed {
                        parses.push(statement.prepared.name.clone());
                        steps.push_back(Step::Parse { visible: false });
                    }
                }
                link.out().extend_from_slice(frame);
                steps.push_back(if matches!(message, Message::Bind(..)) {
                    Step::Bind { visible: true }
                } else {
                    Step::DescribeStatement
                });
            }
            Message::Describe(Named::Portal(_), frame) => {
                link.out().extend_from_slice(frame);
                steps.push_back(Step::DescribePortal);
            }
            Message::Execute(_, _, frame) => {
                link.out().extend_from_slice(frame);
                steps.push_back(Step::Execute);
            }
            Message::Close(named, frame) => {
                link.out().extend_from_slice(frame);
                if let Named::Statement(name) = named {
                    link.closed(name);
                }
                steps.push_back(Step::Close { visible: true });
            }
            Message::Flush | Message::Sync => {}
        }
    }
    encode::bare(link.out(), b'S');
    link.unit(Owner::Foreground);
    Reading { hidden_commands, rows: Rows::Forward, steps, ..Reading::default() }
}

/// A statement that was prepared here only now, on a connection that had not seen it, may have another shape than the
/// client was told, if the catalog or settings have changed since then. One PostgreSQL would have said "cached plan"; drivers know what to do about that.
#[must_use]
pub fn stale_plan(frame: Bytes) -> Bytes {
    use crate::wire::decode::{error_field, sqlstate};
    let formats = error_field(&frame, b'M').is_some_and(|m| m.starts_with(b"bind message has"));
    if &sqlstate(&frame) == b"08P01" && formats {
        let error = SqlError::new("0A000", "cached plan must not change result type", "Prepare the statement again.");
        return super::foreground::local_error(&error);
    }
    frame
}

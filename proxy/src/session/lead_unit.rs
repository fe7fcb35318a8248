//! One unit of the extended protocol on the lead: its frames, under the names that the statements have there, and its
//! answers; again on the next lead if one is lost.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use raidb_core::sql::analysis::{Command, Proof, Read, Refusal};

use super::Session;
use super::execute::write_prepare;
use super::extended::stale_plan;
use super::foreground::{Reading, Rows, Step};
use super::imaged::as_imaged;
use super::prepared::PreparedStatement;
use super::statement::{Bound, CommandExt, Statement};
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::{Link, Owner, Written};
use crate::wire::encode;

/// BEGIN on the lead's link, prepared once.
pub(super) static LEAD_BEGIN: Bytes = Bytes::from_static(b"raidb_lead_begin");
const LEAD_BEGIN_IDENTITY: u64 = 1 << 62;
/// Marks the identity of a rewritten text.
const REWRITTEN: u64 = 1 << 63;
const PROBE_BEGIN: &str = "SAVEPOINT raidb_probe;SET LOCAL transaction_read_only=on";
const PROBE_END: &[u8] = b"ROLLBACK TO SAVEPOINT raidb_probe;RELEASE SAVEPOINT raidb_probe";

/// A message that waits for the next unit.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Parse(PreparedStatement),
    Bind { portal: Bytes, statement: Statement },
    DescribeStatement(PreparedStatement),
    DescribePortal(Bytes),
    CloseStatement(Bytes),
    ClosePortal(Bytes),
    Local(Bytes),
}

/// The unit under construction: its messages and the one statement whose rows it may return.
#[derive(Clone, Debug, Default)]
pub(super) struct Unit {
    pub(super) pending: Vec<Pending>,
    /// Identity of the statement that the unit is about.
    pub(super) about: Option<u64>,
}

impl Unit {
    fn parses(&self) -> bool {
        self.pending
            .iter()
            .any(|p| matches!(p, Pending::Parse(_) | Pending::Bind { .. } | Pending::DescribeStatement(_)))
    }

    fn only_closes(&self) -> bool {
        let closes =
            |p: &Pending| matches!(p, Pending::CloseStatement(_) | Pending::ClosePortal(_) | Pending::Local(_));
        self.pending.iter().all(closes)
    }
}

/// A statement as it stands on the lead's link: the client's text, or the rewritten one under a name of its own.
pub(super) struct OnLead {
    name: Bytes,
    identity: u64,
    text: Vec<Bytes>,
    rows: Rows,
}

impl Session {
    /// Sends what waits, with an Execute if one is given, and reads the answers; again on the next lead if one is lost.
    pub(super) async fn run_unit(
        &mut self,
        unit: &mut Unit,
        execute: Option<(Bytes, Statement, i32)>,
    ) -> Result<(), Trouble> {
        let unit = std::mem::take(unit);
        if execute.is_none() && unit.pending.iter().all(|p| matches!(p, Pending::Local(_))) {
            for pending in &unit.pending {
                if let Pending::Local(bytes) = pending {
                    self.staged.extend_from_slice(bytes);
                }
            }
            return Ok(());
        }
        if unit.pending.iter().any(|p| matches!(p, Pending::Bind { .. } | Pending::DescribePortal(_))) {
            self.open_implicit();
        }
        let mut execute = execute.map(|(portal, statement, max)| {
            let watched = self.with_cursor_watched(&statement).into_owned();
            (portal, watched, max)
        });
        loop {
            let mark = self.staged.len();
            let result = match self.try_unit(&unit, execute.as_ref()).await {
                Err(Trouble::Undone) => {
                    self.staged.truncate(mark);
                    self.unbind(execute.as_ref());
                    continue;
                }
                Err(Trouble::Writes) => {
                    self.staged.truncate(mark);
                    self.unbind(execute.as_ref());
                    execute = execute.map(|(portal, statement, max)| (portal, as_imaged(&statement), max));
                    if let Some((_, statement, _)) = &execute {
                        self.learn_that_it_writes(statement);
                    }
                    continue;
                }
                Err(Trouble::Doubtful(refusal)) => {
                    self.staged.truncate(mark);
                    self.unbind(execute.as_ref());
                    match self.execute_unproven(execute.as_mut(), &refusal) {
                        Ok(()) => continue,
                        refused => refused,
                    }
                }
                Err(Trouble::LeadChanged) => {
                    self.staged.truncate(mark);
                    let unlocked = execute.as_ref().map_or(Ok(()), |(_, s, _)| self.unlock_unanswered(s));
                    let changed = match unlocked {
                        Ok(()) => self.change_lead().await,
                        Err(error) => Err(error.into()),
                    };
                    match changed {
                        Ok(()) => continue,
                        lost => lost,
                    }
                }
                other => other,
            };
            match result {
                Err(Trouble::MemberLost) if !self.released => {
                    self.staged.truncate(mark);
                    self.next_view().await;
                }
                Err(Trouble::Sql(error)) if execute.is_none() && unit.only_closes() => {
                    self.staged.truncate(mark);
                    return self.close_unasked(&unit, error).await;
                }
                Err(trouble) => {
                    self.unit_failed(&unit, execute.as_ref());
                    return Err(match (trouble, &execute) {
                        (Trouble::Sql(error), Some((_, statement, _))) => self.answer_dropped(error, statement, mark),
                        (trouble, _) => trouble,
                    });
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Its statement runs again as it is.
    fn execute_unproven(
        &mut self,
        execute: Option<&mut (Bytes, Statement, i32)>,
        refusal: &Refusal,
    ) -> Result<(), Trouble> {
        let Some((_, statement, _)) = execute else {
            return Err(SqlError::refused(&refusal.reason, refusal.hint.clone()).into());
        };
        *statement = self.as_unproven(statement, refusal)?;
        Ok(())
    }

    /// Close cannot fail, and drivers do not look at its answer: that the transaction is lost is told to the next statement.
    async fn close_unasked(&mut self, unit: &Unit, error: SqlError) -> Result<(), Trouble> {
        for pending in &unit.pending {
            match pending {
                Pending::Local(bytes) => self.staged.extend_from_slice(bytes),
                Pending::CloseStatement(name) => {
                    self.close_everywhere(name);
                    encode::bare(&mut self.staged, b'3');
                }
                _ => encode::bare(&mut self.staged, b'3'),
            }
        }
        if self.open.is_some() { self.lose_transaction(error.into()).await } else { Ok(()) }
    }

    /// Statements that failed to be parsed do not exist.
    fn unit_failed(&mut self, unit: &Unit, execute: Option<&(Bytes, Statement, i32)>) {
        let mut unsure = Vec::new();
        for pending in &unit.pending {
            match pending {
                Pending::Parse(statement) => self.close_everywhere(&statement.prepared.name),
                Pending::DescribeStatement(statement) => unsure.push(statement.prepared.name.clone()),
                Pending::Bind { statement: Statement { bound: Some(bound), .. }, .. } => {
                    unsure.push(bound.prepared.name.clone());
                }
                _ => {}
            }
        }
        // A Parse that went before them unasked may or may not stand.
        let lead = self.lead();
        self.prepare_unsure(lead, unit, execute.and_then(|(_, statement, _)| statement.executes.as_ref()));
        if let Some(link) = self.link(lead) {
            link.forget(&LEAD_BEGIN);
            for name in unsure {
                link.forget(&Bytes::from([b"raidb_w_", &name[..]].concat()));
                link.forget(&name);
            }
        }
    }

    async fn try_unit(&mut self, unit: &Unit, execute: Option<&(Bytes, Statement, i32)>) -> Result<(), Trouble> {
        let writes = execute.is_some_and(|(_, s, _)| s.analysis.command.may_write());
        let lead = self.ready_members(writes).await?;
        let mut images = None;
        if let Some((portal, statement, _)) = execute {
            self.before_statement(statement, lead).await?;
            images = self.before_images(statement).await?;
            if images.is_some() && portal.is_empty() {
                // A simple query was in between, which drops the unnamed portal.
                self.unbind(Some(&(portal.clone(), statement.clone(), 0)));
            }
        }
        let probe = execute.is_some_and(|(_, s, _)| {
            matches!(
                &s.analysis.command,
                Command::Read(Read { proof: Proof::Probe, .. }) | Command::CopyOut(Read { proof: Proof::Probe, .. })
            )
        });
        if execute.is_none() && unit.parses() {
            // The parser takes one.
            self.look_before_snapshot(lead).await?;
        }
        if probe {
            // Awaited: if it were cancelled, the read would run where it may write.
            let begin = [self.before_probe(), PROBE_BEGIN].concat();
            self.lead_command(&begin).await?;
        }
        let described = self.describing(unit, execute)?;
        let prepare = self.prepare_for(lead, unit, execute.map(|(_, statement, _)| statement))?;
        let mut reading = Reading { rows: described, ..Reading::default() };
        self.write_lead_begin(lead, &mut reading)?;
        if let (Some(text), Some(link)) = (prepare, self.link(lead)) {
            reading.hidden_commands += 1;
            write_prepare(link, &text, &mut reading.steps);
        }
        for pending in &unit.pending {
            self.write_pending(lead, pending, &mut reading.steps)?;
        }
        if let Some((portal, statement, rows_max)) = execute {
            if statement.bound.is_some() {
                self.rebind_if_lost(lead, portal, statement, &mut reading.steps)?;
            }
            let whole = matches!(
                statement.analysis.command,
                Command::Write(_) | Command::Imaged(_) | Command::Unproven(_) | Command::Fill(_)
            );
            let rows_max = if whole { 0 } else { *rows_max };
            if let Some(link) = self.link(lead) {
                encode::execute(link.out(), portal, rows_max);
            }
            reading.steps.push_back(Step::Execute);
        }
        let Some(link) = self.link(lead) else { return Err(self.gone()) };
        encode::bare(link.out(), b'S');
        link.unit(Owner::Foreground);
        if probe {
            link.simple(&[PROBE_END], Owner::ProbeEnd);
        }
        let (mut end, took) = self.read_client_unit(lead, reading).await?;
        if !self.parsed_as_it_is(unit, execute) {
            end.error = end.error.map(stale_plan);
        }
        match execute {
            Some((_, statement, _)) => {
                if end.suspended
                    && let Some(open) = self.open.as_mut()
                {
                    open.lead_only_state = true;
                }
                match images {
                    Some(before) => self.behind_images(statement, before, end, took, 0).await,
                    None => self.after_statement(statement, end, took, 0).await,
                }
            }
            None => {
                self.looked();
                end.error.map_or(Ok(()), |frame| Err(Trouble::Answer(frame)))
            }
        }
    }

    /// Nothing that could change the shape of what is bound has changed since the client had it parsed.
    fn parsed_as_it_is(&self, unit: &Unit, execute: Option<&(Bytes, Statement, i32)>) -> bool {
        let now = self.analysis_version();
        let bound = unit.pending.iter().filter_map(|pending| match pending {
            Pending::Bind { statement, .. } => statement.bound.as_ref(),
            _ => None,
        });
        let mut bound = bound.chain(execute.and_then(|(_, statement, _)| statement.bound.as_ref()));
        bound.all(|bound| self.names.statement(&bound.prepared.name).is_some_and(|known| known.parsed_at == now))
    }

    /// The portal does not stand on the lead any more.
    fn unbind(&mut self, execute: Option<&(Bytes, Statement, i32)>) {
        if let Some(portal) = execute.and_then(|(portal, ..)| self.names.portal(portal)) {
            portal.bound_on = None;
        }
    }

    fn gone(&self) -> Trouble {
        if self.open.is_some() { Trouble::LeadChanged } else { Trouble::MemberLost }
    }

    /// How the rows of the unit's statement are read (and how its description is trimmed).
    fn describing(&self, unit: &Unit, execute: Option<&(Bytes, Statement, i32)>) -> Result<Rows, SqlError> {
        if let Some((_, statement, _)) = execute {
            return self.rows_of(statement);
        }
        for pending in &unit.pending {
            let statement = match pending {
                Pending::Parse(known) | Pending::DescribeStatement(known) => unbound(known),
                Pending::Bind { statement, .. } => statement.clone(),
                _ => continue,
            };
            return self.rows_of(&statement);
        }
        Ok(Rows::Forward)
    }

    /// BEGIN, if the transaction has not begun on the lead, in the same pipeline.
    fn write_lead_begin(&mut self, lead: raidb_core::ids::MemberId, reading: &mut Reading) -> Result<(), Trouble> {
        let begin = match self.open.as_mut() {
            Some(open) if !open.lead_begun => {
                open.lead_begun = true;
                Some(open.modes.begin())
            }
            _ => None,
        };
        let Some(link) = self.link(lead) else { return Err(self.gone()) };
        if let Some(begin) = begin {
            // In the same pipeline: if BEGIN is cancelled, what follows does not run outside a transaction.
            reading.hidden_commands = 1;
            write_prepared_begin(link, &begin, &mut reading.steps);
        }
        Ok(())
    }

    fn on_lead(&self, statement: &Statement) -> Result<OnLead, SqlError> {
        let Some(bound) = &statement.bound else {
            return Err(SqlError::new("XX000", "a statement without its text", "Report this."));
        };
        let prepared = &bound.prepared;
        Ok(match self.rewritten(statement)? {
            None => OnLead {
                name: prepared.name.clone(),
                identity: prepared.identity,
                text: vec![prepared.text.clone()],
                rows: Rows::Forward,
            },
            Some((text, rows)) => {
                let name = if prepared.name.is_empty() {
                    Bytes::new()
                } else {
                    Bytes::from([b"raidb_w_", &prepared.name[..]].concat())
                };
                // The catalog may change what is captured: then the text is another one.
                let version = text.iter().fold(0, |sum, piece| crc32c::crc32c_append(sum, piece));
                OnLead { name, identity: REWRITTEN | u64::from(version) << 24 | prepared.identity, text, rows }
            }
        })
    }

    fn write_pending(
        &mut self,
        lead: raidb_core::ids::MemberId,
        pending: &Pending,
        steps: &mut VecDeque<Step>,
    ) -> Result<(), Trouble> {
        let on_lead = match pending {
            Pending::Parse(known) | Pending::DescribeStatement(known) => Some(self.on_lead(&unbound(known))?),
            Pending::Bind { statement, .. } => Some(self.on_lead(statement)?),
            _ => None,
        };
        let gone = self.gone();
        let Some(link) = self.link(lead) else { return Err(gone) };
        match pending {
            Pending::Local(bytes) => steps.push_back(Step::Local(bytes.clone())),
            Pending::Parse(known) => {
                if let Some(on_lead) = &on_lead {
                    write_parse(link, on_lead, &known.prepared.types, true, steps);
                }
            }
            Pending::DescribeStatement(known) => {
                if let Some(on_lead) = &on_lead {
                    write_parse(link, on_lead, &known.prepared.types, false, steps);
                    encode::describe(link.out(), b'S', &on_lead.name);
                    steps.push_back(Step::DescribeStatement);
                }
            }
            Pending::Bind { portal, statement } => {
                if let (Some(on_lead), Some(bound)) = (&on_lead, &statement.bound) {
                    write_bind(link, on_lead, portal, bound, true, steps);
                }
                if let Some(portal) = self.names.portal(portal) {
                    portal.bound_on = Some(lead);
                }
            }
            Pending::DescribePortal(portal) => {
                encode::describe(link.out(), b'P', portal);
                steps.push_back(Step::DescribePortal);
            }
            Pending::ClosePortal(portal) => {
                encode::close(link.out(), b'P', portal);
                steps.push_back(Step::Close { visible: true });
            }
            Pending::CloseStatement(name) => {
                let rewritten = Bytes::from([b"raidb_w_", &name[..]].concat());
                if link.occupied(&rewritten) {
                    encode::close(link.out(), b'S', &rewritten);
                    link.closed(&rewritten);
                    steps.push_back(Step::Close { visible: false });
                }
                encode::close(link.out(), b'S', name);
                link.closed(name);
                steps.push_back(Step::Close { visible: true });
                let name = name.clone();
                for (index, slot) in self.slots.iter_mut().enumerate() {
                    if index != usize::from(lead.0)
                        && let Some(link) = slot.link.as_mut()
                    {
                        link.forget(&name);
                    }
                }
            }
        }
        Ok(())
    }

    /// A portal that was bound in an earlier unit on a lead that is gone is bound again (nothing was taken from it,
    /// or the transaction would not have been carried over).
    fn rebind_if_lost(
        &mut self,
        lead: raidb_core::ids::MemberId,
        portal: &Bytes,
        statement: &Statement,
        steps: &mut VecDeque<Step>,
    ) -> Result<(), Trouble> {
        let stands = self.names.portal(portal).is_some_and(|p| p.bound_on == Some(lead));
        if stands {
            return Ok(());
        }
        if let Some(portal) = self.names.portal(portal) {
            portal.bound_on = Some(lead);
        }
        let on_lead = self.on_lead(statement)?;
        let gone = self.gone();
        let Some(link) = self.link(lead) else { return Err(gone) };
        if let Some(bound) = &statement.bound {
            if !portal.is_empty() {
                // Of an attempt that was undone: bound before it, it still stands there.
                encode::close(link.out(), b'P', portal);
                steps.push_back(Step::Close { visible: false });
            }
            write_bind(link, &on_lead, portal, bound, false, steps);
        }
        Ok(())
    }
}

fn unbound(known: &PreparedStatement) -> Statement {
    let bound = Bound { prepared: known.prepared.clone(), tail: Bytes::new() };
    Statement {
        sql: known.prepared.text.clone(),
        analysis: known.analysis.clone(),
        bound: Some(bound),
        executes: None,
        generation: 0,
    }
}

pub(super) fn write_prepared_begin(link: &mut Link, begin: &Bytes, steps: &mut VecDeque<Step>) {
    let identity = LEAD_BEGIN_IDENTITY | u64::from(crc32c::crc32c(begin));
    let written = link.prepare(&LEAD_BEGIN, identity, &[&begin[..]], &[0, 0]);
    push_steps(written, false, steps);
    encode::bind_empty(link.out(), b"raidb_begin", &LEAD_BEGIN);
    steps.push_back(Step::Bind { visible: false });
    encode::execute(link.out(), b"raidb_begin", 0);
    steps.push_back(Step::Execute);
}

/// Makes the statement stand under its name; `visible`: the client asked for it and gets its ParseComplete.
fn write_parse(link: &mut Link, on_lead: &OnLead, types: &Bytes, visible: bool, steps: &mut VecDeque<Step>) {
    let text: Vec<&[u8]> = on_lead.text.iter().map(|p| &p[..]).collect();
    let written = link.prepare(&on_lead.name, on_lead.identity, &text, types);
    if visible && !written.parsed {
        steps.push_back(Step::Local(bare(b'1')));
    }
    push_steps(written, visible, steps);
}

/// The answers to what was written; the client never asked for the Close.
pub(super) fn push_steps(written: Written, visible: bool, steps: &mut VecDeque<Step>) {
    if written.closed {
        steps.push_back(Step::Close { visible: false });
    }
    if written.parsed {
        steps.push_back(Step::Parse { visible });
    }
}

fn write_bind(
    link: &mut Link,
    on_lead: &OnLead,
    portal: &Bytes,
    bound: &Bound,
    visible: bool,
    steps: &mut VecDeque<Step>,
) {
    write_parse(link, on_lead, &bound.prepared.types, false, steps);
    let extra = match on_lead.rows {
        Rows::Capture { columns, .. } => columns,
        Rows::Forward | Rows::Watch | Rows::Discard | Rows::Results => 0,
    };
    match with_formats(&bound.tail, extra) {
        Some(tail) => encode::bind(link.out(), portal, &on_lead.name, &tail),
        None => encode::bind(link.out(), portal, &on_lead.name, &bound.tail),
    }
    steps.push_back(Step::Bind { visible });
}

/// Result formats for the added columns, where the client named one for each of its own. The added ones are of
/// type text, which is the same bytes in both formats, so one format for all may stand.
fn with_formats(tail: &Bytes, extra: usize) -> Option<Bytes> {
    let at = result_formats_at(tail)?;
    let count = u16::from_be_bytes([*tail.get(at)?, *tail.get(at + 1)?]);
    if extra == 0 || count < 2 {
        return None;
    }
    let mut out = BytesMut::with_capacity(tail.len() + 2 * extra);
    out.extend_from_slice(&tail[..at]);
    out.put_u16(count + u16::try_from(extra).ok()?);
    out.extend_from_slice(&tail[at + 2..]);
    out.put_bytes(0, 2 * extra);
    Some(out.freeze())
}

pub(super) fn result_formats_at(tail: &[u8]) -> Option<usize> {
    let u16_at = |at: usize| tail.get(at..at + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    let mut at = 2 + 2 * u16_at(0)?;
    let values = u16_at(at)?;
    at += 2;
    for _ in 0..values {
        let length = tail.get(at..at + 4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]))?;
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    Some(at)
}

pub(super) fn bare(tag: u8) -> Bytes {
    let mut out = BytesMut::new();
    encode::bare(&mut out, tag);
    out.freeze()
}

//! Reads outside transactions: any enabled member, strict, and again elsewhere if one is lost.

use std::collections::VecDeque;

use bytes::BytesMut;
use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::{Command, Isolation, Proof, Read};
use raidb_core::sql::footprint::Footprint;
use tokio::time::Instant;

use super::Session;
use super::foreground::{Reading, Rows, Step, UnitEnd};
use super::frames;
use super::imaged::as_imaged;
use super::outcome::cursor_of;
use super::statement::Statement;
use super::temporary::{is_temporary_sequence, temporary_is_lost};
use super::trouble::{SqlError, Trouble, shift_position};
use crate::members::pg::link::{Link, Owner};
use crate::virtual_database::member::PendingGuard;
use crate::wire::encode;

/// A transaction in which a member refuses to write.
const PROBE_BEGIN: &[u8] = b"BEGIN READ ONLY;";

/// What to do for a read.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    /// What it must not miss.
    pub footprint: Footprint,
    /// It must run on the lead.
    pub lead_only: bool,
    /// It is not proven to be a read.
    pub probe: bool,
    /// Statements in it.
    pub statements: usize,
    /// Sequences that it advances.
    pub sequences: Vec<String>,
}

impl ReadPlan {
    /// Adds another statement of the same pipeline.
    pub fn absorb(&mut self, other: ReadPlan) {
        self.footprint.absorb(other.footprint);
        self.lead_only |= other.lead_only;
        self.probe |= other.probe;
        self.statements += other.statements;
        self.sequences.extend(other.sequences);
    }
}

impl Session {
    /// How to run a read; `None`: it is none.
    pub(crate) fn read_plan(&self, statement: &Statement) -> Option<ReadPlan> {
        let (Command::Read(read) | Command::CopyOut(read)) = &statement.analysis.command else {
            return matches!(statement.analysis.command, Command::Empty).then(|| ReadPlan {
                footprint: Footprint::Nothing,
                lead_only: false,
                probe: false,
                statements: 1,
                sequences: Vec::new(),
            });
        };
        let Read { proof, lead_only, sequences, .. } = read;
        if sequences.iter().any(|name| is_temporary_sequence(name)) {
            // Its state goes to the followers with a transaction.
            return None;
        }
        let probe = *proof == Proof::Probe && sequences.is_empty();
        // What it reads is part of what the lead certifies for others: one that is still open there, and writes what this has not seen,
        // must be refused if it has itself not seen what this has. So it runs there, and ends by a COMMIT: a ROLLBACK takes back what is
        // known of its reads.
        let certified = self.settings.isolation == Isolation::Serializable;
        if certified && probe {
            return None;
        }
        Some(ReadPlan {
            footprint: self.read_footprint(statement),
            // Catalogs, and functions of users, may show temporary objects. A function may fetch from a cursor.
            lead_only: *lead_only
                || certified
                || !sequences.is_empty()
                || self.has_temporary()
                || probe && self.held_cursors.any(),
            probe,
            statements: 1,
            sequences: sequences.clone(),
        })
    }

    /// A simple query that is a read.
    pub(crate) async fn balanced_simple(&mut self, statement: &Statement) -> Result<(), Trouble> {
        let Some(plan) = self.read_plan(statement) else {
            return Err(SqlError::new("XX000", "not a read", "Report this.").into());
        };
        let prefix: &[u8] = if plan.probe { PROBE_BEGIN } else { b"" };
        let sql = statement.sql.clone();
        let hidden = usize::from(plan.probe);
        let mark = self.staged.len();
        let mut shift = 0;
        let result = self
            .balanced(&plan, &mut |link: &mut Link| {
                let (prepare, prepares) = frames::before_sql(link, statement);
                shift = prefix.len() + String::from_utf8_lossy(&prepare).chars().count();
                link.simple(&[prefix, &prepare, &sql], Owner::Foreground);
                Reading { hidden_commands: hidden + prepares, rows: Rows::Forward, ..Reading::default() }
            })
            .await;
        if !matches!(&result, Ok(end) if end.error.is_none()) {
            self.prepared_unsure(statement);
        }
        let cursor = cursor_of(&statement.analysis.command);
        match result?.error {
            Some(frame) if plan.probe && super::lead::is_read_only_violation(&frame) && !self.released => {
                // It has done nothing: READ ONLY. It runs again where what it writes is found.
                self.staged.truncate(mark);
                self.open_implicit();
                let statement = as_imaged(statement);
                self.learn_that_it_writes(&statement);
                self.simple_on_lead(&statement).await
            }
            Some(frame) => match self.explain_lost_cursor(cursor, &frame) {
                Some(error) => Err(error.into()),
                None => Err(Trouble::Answer(shift_position(&frame, shift))),
            },
            None => {
                cursor.into_iter().for_each(|cursor| self.cursor_used(cursor));
                Ok(())
            }
        }
    }

    /// Runs a unit of reads on a picked member: `write` puts its frames on the link and says how to read the answer.
    pub(crate) async fn balanced(
        &mut self,
        plan: &ReadPlan,
        write: &mut (dyn FnMut(&mut Link) -> Reading + Send),
    ) -> Result<UnitEnd, Trouble> {
        loop {
            let mark = self.staged.len();
            match self.try_balanced(plan, write).await {
                Err(Trouble::MemberLost | Trouble::LeadChanged) if !self.released => {
                    self.staged.truncate(mark);
                    self.next_view().await;
                }
                Err(Trouble::MemberLost | Trouble::LeadChanged) => {
                    return Err(SqlError::retry("the member that was sending rows was lost").into());
                }
                other => return other,
            }
        }
    }

    async fn try_balanced(
        &mut self,
        plan: &ReadPlan,
        write: &mut (dyn FnMut(&mut Link) -> Reading + Send),
    ) -> Result<UnitEnd, Trouble> {
        let member = self.reader(plan.lead_only).await?;
        self.look(member, &plan.footprint, plan.statements == 1 && !plan.probe).await?;
        let Some(link) = self.link(member) else { return Err(Trouble::MemberLost) };
        let cancel = link.cancel_key();
        let reading = write(link);
        if plan.probe {
            // What a READ ONLY transaction does not refuse (a large object, a setting) must not stay on this member alone.
            link.simple(&[b"ROLLBACK"], Owner::Discarded);
        }
        let started = Instant::now();
        let _pending = PendingGuard::new(self.database.clone(), member);
        self.handle.set_running(Some(cancel));
        let result = self.read_unit(member, reading).await;
        self.handle.set_running(None);
        self.looked();
        let end = result?;
        self.database.member(member).observe(started.elapsed());
        self.database.counters.reads.add();
        if end.error.is_none()
            && !plan.sequences.is_empty()
            && let Err(Trouble::LeadChanged | Trouble::MemberLost) = self.note_sequences(&plan.sequences, true).await
        {
            // Not run again: it has taken effect on the member that is gone.
            return Err(SqlError::retry("the lead was lost before the sequence's state was known").into());
        }
        Ok(end)
    }

    /// A member for a read, with its connection.
    async fn reader(&mut self, lead_only: bool) -> Result<MemberId, Trouble> {
        loop {
            if self.view.down {
                return Err(SqlError::no_member().into());
            }
            if self.temporary_lost() {
                return Err(Trouble::Fatal(temporary_is_lost()));
            }
            let member = if lead_only { self.view.lead } else { self.database.pick(&self.view, self.last_reader) };
            self.ensure_links(&[member]).await?;
            if self.view.is_enabled(member) && self.slots[usize::from(member.0)].link.is_some() {
                self.last_reader = Some(member);
                return Ok(member);
            }
            self.next_view().await;
        }
    }
}

/// BEGIN READ ONLY before a pipeline that is not proven, as frames of the same pipeline.
pub fn write_probe_begin(out: &mut BytesMut, steps: &mut VecDeque<Step>) -> usize {
    encode::parse(out, b"raidb_probe", &[b"BEGIN READ ONLY"], &[0, 0]);
    encode::bind_empty(out, b"raidb_probe", b"raidb_probe");
    encode::execute(out, b"raidb_probe", 0);
    encode::close(out, b'S', b"raidb_probe");
    steps.push_back(Step::Parse { visible: false });
    steps.push_back(Step::Bind { visible: false });
    steps.push_back(Step::Execute);
    steps.push_back(Step::Close { visible: false });
    1
}

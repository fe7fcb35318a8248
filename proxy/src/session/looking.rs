//! Statements that read: what they wait for on their member, and that commits leave in one order as long as they may see them
//! (`virtual_database::in_flight`).

use std::sync::Arc;

use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::{Command, Proof, Read, Write, WriteForm};
use raidb_core::sql::footprint::Footprint;

use super::Session;
use super::control::is_set;
use super::statement::Statement;
use super::transaction::OpenTransaction;
use super::trouble::Trouble;
use crate::virtual_database::VirtualDatabase;
use crate::virtual_database::in_flight::ReaderId;

/// A statement that may not have its snapshot yet.
#[derive(Debug)]
pub(crate) struct Look {
    database: Arc<VirtualDatabase>,
    id: ReaderId,
    /// Its first row tells that it has its snapshot; of several statements that of one tells nothing of the others.
    pub(super) single: bool,
}

impl Drop for Look {
    fn drop(&mut self) {
        self.database.in_flight.has_read(self.id);
    }
}

impl Session {
    /// Waits on `member` for the commits in flight that write what is read, and has those that come later leave in one order,
    /// until [`Session::looked`]. `single`: one statement, whose rows are forwarded.
    pub(super) async fn look(&mut self, member: MemberId, footprint: &Footprint, single: bool) -> Result<(), Trouble> {
        self.look = None;
        if footprint.is_nothing() {
            return Ok(());
        }
        if footprint.is_one_row() {
            // Commits on one row are in order anyway: each needs the lock of the one before.
            return self.wait_for_commits(member, footprint).await;
        }
        let (tickets, id) = self.database.in_flight.reads(member, footprint);
        self.look = Some(Look { database: self.database.clone(), id, single });
        self.wait_tickets(member, tickets).await
    }

    async fn wait_for_commits(&mut self, member: MemberId, footprint: &Footprint) -> Result<(), Trouble> {
        let mut tickets = self.database.in_flight.conflicting(footprint);
        tickets.retain(|ticket| ticket.pending_on(member));
        self.wait_tickets(member, tickets).await
    }

    /// The same for a statement on the lead.
    pub(super) async fn look_on_lead(&mut self, statement: &Statement, lead: MemberId) -> Result<(), Trouble> {
        let footprint = self.read_footprint(statement);
        let command = &statement.analysis.command;
        let lasting = self.open.as_ref().filter(|open| open.modes.isolation.lasts());
        match lasting.map(|open| open.lead_begun && open.has_snapshot) {
            Some(true) => self.wait_for_commits(lead, &footprint).await,
            // A snapshot that lasts is taken by what comes later.
            Some(false) if matches!(command, Command::LockTable(_)) || is_set(statement) => Ok(()),
            Some(false) => {
                self.look(lead, &Footprint::Everything, false).await?;
                // SHOW and the like may take none.
                let takes = !matches!(command, Command::Read(_)) || !footprint.is_nothing();
                if let Some(open) = self.open.as_mut() {
                    open.has_snapshot |= takes;
                }
                Ok(())
            }
            // It sees the rows that it names, and no others.
            None if matches!(command, Command::Write(Write { form: WriteForm::Keyed { .. }, .. })) => {
                self.wait_for_commits(lead, &footprint).await
            }
            None => {
                let proven = |read: &Read| read.proof == Proof::Proven;
                let single = matches!(command, Command::Read(read) | Command::CopyOut(read) if proven(read));
                self.look(lead, &footprint, single).await
            }
        }
    }

    /// What the proxy itself is about to ask on the lead, or has parsed there, may take the snapshot that lasts.
    pub(super) async fn look_before_snapshot(&mut self, lead: MemberId) -> Result<(), Trouble> {
        let lasts = |open: &OpenTransaction| open.modes.isolation.lasts() && !open.has_snapshot;
        if self.open.as_ref().is_some_and(lasts) {
            self.look(lead, &Footprint::Everything, false).await
        } else {
            Ok(())
        }
    }

    /// The statement has its snapshot, or is over.
    pub(super) fn looked(&mut self) {
        self.look = None;
    }
}

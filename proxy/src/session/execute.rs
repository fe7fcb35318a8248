//! EXECUTE, in both protocols: it is what the prepared statement is, under the text that the client sent.
//!
//! **In the extended protocol** the EXECUTE itself is parsed and bound on the lead, so that its rows are described, and shown in the
//! formats that the client asks for, by PostgreSQL. What it names must stand there when it is parsed, since it is described by that;
//! so the PREPARE goes in front of the unit. Followers and the log get the text, as from a simple query.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::{Analysis, Command, Fill, FootprintHint, RowLock, Write, WriteForm};

use super::Session;
use super::control::is_control;
use super::foreground::Step;
use super::frames::prepare_if_unknown;
use super::lead_unit::{Pending, Unit, push_steps};
use super::prepared::Prepared;
use super::statement::Statement;
use super::trouble::SqlError;
use crate::members::pg::link::Link;
use crate::wire::{decode, encode};

/// Names of the PREPARE that goes before an EXECUTE of the extended protocol, and of its portal.
static PREPARE: Bytes = Bytes::from_static(b"raidb_prepare");
/// Marks its identity.
const PREPARE_IDENTITY: u64 = 1 << 61;

impl Session {
    /// An EXECUTE, or CREATE TABLE … AS EXECUTE, as what it stands for now; any other statement as it is.
    ///
    /// # Errors
    /// 26000, 0A000.
    pub(super) fn executed_statement(&mut self, statement: Statement) -> Result<Statement, SqlError> {
        let mut executed = match &statement.analysis.command {
            Command::Execute { name } => self.execute_statement(&statement, name)?,
            Command::Fill(Fill { executes: Some(name), .. }) => self.filled_by_execute(&statement, name)?,
            _ => return Ok(statement),
        };
        let parameters = statement.bound.as_ref().map_or(0, |bound| decode::bind_parameters(&bound.tail).len());
        if statement.analysis.parameters > 0 {
            // They are none of its own: "there is no parameter $1". The lead says so before anything runs.
            let what = "a parameter of the protocol in an EXECUTE".to_owned();
            executed.analysis =
                Arc::new(Analysis { command: Command::Unknown { what }, ..(*executed.analysis).clone() });
        } else if parameters > 0 {
            return Err(SqlError::refused(
                "parameters are bound to an EXECUTE that does not use them",
                "Bind none, or bind the prepared statement itself.",
            ));
        }
        Ok(executed)
    }

    /// EXECUTE name: it is what the prepared statement is, under the text that the client sent.
    pub(super) fn execute_statement(&mut self, statement: &Statement, name: &str) -> Result<Statement, SqlError> {
        let name = Bytes::copy_from_slice(name.as_bytes());
        let known = self.known_statement(&name)?;
        let analysis = known.analysis;
        let rewritten = matches!(
            &analysis.command,
            Command::Write(Write { form: WriteForm::Captured(_), .. })
                | Command::RowLock(RowLock { capture: Some(_), .. })
        );
        if rewritten {
            return Err(SqlError::refused(
                "EXECUTE of a statement whose values only the lead can know is not supported",
                "Send the statement itself, or prepare it in the driver (extended protocol).",
            ));
        }
        let temporary = |id| self.catalog().by_id.get(id).is_some_and(|table| table.is_of_session());
        if analysis.tables.iter().any(temporary) {
            // The lead may have planned it before the name meant this.
            return Err(SqlError::refused(
                "EXECUTE of a statement that names a temporary table is not supported",
                "Send the statement itself, or prepare it in the driver (extended protocol).",
            ));
        }
        if !can_be_executed(&analysis.command) {
            return Err(SqlError::refused(
                "EXECUTE of this kind of statement is not supported",
                "Send the statement itself.",
            ));
        }
        let executes = Some(self.executed(&known.prepared)?);
        // Parameters come from the EXECUTE's text, which is not looked into: keys are unknown.
        let analysis = Arc::new(without_parameters(&analysis));
        Ok(Statement { analysis, executes, ..statement.clone() })
    }

    /// What the EXECUTE in this unit names is about to stand on the lead as it is meant now, and on no account otherwise. Gives the
    /// PREPARE that has yet to be written, behind BEGIN.
    pub(super) fn prepare_for(
        &mut self,
        lead: MemberId,
        unit: &Unit,
        execute: Option<&Statement>,
    ) -> Result<Option<Bytes>, SqlError> {
        let prepared = match execute.and_then(|statement| statement.executes.clone()) {
            Some(prepared) => prepared,
            None => {
                let Some(name) = unit.pending.iter().find_map(named_by) else { return Ok(None) };
                let Ok(known) = self.known_statement(&name) else {
                    // What a client closed may still stand there.
                    self.link(lead).into_iter().for_each(|link| link.close_name(&name));
                    return Ok(None);
                };
                self.executed(&known.prepared)?
            }
        };
        Ok(self.link(lead).and_then(|link| prepare_if_unknown(link, &prepared)))
    }

    /// Behind a failure it is not known whether what was put in front stands.
    pub(super) fn prepare_unsure(&mut self, lead: MemberId, unit: &Unit, execute: Option<&Arc<Prepared>>) {
        let named = execute.map(|prepared| prepared.name.clone()).or_else(|| unit.pending.iter().find_map(named_by));
        if let (Some(name), Some(link)) = (named, self.link(lead)) {
            link.forget(&name);
            link.forget(&PREPARE);
        }
    }
}

/// The name that an EXECUTE among a unit's messages stands for.
fn named_by(pending: &Pending) -> Option<Bytes> {
    let analysis = match pending {
        Pending::Parse(known) | Pending::DescribeStatement(known) => &known.analysis,
        Pending::Bind { statement, .. } => &statement.analysis,
        _ => return None,
    };
    match &analysis.command {
        Command::Execute { name } | Command::Fill(Fill { executes: Some(name), .. }) => {
            Some(Bytes::copy_from_slice(name.as_bytes()))
        }
        _ => None,
    }
}

/// Writes a PREPARE into a pipeline, unseen by the client: its command tag is hidden.
pub(super) fn write_prepare(link: &mut Link, text: &Bytes, steps: &mut VecDeque<Step>) {
    let written = link.prepare(&PREPARE, PREPARE_IDENTITY | u64::from(crc32c::crc32c(text)), &[&text[..]], &[0, 0]);
    push_steps(written, false, steps);
    encode::bind_empty(link.out(), &PREPARE, &PREPARE);
    steps.push_back(Step::Bind { visible: false });
    encode::execute(link.out(), &PREPARE, 0);
    steps.push_back(Step::Execute);
    encode::close(link.out(), b'P', &PREPARE);
    steps.push_back(Step::Close { visible: false });
}

/// Statements that PREPARE can make and that run by their text alone. What Parse has made may be any other, an EXECUTE too.
fn can_be_executed(command: &Command) -> bool {
    match command {
        Command::Fill(_) | Command::Execute { .. } | Command::Utility(_) | Command::LockTable(_) => false,
        other => !is_control(other),
    }
}

fn without_parameters(analysis: &Analysis) -> Analysis {
    let mut analysis = analysis.clone();
    match &mut analysis.command {
        Command::Write(write) if matches!(write.footprint, FootprintHint::Keys(_)) => {
            write.footprint = FootprintHint::Group
        }
        Command::RowLock(lock) => lock.footprint = FootprintHint::Group,
        _ => {}
    }
    analysis.read_key = None;
    analysis
}

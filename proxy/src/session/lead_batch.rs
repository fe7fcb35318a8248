//! A batch of the extended protocol on the lead: one unit for each Execute, with what stands before it.

use bytes::Bytes;
use raidb_core::sql::analysis::{Command, Proof, Read};

use super::Session;
use super::batch::Message;
use super::control::is_control;
use super::extended::SEVERAL;
use super::lead_unit::{Pending, Unit, bare};
use super::statement::{Bound, Statement};
use super::token::{describe_portal, describe_statement};
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::wire::decode::{Named, Parse};

impl Session {
    /// Works on a batch, message by message; an error skips the rest up to Sync.
    pub(crate) async fn lead_batch(&mut self, messages: Vec<Message>) -> Result<(), Trouble> {
        let mut unit = Unit::default();
        let mut copied = false;
        let mut messages = messages.into_iter().peekable();
        while let Some(message) = messages.next() {
            self.behind = messages.peek().map(Message::tag);
            match message {
                // In copy mode a Sync is ignored: the client sends another behind its rows.
                Message::Sync | Message::Flush if copied => {}
                Message::Sync => self.sync(&mut unit).await?,
                // A client that asks for its answers here may wait for the error before it sends Sync.
                Message::Flush if self.skipping => self.release_staged(),
                _ if self.skipping => {}
                Message::Flush => self.flush_message(&mut unit).await?,
                other => {
                    self.copy_answered = false;
                    let result = self.lead_message(other, &mut unit).await;
                    copied |= std::mem::take(&mut self.copy_answered);
                    if let Err(trouble) = result {
                        let trouble = self.behind_what_waits(trouble, &mut unit).await;
                        unit = Unit::default();
                        self.skipping = true;
                        self.fail(trouble, 0).await?;
                    }
                }
            }
        }
        if !unit.pending.is_empty() {
            // The batch was cut before its Sync: what waits for an Execute is kept by sending it now.
            if let Err(trouble) = self.run_unit(&mut unit, None).await {
                self.skipping = true;
                self.fail(trouble, 0).await?;
            }
        }
        if self.skipping {
            // PostgreSQL sends an error at once. Whoever did not send its Sync with the rest waits for it (or for COPY's answer).
            self.release_staged();
        }
        Ok(())
    }

    /// An error about a name, or of the block, is told behind the answers to what came before it; or one of those is an error.
    async fn behind_what_waits(&mut self, trouble: Trouble, unit: &mut Unit) -> Trouble {
        let about_names = |error: &SqlError| {
            matches!(error.sqlstate, SqlError::FAILED_TRANSACTION | "26000" | "34000" | "42P03" | "42P05" | SEVERAL)
        };
        if !matches!(&trouble, Trouble::Sql(error) if about_names(error)) {
            return trouble;
        }
        self.run_unit(unit, None).await.err().unwrap_or(trouble)
    }

    async fn flush_message(&mut self, unit: &mut Unit) -> Result<(), Trouble> {
        if let Err(trouble) = self.run_unit(unit, None).await {
            self.skipping = true;
            self.fail(trouble, 0).await?;
        }
        self.release_staged();
        self.flush_and_follow().await
    }

    async fn sync(&mut self, unit: &mut Unit) -> Result<(), Trouble> {
        if !self.skipping {
            let result = self.run_unit(unit, None).await;
            let result = match result {
                Ok(()) if self.block == Block::Idle && self.open.is_some() => self.commit().await,
                // What this Sync was to commit was lost while nothing was asked: it would acknowledge what no member has.
                Ok(()) if self.block == Block::Idle => {
                    self.lost_transaction.take().map_or(Ok(()), |lost| Err(lost.into()))
                }
                other => other,
            };
            if let Err(trouble) = result {
                self.fail(trouble, 0).await?;
            }
        } else if self.block == Block::Idle {
            // An error was told for this pipeline; the next one has nothing to do with it.
            self.lost_transaction = None;
        }
        *unit = Unit::default();
        self.skipping = false;
        if self.open.is_none() {
            self.names.end_transaction();
        }
        self.ready().await
    }

    /// Whether the message is about a statement whose meaning may depend on a setting that the lead is still to be asked about.
    async fn meaning_of_message(&mut self, message: &Message, unit: &mut Unit) -> Result<(), Trouble> {
        if self.open.as_ref().is_none_or(|open| open.meaning_due.is_none()) {
            return Ok(());
        }
        let analysis = match message {
            Message::Parse(parse, _) => Some(self.analysis(&parse.text, false)),
            Message::Bind(bind, _) => self.known_statement(&bind.statement).ok().map(|known| known.analysis),
            Message::Describe(Named::Statement(name), _) => self.known_statement(name).ok().map(|known| known.analysis),
            Message::Execute(portal, ..) if !self.sql_cursor(portal) => {
                self.portal_statement(portal).ok().map(|statement| statement.analysis)
            }
            _ => None,
        };
        if let Some(analysis) = analysis {
            // What came before it in the pipeline is not to be answered by other settings.
            self.run_unit(unit, None).await?;
            self.meaning_for(&analysis.command).await;
        }
        Ok(())
    }

    async fn lead_message(&mut self, message: Message, unit: &mut Unit) -> Result<(), Trouble> {
        self.meaning_of_message(&message, unit).await?;
        match message {
            Message::Parse(parse, _) => {
                self.check_parse_when_failed(&parse).await?;
                let statement = match self.prepare(&parse) {
                    Err(error) if error.sqlstate == SEVERAL => {
                        // They are parsed before they are counted.
                        let unreadable = self.unreadable(&parse.text).await?;
                        return Err(unreadable.map_or_else(|| error.into(), Trouble::Answer));
                    }
                    other => other?,
                };
                if self.block != Block::Failed {
                    self.check_block(&statement.analysis.command)?;
                }
                self.names.keep(statement.clone());
                let local = answered_here(&statement.analysis.command)?;
                let pending = if local { Pending::Local(bare(b'1')) } else { Pending::Parse(statement.clone()) };
                self.add(unit, statement.prepared.identity, pending).await
            }
            Message::Bind(bind, _) => {
                let known = self.known_statement(&bind.statement)?;
                self.check_block(&known.analysis.command)?;
                self.bind_portal(&bind.portal, &known, &bind.tail)?;
                let identity = known.prepared.identity;
                let local = answered_here(&known.analysis.command)?;
                let bound = Bound { prepared: known.prepared.clone(), tail: bind.tail.clone() };
                let statement = Statement {
                    sql: known.prepared.text.clone(),
                    analysis: known.analysis.clone(),
                    bound: Some(bound),
                    executes: None,
                    generation: self.generation,
                };
                let pending =
                    if local { Pending::Local(bare(b'2')) } else { Pending::Bind { portal: bind.portal, statement } };
                self.add(unit, identity, pending).await
            }
            Message::Describe(Named::Statement(name), _) => {
                let known = self.known_statement(&name)?;
                let identity = known.prepared.identity;
                let pending = if answered_here(&known.analysis.command)? {
                    Pending::Local(describe_statement(&known.analysis, &known.prepared))
                } else {
                    Pending::DescribeStatement(known)
                };
                self.add(unit, identity, pending).await
            }
            // A cursor made by DECLARE is a portal too; the lead has it.
            Message::Describe(Named::Portal(portal), _) if self.sql_cursor(&portal) => {
                unit.pending.push(Pending::DescribePortal(portal));
                Ok(())
            }
            Message::Describe(Named::Portal(portal), _) => {
                let statement = self.portal_statement(&portal)?;
                let identity = statement.bound.as_ref().map_or(0, |b| b.prepared.identity);
                let pending = if answered_here(&statement.analysis.command)? {
                    let tail = statement.bound.as_ref().map(|bound| bound.tail.clone()).unwrap_or_default();
                    Pending::Local(describe_portal(&statement.analysis, &statement.sql, &tail))
                } else {
                    Pending::DescribePortal(portal)
                };
                self.add(unit, identity, pending).await
            }
            Message::Close(Named::Statement(name), _) => {
                self.names.close_statement(&name);
                unit.pending.push(Pending::CloseStatement(name));
                Ok(())
            }
            Message::Close(Named::Portal(name), _) => {
                self.names.close_portal(&name);
                unit.pending.push(Pending::ClosePortal(name));
                Ok(())
            }
            Message::Execute(portal, rows_max, _) => self.execute_portal(&portal, rows_max, unit).await,
            Message::Flush | Message::Sync => Ok(()),
        }
    }

    /// In a failed block a text is parsed, and refused, before its name is looked at. Several are refused for their number, and an
    /// empty one is not.
    async fn check_parse_when_failed(&mut self, parse: &Parse) -> Result<(), Trouble> {
        if self.block != Block::Failed || self.several(parse) {
            return Ok(());
        }
        let analysis = self.analysis(&parse.text, false);
        let refusal = match &analysis.command {
            Command::Empty => None,
            command => self.refusal_of_block(command),
        };
        match refusal {
            Some(refusal) => Err(self.refused_behind_parser(refusal, &analysis.command, &parse.text).await),
            None => Ok(()),
        }
    }

    fn sql_cursor(&self, portal: &Bytes) -> bool {
        let any = self.held_cursors.any() || self.open.as_ref().is_some_and(|open| open.lead_begun);
        any && !portal.is_empty() && !self.names.has_portal(portal)
    }

    fn check_block(&mut self, command: &Command) -> Result<(), SqlError> {
        match self.refusal_of_block(command) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// A unit is about one statement, because only one can have its rows captured.
    async fn add(&mut self, unit: &mut Unit, identity: u64, pending: Pending) -> Result<(), Trouble> {
        if unit.about.is_some_and(|about| about != identity) {
            self.run_unit(unit, None).await?;
        }
        unit.about = Some(identity);
        unit.pending.push(pending);
        Ok(())
    }

    async fn execute_portal(&mut self, portal: &Bytes, rows_max: i32, unit: &mut Unit) -> Result<(), Trouble> {
        let statement = if self.sql_cursor(portal) {
            if self.open.as_ref().is_some_and(|open| open.imaged) {
                return Err(SqlError::refused(
                    "a cursor that a function may have opened is read by Execute, and what its query writes would not be seen",
                    "Send FETCH.",
                )
                .into());
            }
            cursor_fetch()
        } else {
            let statement = self.portal_statement(portal)?;
            self.check_bound(portal, &statement)?;
            statement
        };
        self.current = statement.sql.clone();
        let command = &statement.analysis.command;
        self.check_block(command)?;
        if let Command::CopyIn(copy) = command {
            self.run_unit(unit, None).await?;
            let plain = Statement { bound: None, ..statement.clone() };
            return self.copy_in(&plain, &copy.clone()).await;
        }
        let by_protocol = matches!(command, Command::Concurrently(_) | Command::TwoPhase { .. });
        if by_protocol || matches!(command, Command::Token(_) | Command::Notification(_) | Command::Route { .. }) {
            // It may have a parameter, and its rows were described by then.
            self.run_unit(unit, None).await?;
            return self.control(&statement).await;
        }
        if is_control(command) {
            self.run_unit(unit, None).await?;
            let plain = Statement { bound: None, ..statement };
            // A setting in the form of a query runs by its text, and its row was described before, if the client asked.
            self.described = true;
            let result = self.control(&plain).await;
            self.described = false;
            return result;
        }
        if answered_here(command)? {
            self.run_unit(unit, None).await?;
            let plain = Statement { bound: None, ..statement };
            self.check_in_block(&plain)?;
            self.open_implicit();
            return self.simple_on_lead(&plain).await;
        }
        let checked = self.check_in_block(&statement).and_then(|()| self.executed_statement(statement));
        let statement = match checked {
            Ok(statement) => statement,
            Err(error) => {
                // It is behind what it came with.
                self.run_unit(unit, None).await?;
                return Err(error.into());
            }
        };
        self.open_implicit();
        self.run_unit(unit, Some((portal.clone(), statement, rows_max))).await
    }
}

/// Commands whose Parse, Bind and Describe the proxy answers itself: they have no parameters and no rows, and run by text;
/// or the proxy runs them itself.
fn answered_here(command: &Command) -> Result<bool, SqlError> {
    match command {
        Command::Refused(refusal) => Err(SqlError::refused(&refusal.reason, refusal.hint.clone())),
        Command::Utility(_) | Command::LockTable(_) => Ok(true),
        other => Ok(is_control(other)),
    }
}

/// Execute of a portal that SQL made (DECLARE): a read of the lead's.
fn cursor_fetch() -> Statement {
    let read = Read { proof: Proof::Proven, lead_only: true, sequences: Vec::new(), cursor: None };
    let analysis = raidb_core::sql::analysis::Analysis {
        command: Command::Read(read),
        tables: Vec::new(),
        read_footprint: raidb_core::sql::footprint::Footprint::Nothing,
        read_key: None,
        because: "".into(),
        parameters: 0,
        standard_conforming: true,
    };
    Statement { sql: Bytes::new(), analysis: analysis.into(), bound: None, executes: None, generation: 0 }
}

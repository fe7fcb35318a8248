//! A batch of the extended protocol that is nothing but one INSERT: the same as a simple query ([`super::combined`]). Its answers are
//! made here: ParseComplete and BindComplete say no more than that, an INSERT without RETURNING has no rows to describe.

use raidb_core::sql::analysis::{Command, Write, WriteForm};

use super::Session;
use super::batch::Message;
use super::prepared::PreparedStatement;
use super::present_time::refuse_parameters;
use super::statement::{Bound, Statement};
use super::transaction::Block;
use super::trouble::Trouble;
use crate::wire::decode::Named;
use crate::wire::encode;

/// `[Parse] Bind [Describe] Execute Sync`, of the unnamed portal.
struct SingleInsert {
    parsed: Option<PreparedStatement>,
    statement: Statement,
    described: bool,
}

impl Session {
    /// Runs the batch together with the INSERTs of others. False: it was not, and goes the usual way.
    ///
    /// # Errors
    /// What ends the session.
    pub(super) async fn combined_batch(&mut self, messages: &[Message]) -> Result<bool, Trouble> {
        let Some(single) = self.single_insert(messages) else { return Ok(false) };
        self.current = single.statement.sql.clone();
        match self.combined(&single.statement).await {
            Ok(false) => return Ok(false),
            Ok(true) => {
                let done = self.staged.split();
                if let Some(parsed) = single.parsed {
                    self.names.keep(parsed);
                    encode::bare(&mut self.staged, b'1');
                }
                encode::bare(&mut self.staged, b'2');
                if single.described {
                    encode::bare(&mut self.staged, b'n');
                }
                self.staged.extend_from_slice(&done);
                self.names.end_transaction();
            }
            Err(trouble) => self.fail(trouble, 0).await?,
        }
        self.ready().await?;
        Ok(true)
    }

    fn single_insert(&mut self, messages: &[Message]) -> Option<SingleInsert> {
        let idle = self.open.is_none() && self.block == Block::Idle && self.lost_transaction.is_none();
        if !idle || self.skipping {
            return None;
        }
        let (parse, rest) = match messages {
            [Message::Parse(parse, _), rest @ ..] => (Some(parse), rest),
            rest => (None, rest),
        };
        let (bind, described) = match rest {
            [Message::Bind(bind, _), Message::Execute(portal, ..), Message::Sync] if portal.is_empty() => (bind, false),
            [
                Message::Bind(bind, _),
                Message::Describe(Named::Portal(described), _),
                Message::Execute(portal, ..),
                Message::Sync,
            ] if portal.is_empty() && described.is_empty() => (bind, true),
            _ => return None,
        };
        if !bind.portal.is_empty() || parse.is_some_and(|parse| parse.name != bind.statement) {
            return None;
        }
        let parsed = match parse {
            Some(parse) => Some(self.prepare(parse).ok()?),
            None => None,
        };
        let known = match &parsed {
            Some(parsed) => parsed.clone(),
            None => self.known_statement(&bind.statement).ok()?,
        };
        let Command::Write(Write { form: WriteForm::Keyed { .. }, table, plain_insert: true, .. }) =
            &known.analysis.command
        else {
            return None;
        };
        let bound = Bound { prepared: known.prepared.clone(), tail: bind.tail.clone() };
        refuse_parameters(table, &bound).ok()?;
        let statement = Statement {
            sql: known.prepared.text.clone(),
            analysis: known.analysis.clone(),
            bound: Some(bound),
            generation: self.generation,
            executes: None,
        };
        Some(SingleInsert { parsed, statement, described })
    }
}

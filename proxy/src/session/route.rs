//! `EXPLAIN ROUTE statement`: answered by the proxy alone, as a result like EXPLAIN's. Nothing is executed anywhere.

use bytes::Bytes;
use raidb_core::sql::analysis::{Analysis, Command};

use super::Session;
use super::statement::Statement;
use super::trouble::SqlError;
use crate::route::{Places, lines};
use crate::wire::encode;

/// The answer's only column.
pub(super) const COLUMN: &str = "ROUTE PLAN";

impl Session {
    /// Answers it; the answer is staged.
    pub(crate) fn explain_route(&mut self, statement: &Statement, inner: usize, analysis: &Analysis) {
        let text = statement.sql.slice(inner.min(statement.sql.len())..);
        let lines = match &analysis.command {
            Command::Execute { name } => self.route_of_execute(statement, name),
            _ => self.route_lines(&text, analysis),
        };
        if statement.bound.is_none() {
            encode::text_row_description(&mut self.staged, &[COLUMN]);
        }
        for line in &lines {
            encode::text_row(&mut self.staged, &[line]);
        }
        encode::command_complete(&mut self.staged, "EXPLAIN");
    }

    fn route_lines(&self, text: &[u8], analysis: &Analysis) -> Vec<String> {
        let catalog = self.catalog();
        let settings = self.settings.meaning(&catalog.default_search_path);
        let name = |member| self.database.member(member).target.name.clone();
        let places = Places {
            members: self.view.members().map(name).collect(),
            lead: (!self.view.down).then(|| name(self.lead())),
            in_transaction: self.open.is_some(),
        };
        lines(text, analysis, (&catalog, &settings), self.database.settings.unsafe_statement, &places)
    }

    /// EXECUTE runs what was prepared in this session, as far as it is allowed.
    fn route_of_execute(&mut self, statement: &Statement, name: &str) -> Vec<String> {
        let known = self.names.statement(&Bytes::copy_from_slice(name.as_bytes()));
        let text = known.map(|known| known.prepared.text.clone()).unwrap_or_default();
        match self.execute_statement(statement, name) {
            Ok(executed) => self.route_lines(&text, &executed.analysis),
            Err(SqlError { message, hint, .. }) => {
                let hint = hint.map(|hint| format!("hint: {hint}"));
                let head = ["class: refused".to_owned(), "members: none".to_owned(), format!("because: {message}")];
                head.into_iter().chain(hint).collect()
            }
        }
    }
}

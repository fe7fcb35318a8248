//! Writes, locks and utilities: what the lead gets, and what followers get.

use super::super::analysis::{
    Capture, CapturedOperation, Concurrently, CopyForm, CopyIn, Fill, Imaged, Locked, RowLock, Severity, Unproven,
    Utility, Write, WriteForm,
};
use super::super::catalog::Table;
use super::super::rows::{CapturedRows, follower_statements};
use super::super::split::{end_of_last_token, start_of_token};
use super::{Goes, Of, Route, route};

/// Why the recovery log has nothing of it.
const OF_SESSION: &str = "temporary objects stand on every connection of their session, and in no log";
/// Stands for a value that the lead returns.
const RETURNED: &[u8] = "…".as_bytes();

impl Of<'_> {
    pub(super) fn write(&self, write: &Write) -> Route {
        let form = match &write.form {
            WriteForm::Keyed { .. } => "keyed",
            WriteForm::Captured(_) => "captured",
            WriteForm::Locked(_) => "locked",
        };
        let of_session = write.table.is_of_session();
        let rows = if of_session { String::new() } else { self.hint(&write.table, &write.footprint) };
        let route = Route::new("write", form, goes(of_session))
            .with("because", self.analysis.because.as_ref())
            .with("tables", self.tables())
            .with("rows", rows)
            .with("sequences", self.sequences(&write.sequences));
        let route = match &write.form {
            WriteForm::Keyed { rows } => route.with("followers", format!(
                "the same statement with the same parameters, if the lead touched {rows} {}; nothing if it touched none",
                if *rows == 1 { "row" } else { "rows" }
            )),
            WriteForm::Captured(capture) => self.captured(route, &write.table, capture),
            WriteForm::Locked(locked) if locked.lock_sql.is_empty() => {
                route.with("followers", "the same statement with the same parameters: nobody else can see the table")
            }
            WriteForm::Locked(locked) => {
                route.with("locks first", locks(locked)).with("followers", "the same locks, the same statement with the same parameters")
            }
        };
        let deferred = if write.deferred { "SET CONSTRAINTS ALL IMMEDIATE" } else { "" };
        route.with("log", log(of_session)).with("before COMMIT", deferred)
    }

    fn captured(&self, route: Route, table: &Table, capture: &Capture) -> Route {
        let at = end_of_last_token(self.text, self.analysis.standard_conforming);
        let statement = Of { text: &self.text[..at], ..*self }.statement();
        let rows =
            CapturedRows { columns: &capture.columns, key_columns: capture.key_columns, operation: capture.operation };
        route.with("lead", statement + &capture.lead_suffix).with("followers", self.example(table, rows))
    }

    /// What followers get for one captured row.
    fn example(&self, table: &Table, rows: CapturedRows<'_>) -> String {
        let row = vec![Some(RETURNED); rows.columns.len()];
        let statements = follower_statements(table, rows, &[row], true);
        let text: Vec<_> = statements.iter().map(|s| String::from_utf8_lossy(&s.sql).into_owned()).collect();
        format!("for each row that the lead returned ('…' with its values): {}", text.join("; "))
    }

    pub(super) fn row_lock(&self, lock: &RowLock) -> Route {
        let form = if lock.capture.is_some() { "captured" } else { "keyed" };
        let route = Route::new("row lock", form, Goes::LeadThenFollowers)
            .with("because", self.analysis.because.as_ref())
            .with("tables", self.tables())
            .with("rows", self.hint(&lock.table, &lock.footprint));
        let Some(capture) = &lock.capture else {
            return route.with("followers", "the same statement with the same parameters, if the lead found a row");
        };
        let at = start_of_token(self.text, capture.insert_before, self.analysis.standard_conforming);
        let text = [&self.text[..at], capture.lead_insert.as_bytes(), &self.text[at..]].concat();
        let rows = CapturedRows {
            columns: &capture.columns,
            key_columns: capture.columns.len(),
            operation: CapturedOperation::Lock(capture.strength),
        };
        route.with("lead", Of { text: &text, ..*self }.statement()).with("followers", self.example(&lock.table, rows))
    }

    pub(super) fn copy_in(&self, copy: &CopyIn) -> Route {
        let locked = match &copy.form {
            CopyForm::Locked(locked) => locked,
            CopyForm::Imaged(imaged) => return self.as_imaged("copy in", imaged),
        };
        let of_session = copy.table.is_of_session();
        let followers = if of_session { "the same rows" } else { "the same locks, the same COPY with the same rows" };
        Route::new("copy in", if of_session { "same statement" } else { "locked" }, goes(of_session))
            .with("because", self.analysis.because.as_ref())
            .with("tables", self.tables())
            .with("locks first", locks(locked))
            .with("followers", followers)
            .with("log", log(of_session))
    }

    pub(super) fn utility(&self, utility: &Utility) -> Route {
        let rows = self.touched(&utility.footprint);
        if !utility.transactional {
            return Route::new("utility", "one by one", Goes::OneByOne)
                .with("because", "it cannot run in a transaction; it changes no contents")
                .with("tables", self.tables());
        }
        let catalog =
            if utility.changes_catalog { "read again from the lead, before the client is answered" } else { "" };
        let copies =
            if utility.shuts_out_readers { "waits until no member is being copied from another one" } else { "" };
        let because = if utility.temporary { OF_SESSION } else { "" };
        Route::new("utility", "same statement", goes(utility.temporary))
            .with("because", because)
            .with("tables", self.tables())
            .with("rows", rows)
            .with("catalog", catalog)
            .with("before", copies)
            .with("followers", "the same statement")
    }

    /// The statement without the word.
    pub(super) fn concurrently(&self, concurrently: &Concurrently) -> Route {
        let mut plain = route(self.text, &concurrently.plain, self.catalog);
        if plain.class == "refused" {
            return plain;
        }
        plain.facts.retain(|(name, _)| *name != "because");
        let because = "CONCURRENTLY leaves something unfinished where it fails: it runs as without the word, under its stronger \
                       lock, and outside transaction blocks only";
        plain.facts.insert(0, ("because", because.to_owned()));
        match &concurrently.wrong {
            Some(error) => plain.with("error", error.as_str()),
            None => plain,
        }
    }

    pub(super) fn fill(&self, fill: &Fill) -> Route {
        let rows = match &fill.executes {
            Some(name) => format!("those of the prepared statement \"{name}\", which must be a plain read"),
            None => String::new(),
        };
        let of_session = fill.temporary.is_some();
        Route::new("create and fill", "filled", goes(of_session))
            .with("because", "a table is made from a query: the lead alone knows its columns and rows")
            .with("tables", self.tables())
            .with("rows", rows)
            .with("sequences", self.sequences(&fill.sequences))
            .with(
                "followers",
                "the table that the lead has made, by its definition, and its rows, as texts in their order",
            )
            .with("log", log(of_session))
    }

    pub(super) fn imaged(&self, imaged: &Imaged) -> Route {
        self.as_imaged("write", imaged)
    }

    fn as_imaged(&self, class: &'static str, imaged: &Imaged) -> Route {
        let refused = "if it turns out to do what no image shows, or raidb's user may not set session_replication_role";
        let warn = "; unsafe_statement = \"warn\" runs it as it is then, unless that is known to differ";
        let warn = if imaged.instead_of.severity == Severity::Doubtful { warn } else { "" };
        Route::new(class, "imaged", Goes::LeadThenFollowers)
            .with("because", imaged.instead_of.reason.as_str())
            .with("tables", self.tables())
            .with("rows", "those that it turns out to change, in whichever tables")
            .with("lead", "the same statement, between two questions: what has the transaction written before it, and what behind it")
            .with("followers", "what the images of the changed rows add up to, by key, under session_replication_role = replica; no trigger, rule or foreign key acts a second time")
            .with("refused", format!("{refused}{warn}"))
            .with("hint", imaged.instead_of.hint.as_str())
    }

    pub(super) fn unproven(&self, unproven: &Unproven) -> Route {
        Route::new("unproven", "same statement", Goes::LeadThenFollowers)
            .with("because", format!("{}; unsafe_statement = \"warn\" runs it nevertheless", unproven.reason))
            .with("tables", self.tables())
            .with("rows", "everything")
            .with("locks first", locks(&unproven.locked))
            .with("followers", "the same locks, the same statement with the same parameters")
            .with("not guaranteed", "that members do and hold the same: command tags are compared, contents are not")
    }
}

fn goes(of_session: bool) -> Goes {
    if of_session { Goes::EveryConnection } else { Goes::LeadThenFollowers }
}

fn log(of_session: bool) -> &'static str {
    if of_session { OF_SESSION } else { "" }
}

fn locks(locked: &Locked) -> String {
    locked.lock_sql.join("; ")
}

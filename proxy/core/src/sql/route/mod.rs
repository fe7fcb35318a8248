//! What a statement would come to, for people: EXPLAIN ROUTE and `raidb explain`.
//!
//! Made of an analysis and nothing else, so that it cannot say what the proxy would not do. Which members there are it does
//! not know: it says [`Goes`], and whoever shows it puts the names to that.

mod footprint;
mod forms;
mod objects;
#[cfg(test)]
mod tests;

use super::analysis::{Analysis, Command, CursorUse, Proof, Read, Refusal, Severity};
use super::catalog::Catalog;
use super::lexer::tokens;

/// Where a statement goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goes {
    /// To no member.
    Nowhere,
    /// To one enabled member, in a transaction block to the lead.
    AnyMember,
    /// To the lead alone.
    Lead,
    /// To the lead, and as soon as it has answered to the followers.
    LeadThenFollowers,
    /// To one member after the other, outside transactions.
    OneByOne,
    /// To every connection of the session.
    EveryConnection,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What kind of statement it is.
    pub class: &'static str,
    /// The form in which it is replicated; empty where the class says it all.
    pub form: String,
    /// Where it goes.
    pub goes: Goes,
    /// Everything else, each with its name.
    facts: Vec<(&'static str, String)>,
}

impl Route {
    fn new(class: &'static str, form: impl Into<String>, goes: Goes) -> Self {
        Route { class, form: form.into(), goes, facts: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.facts.push((name, value));
        }
        self
    }

    /// One of the facts, such as `because`.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The text, one line an element; `members` says where it goes.
    #[must_use]
    pub fn lines(&self, members: &str) -> Vec<String> {
        let head = [("class", self.class), ("form", self.form.as_str()), ("members", members)];
        let facts = self.facts.iter().map(|(name, value)| (*name, value.as_str()));
        let mut lines = Vec::new();
        for (name, value) in head.into_iter().chain(facts).filter(|(_, value)| !value.is_empty()) {
            // A statement may have several lines.
            for (index, line) in value.lines().enumerate() {
                lines.push(if index == 0 { format!("{name}: {line}") } else { format!("  {line}") });
            }
        }
        lines
    }
}

/// What the statement `text`, of which this is the analysis, would come to. The catalog is the one that it was made with.
#[must_use]
pub fn route(text: &[u8], analysis: &Analysis, catalog: &Catalog) -> Route {
    let of = Of { text, analysis, catalog };
    match &analysis.command {
        Command::Empty => Route::new("empty", "", Goes::Nowhere),
        Command::Begin(_) => {
            Route::new("transaction", "", Goes::Lead).with("lead", "together with the next statement")
        }
        Command::Commit { .. } => Route::new("transaction", "", Goes::LeadThenFollowers)
            .with("because", "every member must have executed the transcript, and the intent must be durable"),
        Command::Rollback { .. } | Command::RollbackTo(_) => {
            Route::new("transaction", "", Goes::LeadThenFollowers)
                .with("because", "what is undone on the lead is undone on the followers at once")
        }
        Command::Savepoint(_) | Command::Release(_) => {
            Route::new("transaction", "same statement", Goes::LeadThenFollowers)
        }
        Command::Read(read) => of.read("read", read),
        Command::CopyOut(read) => of.read("copy out", read),
        Command::RowLock(lock) => of.row_lock(lock),
        Command::Write(write) => of.write(write),
        Command::CopyIn(copy) => of.copy_in(copy),
        Command::LockTable(lock) => Route::new("table lock", "same statement", Goes::LeadThenFollowers)
            .with("because", "a follower can become lead at any moment")
            .with("rows", of.touched(&lock.footprint)),
        Command::Session(_) => Route::new("session", "same statement", Goes::EveryConnection)
            .with("because", "a follower can become lead at any moment, and reads go to all members"),
        Command::Discard { .. } => Route::new("session", "same statement", Goes::EveryConnection),
        Command::Prepare { inner, analysis, .. } => of.prepare(*inner, analysis),
        Command::Execute { .. } => objects::execute(),
        Command::Deallocate(_) => objects::deallocate(),
        Command::Advisory(advisory) => objects::advisory(advisory),
        Command::Notification(command) => objects::notification(command),
        Command::Token(_) | Command::Route { .. } => Route::new("answered by the proxy", "", Goes::Nowhere),
        Command::Utility(utility) => of.utility(utility),
        Command::Fill(fill) => of.fill(fill),
        Command::Imaged(imaged) => of.imaged(imaged),
        Command::Unproven(unproven) => of.unproven(unproven),
        Command::Unknown { what } => Route::new("unknown", "", Goes::Lead)
            .with("because", format!("it names {what}, which the catalog does not know"))
            .with("lead", "runs it where it can be undone, so that the client gets PostgreSQL's own error; if it succeeds, it is undone and refused"),
        Command::Concurrently(concurrently) => of.concurrently(concurrently),
        Command::TwoPhase { command, refusal } => objects::two_phase(command, refusal),
        Command::Refused(refusal) => refused(refusal),
    }
}

fn refused(refusal: &Refusal) -> Route {
    let severity = match refusal.severity {
        Severity::Doubtful => {
            "doubtful: unsafe_statement = \"warn\" would run it, unless its values are known to differ between members"
        }
        Severity::Impossible => "",
    };
    Route::new("refused", "", Goes::Nowhere)
        .with("because", refusal.reason.as_str())
        .with("hint", refusal.hint.as_str())
        .with("severity", severity)
}

/// What a route is made of.
struct Of<'a> {
    text: &'a [u8],
    analysis: &'a Analysis,
    catalog: &'a Catalog,
}

impl Of<'_> {
    fn read(&self, class: &'static str, read: &Read) -> Route {
        let form = match (read.proof, read.sequences.is_empty()) {
            (_, false) => "sequences",
            (Proof::Proven, true) => "proven",
            (Proof::Probe, true) => "probed",
        };
        // Catalogs, and functions of users, may show what is temporary.
        let lead = read.lead_only || !read.sequences.is_empty() || !self.catalog.temporary.is_empty();
        let goes = if lead { Goes::Lead } else { Goes::AnyMember };
        let waits = match &self.analysis.read_key {
            Some((table, hint)) => self.hint(table, hint),
            None => self.touched(&self.analysis.read_footprint),
        };
        let hold = matches!(read.cursor, Some(CursorUse::Declare { hold: true, .. }));
        let commit = if hold { "the lead's comes first, and may fail: it runs the query to its end" } else { "" };
        let probe = match form {
            "probed" => {
                "the same statement in a READ ONLY transaction; if it writes, it runs again on the lead, imaged"
            }
            _ => "",
        };
        Route::new(class, form, goes)
            .with("because", self.analysis.because.as_ref())
            .with("tables", self.tables())
            .with("waits for commits of", waits)
            .with("sequences", self.sequences(&read.sequences))
            .with("member", probe)
            .with("COMMIT", commit)
    }

    fn prepare(&self, inner: usize, analysis: &Analysis) -> Route {
        let inside = route(self.text.get(inner..).unwrap_or_default(), analysis, self.catalog);
        let mut route =
            objects::prepare().with("executed", [inside.class, " ", inside.form.as_str()].concat().trim_end());
        route.facts.extend(inside.facts.into_iter().filter(|(name, _)| *name != "because"));
        route
    }

    /// The relations that it names.
    fn tables(&self) -> String {
        let name = |id| match self.catalog.by_id.get(id) {
            Some(table) => format!("{}.{}", table.schema, table.name),
            None => format!("relation with oid {}", id.0),
        };
        self.analysis.tables.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn sequences(&self, names: &[String]) -> String {
        if names.is_empty() {
            return String::new();
        }
        format!("{}: advanced on the lead, whose state is carried to the followers", names.join(", "))
    }

    /// The statement without a semicolon or a comment behind it.
    fn statement(&self) -> String {
        let mut of_text = tokens(self.text, self.analysis.standard_conforming).filter(|t| !t.is_symbol(self.text, ";"));
        let Some(first) = of_text.next() else { return String::new() };
        let end = of_text.last().map_or(first.end, |last| last.end);
        String::from_utf8_lossy(&self.text[first.start..end]).into_owned()
    }
}

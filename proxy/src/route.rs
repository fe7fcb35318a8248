//! The text of EXPLAIN ROUTE and `raidb explain`: the core says what a statement is, this puts the members' names to it.

use raidb_core::config::UnsafeStatement;
use raidb_core::sql::analysis::{Analysis, Command, Severity};
use raidb_core::sql::catalog::Catalog;
use raidb_core::sql::route::{Goes, route};
use raidb_core::sql::{Settings, run_unproven};

/// The members as far as they are known to whoever asks.
#[derive(Clone, Debug)]
pub struct Places {
    /// Names of those that take part.
    pub members: Vec<String>,
    /// Which of them leads; `None`: nobody knows, because no proxy runs.
    pub lead: Option<String>,
    /// A transaction is open: everything goes to the lead first.
    pub in_transaction: bool,
}

impl Places {
    fn name(&self, goes: Goes) -> String {
        let lead = self.lead.as_deref().unwrap_or("the lead");
        let unknown = if self.lead.is_none() { " (a running proxy knows which of them leads)" } else { "" };
        let others: Vec<&str> =
            self.members.iter().map(String::as_str).filter(|name| Some(*name) != self.lead.as_deref()).collect();
        let (others, all) = (others.join(", "), self.members.join(", "));
        let led = |verb: &str| match (others.as_str(), &self.lead) {
            ("", _) => format!("{lead} (lead), the only member"),
            (_, Some(_)) => format!("{lead} (lead), {verb} {others}"),
            (_, None) => format!("the lead, {verb} its followers, of {all}{unknown}"),
        };
        match goes {
            Goes::Nowhere => "none".to_owned(),
            Goes::Lead if self.lead.is_some() => format!("{lead} (lead)"),
            Goes::AnyMember if self.in_transaction && self.lead.is_some() => {
                format!("{lead} (lead), because a transaction is open")
            }
            Goes::Lead => format!("the lead, of {all}{unknown}"),
            Goes::AnyMember => format!("one of {all}; in a transaction the lead"),
            Goes::LeadThenFollowers => led("then"),
            Goes::OneByOne => led("then one by one"),
            Goes::EveryConnection => format!("every connection of the session: {all}"),
        }
    }
}

/// The answer, one line an element.
#[must_use]
pub fn lines(
    text: &[u8],
    analysis: &Analysis,
    (catalog, settings): (&Catalog, &Settings),
    policy: UnsafeStatement,
    places: &Places,
) -> Vec<String> {
    let configured = as_configured(text, analysis, (catalog, settings), policy);
    let route = route(text, configured.as_ref().unwrap_or(analysis), catalog);
    route.lines(&places.name(route.goes))
}

/// What the configuration makes of a statement that is refused only because nobody can tell; `None`: it is what it is.
#[must_use]
pub fn as_configured(
    text: &[u8],
    analysis: &Analysis,
    (catalog, settings): (&Catalog, &Settings),
    policy: UnsafeStatement,
) -> Option<Analysis> {
    match &analysis.command {
        Command::Refused(refusal) if policy == UnsafeStatement::Warn && refusal.severity == Severity::Doubtful => {
            Some(run_unproven(text, catalog, settings, &refusal.reason))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_names() {
        let places = |lead: Option<&str>, in_transaction| Places {
            members: vec!["pg1".into(), "pg2".into()],
            lead: lead.map(str::to_owned),
            in_transaction,
        };
        let known = places(Some("pg2"), false);
        assert_eq!(known.name(Goes::LeadThenFollowers), "pg2 (lead), then pg1");
        assert_eq!(known.name(Goes::OneByOne), "pg2 (lead), then one by one pg1");
        assert_eq!(known.name(Goes::Lead), "pg2 (lead)");
        assert_eq!(known.name(Goes::AnyMember), "one of pg1, pg2; in a transaction the lead");
        assert_eq!(places(Some("pg2"), true).name(Goes::AnyMember), "pg2 (lead), because a transaction is open");
        assert_eq!(known.name(Goes::Nowhere), "none");
        let unknown = places(None, false).name(Goes::LeadThenFollowers);
        assert!(unknown.starts_with("the lead, then its followers, of pg1, pg2"), "{unknown}");
    }
}

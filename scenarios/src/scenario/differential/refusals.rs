//! Reasons for which statements of the corpus may be refused: `corpus/refused.txt`, one a line, `*` for any text.

use std::collections::BTreeSet;
use std::fs;

use super::corpus::folder;
use crate::Result;

const FILE: &str = "refused.txt";

/// The committed list, and which of its lines were met.
#[derive(Debug)]
pub(super) struct Refusals {
    patterns: Vec<String>,
    met: BTreeSet<usize>,
}

impl Refusals {
    pub(super) fn read() -> Result<Self> {
        let text = fs::read_to_string(folder().join(FILE))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self { patterns: lines.map(str::to_owned).collect(), met: BTreeSet::new() })
    }

    /// Whether a statement may be refused for this reason.
    pub(super) fn allow(&mut self, reason: &str) -> bool {
        let found = self.patterns.iter().position(|pattern| matches(pattern, reason));
        self.met.extend(found);
        found.is_some()
    }

    /// Lines for which nothing is refused any more: to be taken out.
    pub(super) fn stale(&self) -> Vec<&str> {
        let unmet = self.patterns.iter().enumerate().filter(|(index, _)| !self.met.contains(index));
        unmet.map(|(_, pattern)| pattern.as_str()).collect()
    }
}

/// Whether `text` is `pattern`, in which a star stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
        last = Some(part);
    }
    // The text ends where the pattern does; behind a star, the last part may be found later as well.
    rest.is_empty() || last.is_some_and(|part| part.is_empty() || rest.ends_with(part))
}

/// A reason without the names in it and the parser's own words, so that those that differ in these alone are counted
/// together.
pub(super) fn without_names(reason: &str) -> String {
    let reason = reason.split(" (parser:").next().unwrap_or(reason);
    let mut shown = String::new();
    for (index, part) in reason.split('"').enumerate() {
        shown.push_str(if index % 2 == 0 { part } else { "\"…\"" });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        assert!(matches("a view", "a view"));
        assert!(!matches("a view", "a view of"));
        assert!(matches("\"*\" is a view", "\"t\" is a view"));
        assert!(matches("calls *", "calls f"));
        assert!(!matches("\"*\" is a view", "\"t\" is a table"));
        assert!(matches("* of x", "x of x of x"));
    }

    #[test]
    fn names_are_left_out() {
        assert_eq!(without_names("\"t\" has \"u\" in it"), "\"…\" has \"…\" in it");
    }
}

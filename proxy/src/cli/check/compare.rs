//! Which facts are not the same on every member.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::queries::Topic;

/// A fact that is not the same on every member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// What it is about.
    pub(super) topic: Topic,
    /// Of what.
    pub(super) name: String,
    /// On each member, in their order; `None` where it does not exist.
    pub(super) values: Vec<Option<String>>,
    /// Worth knowing, but no reason to refuse the member: minor versions of one major version.
    pub(super) is_note: bool,
}

impl Difference {
    /// The cells of its line.
    pub(super) fn row(&self) -> Vec<String> {
        let topic = if self.is_note { format!("{} (note)", self.topic) } else { self.topic.to_string() };
        let values = self.values.iter().map(|value| value.clone().unwrap_or_else(|| String::from("(missing)")));
        [topic, self.name.clone()].into_iter().chain(values).collect()
    }
}

/// Compares members; fewer than two never differ.
pub(super) fn compare(members: &[(&str, &Facts)]) -> Vec<Difference> {
    let keys: BTreeSet<_> = members.iter().flat_map(|(_, facts)| facts.keys()).collect();
    let differences = keys.into_iter().filter_map(|key| {
        let values: Vec<Option<String>> = members.iter().map(|(_, facts)| facts.get(key).cloned()).collect();
        let (topic, name) = key.clone();
        let is_note = topic == Topic::Version && major(&values).is_some();
        let alike = values.windows(2).all(|pair| pair[0] == pair[1]);
        (!alike).then_some(Difference { topic, name, values, is_note })
    });
    differences.collect()
}

/// The major version, if all have the same (`server_version_num` is major × 10000 + minor).
fn major(versions: &[Option<String>]) -> Option<u32> {
    let mut majors = versions.iter().map(|version| Some(version.as_ref()?.parse::<u32>().ok()? / 10_000));
    let first = majors.next()??;
    majors.all(|major| major == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(facts: &[(Topic, &str, &str)]) -> Facts {
        facts.iter().map(|(topic, name, value)| ((*topic, (*name).to_owned()), (*value).to_owned())).collect()
    }

    #[test]
    fn finds_what_differs_and_what_is_missing() {
        let one = facts(&[(Topic::Rows, "t", "5"), (Topic::Rows, "u", "1"), (Topic::Version, "server", "150004")]);
        let two = facts(&[(Topic::Rows, "t", "4"), (Topic::Version, "server", "150010")]);
        let differences = compare(&[("a", &one), ("b", &two)]);
        let rows: Vec<String> = differences.iter().map(|difference| difference.row().join("|")).collect();
        assert_eq!(rows, ["version (note)|server|150004|150010", "rows|t|5|4", "rows|u|1|(missing)"]);
        assert_eq!(compare(&[("a", &one), ("b", &one)]), []);
        assert_eq!(compare(&[("a", &one)]), []);
    }

    #[test]
    fn another_major_version_is_no_note() {
        let version = |version| facts(&[(Topic::Version, "server", version)]);
        let (one, two) = (version("150004"), version("160004"));
        assert!(!compare(&[("a", &one), ("b", &two)])[0].is_note);
    }
}

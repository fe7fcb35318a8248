//! Footprints in words: which rows of which tables.

use super::super::analysis::{FootprintHint, KeyValue, PinnedKey};
use super::super::catalog::Table;
use super::super::footprint::Footprint;
use super::super::literals::Literals;
use super::Of;
use crate::ids::ConflictGroup;

/// A literal is shown up to this many characters.
const LITERAL_CHARS_MAX: usize = 60;
/// So many keys are shown.
const KEYS_MAX: usize = 5;

impl Of<'_> {
    /// The rows that a statement on `table` touches.
    pub(super) fn hint(&self, table: &Table, hint: &FootprintHint) -> String {
        match hint {
            FootprintHint::Group => self.group(table.group),
            FootprintHint::Append => format!("new rows of {}.{} alone", table.schema, table.name),
            FootprintHint::Keys(keys) => {
                let shown: Vec<_> = keys.iter().take(KEYS_MAX).map(|key| self.key(table, key)).collect();
                let more = keys.len().saturating_sub(KEYS_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{}.{} where {}{more}", table.schema, table.name, shown.join(" or "))
            }
        }
    }

    /// What a footprint names.
    pub(super) fn touched(&self, footprint: &Footprint) -> String {
        match footprint {
            Footprint::Nothing => String::new(),
            Footprint::Everything => "everything".to_owned(),
            Footprint::Touches(touches) => {
                touches.iter().map(|touch| self.group(touch.group)).collect::<Vec<_>>().join("; ")
            }
        }
    }

    fn group(&self, group: ConflictGroup) -> String {
        let tables = self.catalog.groups.get(&group).map(Vec::as_slice).unwrap_or_default();
        let mut names: Vec<_> = tables.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
        names.sort_unstable();
        match &names[..] {
            [] => format!("conflict group {}", group.0),
            [one] => format!("any row of {one}"),
            several => format!("any row of the tables that foreign keys or inheritance join: {}", several.join(", ")),
        }
    }

    fn key(&self, table: &Table, key: &PinnedKey) -> String {
        let literals = Literals::of(self.text, self.analysis);
        let value = |(column, value): &(usize, KeyValue)| {
            let value = match value {
                KeyValue::Parameter(number) => format!("${number}"),
                KeyValue::Literal(at) => {
                    let value = literals.value(*at).unwrap_or_default();
                    let value = String::from_utf8_lossy(&value);
                    let cut: String = value.chars().take(LITERAL_CHARS_MAX).collect();
                    if cut.len() < value.len() { format!("{cut}…") } else { cut }
                }
            };
            format!("{} = {value}", table.columns[*column].name)
        };
        key.values.iter().map(value).collect::<Vec<_>>().join(" and ")
    }
}

//! What an analysis declares that its statement writes, as the rest of the proxy relies on it.

use std::collections::BTreeSet;

use raidb_core::sql::analysis::{Analysis, Command, CopyForm, CopyIn, FootprintHint, Proof, Read, Write};
use raidb_core::sql::catalog::Catalog;
use raidb_core::sql::footprint::Footprint;

use super::written::Written;

/// A set of names, or all of them: what is written is found when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Set<T> {
    Any,
    These(BTreeSet<T>),
    /// All but these.
    Except(BTreeSet<T>),
}

impl<T: Ord> Set<T> {
    fn none() -> Self {
        Self::These(BTreeSet::new())
    }

    fn has(&self, one: &T) -> bool {
        match self {
            Self::Any => true,
            Self::These(these) => these.contains(one),
            Self::Except(others) => !others.contains(one),
        }
    }
}

/// Which tables and sequences a statement may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    tables: Set<u32>,
    sequences: Set<String>,
    /// It may change what the catalog says.
    schema: bool,
    /// It may take a transaction id.
    id: bool,
}

/// What becomes of a statement in the oracles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Known to be a read: run it READ ONLY, then look.
    ProvenRead(Declared),
    /// Held for a read: where it is not refused under READ ONLY, it must have written nothing.
    ProbedRead(Declared),
    /// Replicated: look.
    Replicated(&'static str, Declared),
    /// Run, not looked at: transaction control, settings, what cannot run inside a transaction.
    Plain,
    /// The proxy would not run it.
    NotRun,
}

/// What is to be done with a statement.
pub(super) fn check(analysis: &Analysis, catalog: &Catalog) -> Check {
    match &analysis.command {
        Command::Read(read) | Command::CopyOut(read) => self::read(read),
        Command::RowLock(_) => Check::Replicated("row locks", Declared { id: true, ..nothing() }),
        Command::LockTable(_) => Check::Replicated("table locks", Declared { id: true, ..nothing() }),
        Command::Write(write) => Check::Replicated(form(write), self::write(write, catalog)),
        Command::CopyIn(CopyIn { form: CopyForm::Imaged(_), .. }) => Check::Replicated("imaged", anything()),
        Command::CopyIn(copy) => {
            let tables = group(catalog, copy.table.group.0).collect();
            Check::Replicated("copy", Declared { tables: Set::These(tables), id: true, ..nothing() })
        }
        Command::Fill(fill) => {
            // Rows of the table that it makes, of which the catalog does not know yet.
            let tables = Set::Except(catalog.by_id.keys().map(|id| id.0).collect());
            let sequences = Set::These(fill.sequences.iter().cloned().collect());
            Check::Replicated("filled", Declared { tables, sequences, schema: true, id: true })
        }
        // The session finds on the lead what it writes.
        Command::Imaged(_) => Check::Replicated("imaged", anything()),
        Command::Utility(utility) if utility.transactional => {
            let tables = footprint(&utility.footprint, catalog);
            // It runs on every member, whatever it does to the catalog.
            Check::Replicated("utility", Declared { tables, sequences: Set::Any, schema: true, id: true })
        }
        Command::Unknown { .. }
        | Command::Refused(_)
        | Command::Unproven(_)
        | Command::Token(_)
        | Command::Route { .. }
        | Command::Concurrently(_)
        | Command::TwoPhase { .. } => Check::NotRun,
        Command::Utility(_)
        | Command::Empty
        | Command::Begin(_)
        | Command::Commit { .. }
        | Command::Rollback { .. }
        | Command::Savepoint(_)
        | Command::Release(_)
        | Command::RollbackTo(_)
        | Command::Session(_)
        | Command::Prepare { .. }
        | Command::Execute { .. }
        | Command::Deallocate(_)
        | Command::Discard { .. }
        | Command::Advisory(_)
        | Command::Notification(_) => Check::Plain,
    }
}

fn anything() -> Declared {
    Declared { tables: Set::Any, sequences: Set::Any, schema: true, id: true }
}

fn nothing() -> Declared {
    Declared { tables: Set::none(), sequences: Set::none(), schema: false, id: false }
}

fn read(read: &Read) -> Check {
    let sequences: BTreeSet<String> = read.sequences.iter().cloned().collect();
    if !sequences.is_empty() {
        return Check::Replicated("sequences", Declared { sequences: Set::These(sequences), id: true, ..nothing() });
    }
    match read.proof {
        Proof::Proven => Check::ProvenRead(nothing()),
        // Functions may ask for the transaction's id; that alone writes nothing.
        Proof::Probe => Check::ProbedRead(Declared { id: true, ..nothing() }),
    }
}

fn form(write: &Write) -> &'static str {
    use raidb_core::sql::analysis::WriteForm;
    match write.form {
        WriteForm::Keyed { .. } => "keyed",
        WriteForm::Captured(_) => "captured",
        WriteForm::Locked(_) => "locked",
    }
}

fn write(write: &Write, catalog: &Catalog) -> Declared {
    let tables = match write.footprint {
        FootprintHint::Keys(_) | FootprintHint::Append => BTreeSet::from([write.table.id.0]),
        FootprintHint::Group => group(catalog, write.table.group.0).collect(),
    };
    let sequences = write.sequences.iter().cloned().collect();
    Declared { tables: Set::These(tables), sequences: Set::These(sequences), schema: false, id: true }
}

fn footprint(footprint: &Footprint, catalog: &Catalog) -> Set<u32> {
    match footprint {
        Footprint::Nothing => Set::none(),
        Footprint::Everything => Set::Any,
        Footprint::Touches(touches) => {
            Set::These(touches.iter().flat_map(|touch| group(catalog, touch.group.0)).collect())
        }
    }
}

/// The tables of a conflict group: foreign keys and inheritance lead no further.
fn group(catalog: &Catalog, group: u32) -> impl Iterator<Item = u32> {
    catalog.groups.get(&raidb_core::ids::ConflictGroup(group)).into_iter().flatten().map(|table| table.id.0)
}

impl Declared {
    /// What was written and not declared; `None` if all was.
    pub(super) fn exceeded_by(&self, written: &Written) -> Option<String> {
        let mut found = Vec::new();
        let tables = written.tables.iter().filter(|(oid, _)| !self.tables.has(oid));
        found.extend(tables.map(|(_, name)| format!("rows of table {name}")));
        let sequences = written.sequences.iter().filter(|name| !self.sequences.has(name));
        found.extend(sequences.map(|name| format!("sequence {name}")));
        if written.schema && !self.schema {
            found.push("the schema".to_owned());
        }
        if written.id && !self.id && found.is_empty() {
            found.push("something that took a transaction id".to_owned());
        }
        (!found.is_empty()).then(|| found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_declared_is_named() {
        let declared = Declared { tables: Set::These(BTreeSet::from([7])), id: true, ..nothing() };
        let written = |tables: &[u32]| Written {
            tables: tables.iter().map(|oid| (*oid, format!("t{oid}"))).collect(),
            id: true,
            ..Written::default()
        };
        assert_eq!(declared.exceeded_by(&written(&[7])), None);
        assert_eq!(declared.exceeded_by(&written(&[7, 8])), Some("rows of table t8".to_owned()));
        assert_eq!(nothing().exceeded_by(&written(&[])), Some("something that took a transaction id".to_owned()));
        let sequence = Written { sequences: vec!["\"s\"".to_owned()], ..Written::default() };
        assert_eq!(declared.exceeded_by(&sequence), Some("sequence \"s\"".to_owned()));
    }
}

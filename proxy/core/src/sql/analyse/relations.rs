//! The relations that a statement names, looked up in the catalog, and what follows from their kinds.

use std::sync::Arc;

use super::super::catalog::{RelationKind, Table};
use super::super::footprint::{Footprint, Rows, Touch};
use super::tree::Facts;
use super::{Scope, Stop, doubt, hidden, refuse, unknown};

/// Schemas of PostgreSQL itself.
pub(crate) const SYSTEM_SCHEMAS: &[&str] = &["pg_catalog", "information_schema", "pg_toast"];
/// Schema of raidb's own tables on each member.
pub(crate) const OWN_SCHEMA: &str = "raidb";

/// What a statement reads.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    /// Each relation once, in order of appearance.
    pub(crate) tables: Vec<Arc<Table>>,
    /// Views, foreign tables or tables with row security: not proven by their names.
    pub(crate) hidden: Option<String>,
    /// A view that calls functions made by users, or a foreign table.
    pub(crate) effects: Option<String>,
    /// A view that may write or take locks where nothing refuses that: see [`Table::calls_volatile`].
    pub(crate) volatile: Option<String>,
    /// System catalogs or sequences: contents that belong to one member.
    pub(crate) member_bound: bool,
}

/// Looks up all relations of `facts`.
pub(crate) fn relations(facts: &Facts, scope: &Scope<'_>) -> Result<Relations, Stop> {
    let mut relations = Relations::default();
    for (schema, name, cte) in &facts.relations {
        match scope.resolve(schema.as_deref(), name) {
            Some(table) => relations.add(table),
            None if *cte => {}
            None => return Err(unknown(&display(schema.as_deref(), name))),
        }
    }
    Ok(relations)
}

/// A name for messages.
pub(crate) fn display(schema: Option<&str>, name: &str) -> String {
    match schema {
        Some(schema) => format!("relation \"{schema}.{name}\""),
        None => format!("relation \"{name}\""),
    }
}

/// Whether it is one of PostgreSQL's own.
pub(crate) fn is_system(table: &Table) -> bool {
    SYSTEM_SCHEMAS.contains(&table.schema.as_str())
}

impl Relations {
    /// Adds one relation.
    pub(crate) fn add(&mut self, table: &Arc<Table>) {
        if self.tables.iter().any(|t| t.id == table.id) {
            return;
        }
        let system = is_system(table);
        self.member_bound |= system || table.kind == RelationKind::Sequence;
        let hidden = match table.kind {
            RelationKind::View => !system,
            RelationKind::Foreign => true,
            _ => table.has_row_security,
        };
        if hidden {
            self.hidden.get_or_insert_with(|| table.name.clone());
        }
        if table.calls_volatile {
            self.volatile.get_or_insert_with(|| table.name.clone());
            self.effects.get_or_insert_with(|| table.name.clone());
        }
        if table.kind == RelationKind::Foreign
            || (table.kind == RelationKind::View && !system && table.has_user_functions)
        {
            self.effects.get_or_insert_with(|| table.name.clone());
        }
        self.tables.push(Arc::clone(table));
    }

    /// Whether policies that act on them, also behind a view, may write.
    pub(crate) fn guarded<'s>(&'s self, scope: &Scope<'_>) -> Option<&'s str> {
        let guarded = |table: &&Arc<Table>| table.has_row_security || table.kind == RelationKind::View;
        self.tables.iter().find(guarded).filter(|_| scope.catalog.policies_may_write).map(|table| table.name.as_str())
    }

    /// What a strict read of them must wait for.
    pub(crate) fn footprint(&self) -> Footprint {
        if self.hidden.is_some() {
            return Footprint::Everything;
        }
        // Nobody else commits to what is the session's own.
        let mut groups: Vec<_> = self.tables.iter().filter(|t| !t.is_of_session()).map(|t| t.group).collect();
        groups.sort_unstable();
        groups.dedup();
        if groups.is_empty() {
            return Footprint::Nothing;
        }
        Footprint::Touches(groups.into_iter().map(|group| Touch { group, rows: Rows::All }).collect())
    }
}

/// Whether a table can be the target of a replicated write. Each rule names what would happen on followers otherwise.
pub(crate) fn check_writable(table: &Table) -> Result<(), Stop> {
    let name = &table.name;
    if is_system(table) || table.schema == OWN_SCHEMA {
        return Err(refuse(
            format!("\"{}\".\"{name}\" is a system table", table.schema),
            "use the statements made for it (CREATE, ALTER, GRANT …)",
        ));
    }
    match table.kind {
        RelationKind::Table | RelationKind::Partitioned => {}
        RelationKind::View => {
            return Err(hidden(format!("\"{name}\" is a view"), "write to the table that the view shows"));
        }
        RelationKind::Foreign => {
            return Err(refuse(
                format!("\"{name}\" is a foreign table: each member would write to the other server"),
                "write to the other server directly",
            ));
        }
        RelationKind::MaterializedView | RelationKind::Sequence | RelationKind::Other => {
            return Err(unknown(&format!("table \"{name}\"")));
        }
    }
    if table.is_of_session() && (table.has_triggers || table.has_rules || table.inherits || table.has_row_security) {
        return Err(refuse(
            format!("temporary table \"{name}\" has triggers, rules, policies, children or a parent"),
            "use a temporary table without them, or an ordinary table",
        ));
    }
    if table.temporary && !table.is_of_session() {
        return Err(refuse(
            format!("table \"{name}\" is unlogged"),
            "use an ordinary table: CREATE TABLE, or ALTER TABLE … SET LOGGED",
        ));
    }
    if table.has_user_functions {
        return Err(doubt(
            format!("table \"{name}\" has a check, an index or a generated column that calls a user's function"),
            "replace the function by a built-in immutable one",
        ));
    }
    if table.has_triggers {
        return Err(hidden(
            format!("table \"{name}\" has triggers of users"),
            "drop or disable the triggers (ALTER TABLE … DISABLE TRIGGER USER), or do their work in the application",
        ));
    }
    if table.has_rules {
        return Err(hidden(
            format!("table \"{name}\" has rewrite rules"),
            "drop the rules, or do their work in the application",
        ));
    }
    Ok(())
}

/// Rows written through a partitioned table or a parent land in its children: those must be writable as well.
pub(crate) fn check_children(table: &Table, scope: &Scope<'_>) -> Result<(), Stop> {
    if !table.inherits {
        return Ok(());
    }
    scope.group(table).filter(|other| other.inherits).try_for_each(|other| check_writable(other))
}

/// A DELETE, or an UPDATE of a referenced column, reaches other tables of the group through foreign keys; there it
/// must not meet triggers or rules of users, which would run on each member by itself.
pub(crate) fn check_cascades(table: &Table, scope: &Scope<'_>) -> Result<(), Stop> {
    if !table.has_foreign_keys && !table.inherits {
        return Ok(());
    }
    let other = scope.group(table).find(|other| other.id != table.id && (other.has_triggers || other.has_rules));
    match other {
        None => Ok(()),
        Some(other) => Err(hidden(
            format!(
                "table \"{}\", which foreign keys or inheritance join to \"{}\", has triggers or rules of users",
                other.name, table.name
            ),
            "drop or disable them (ALTER TABLE … DISABLE TRIGGER USER), or do their work in the application",
        )),
    }
}

//! Writes of which the text does not tell all: those that reach triggers, rules or functions of users, those that no other
//! form fits, and those that the parser cannot read.
//!
//! What they write is found on the lead ([`super::super::images`]), so nothing rests on what is read here, except what may not
//! be executed at all.

use std::sync::Arc;

use super::super::analysis::{Command, Imaged, Proof, Refusal};
use super::super::catalog::{RelationKind, Table};
use super::super::footprint::Footprint;
use super::super::text::Text;
use super::relations::{OWN_SCHEMA, is_system};
use super::{Judged, Scope, Stop, doubt, hidden, is_whole, refuse, scan, tree, unknown};

/// Judges a statement again that ended with [`Stop::Hidden`].
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>, instead_of: Refusal) -> Result<Judged, Stop> {
    if !is_whole(text) {
        return Err(Stop::Refused(instead_of));
    }
    let effects = scan(text, 0..text.len(), scope);
    if let Some(refusal) = effects.denied {
        return Err(Stop::Refused(refusal));
    }
    if let Some(sequence) = effects.unknown_sequence {
        return Err(unknown(&format!("sequence \"{sequence}\"")));
    }
    if makes_a_table(text) {
        return Err(refuse("SELECT INTO makes a table and fills it", "use CREATE TABLE … AS"));
    }
    let tables = written(&targets(text, scope), scope)?;
    Ok(Judged {
        tables: tables.iter().map(|table| table.id).collect(),
        // What its functions read is not known.
        read_footprint: Footprint::Everything,
        because: instead_of.reason.clone().into(),
        ..Judged::plain(Command::Imaged(Imaged { tables, instead_of }))
    })
}

/// The tables that take images where these are written, partitions and children included.
pub(super) fn written(targets: &[&Arc<Table>], scope: &Scope<'_>) -> Result<Vec<Arc<Table>>, Stop> {
    let mut tables: Vec<Arc<Table>> = Vec::new();
    for target in targets {
        let written: Vec<&Arc<Table>> = match target.inherits {
            true => scope.group(target).filter(|other| other.inherits).collect(),
            false => vec![target],
        };
        for table in written {
            check(table)?;
            if table.kind == RelationKind::Table && !tables.iter().any(|known| known.id == table.id) {
                tables.push(Arc::clone(table));
            }
        }
    }
    Ok(tables)
}

/// A read that is tried where members refuse writes tells by its error that it is none. A function that handles errors may
/// keep that to itself, and the client would be told of a write that was not done; a cursor that a function leaves open would be
/// closed behind the probe; an advisory lock would stay on one member. Where there are such functions it runs as a write at once.
pub(crate) fn unless_probes_tell_little(text: &Text<'_>, judged: Judged, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let probed = matches!(&judged.command, Command::Read(read) if read.proof == Proof::Probe);
    // A READ ONLY transaction lets writes to temporary tables through, which would be taken back with the probe.
    if !probed || !scope.catalog.probe_tells_little && scope.catalog.temporary.is_empty() {
        return Ok(judged);
    }
    let effects = scan(text, 0..text.len(), scope);
    if !scope.catalog.temporary.is_empty() {
        // What a STABLE function calls may be volatile; and so may be what a view calls.
        let loud =
            || judged.tables.iter().filter_map(|id| scope.catalog.by_id.get(id)).find(|table| calls_users_code(table));
        let found =
            effects.user_code.or(effects.unproven).or_else(|| loud().map(|table| format!("\"{}\"", table.name)));
        return match found {
            None => Ok(judged),
            Some(name) => Err(hidden(
                format!("{name} may write, also to the session's temporary tables, which a probe would not show"),
                "call it in a session without temporary tables",
            )),
        };
    }
    match effects.user_code {
        None => Ok(judged),
        Some(name) => Err(hidden(
            format!(
                "{name} may write, and functions of this database handle errors (EXCEPTION WHEN), take advisory locks or have a refcursor"
            ),
            "declare functions that only read as STABLE",
        )),
    }
}

fn calls_users_code(table: &Table) -> bool {
    table.kind == RelationKind::View && table.has_user_functions
}

/// SELECT … INTO: an INTO that belongs to no INSERT and no MERGE.
fn makes_a_table(text: &Text<'_>) -> bool {
    let body = text.any(0, &["do", "call"]);
    let parsed = tree::parse(text, &|_| false).map(|statement| tree::facts(&statement).into);
    !body
        && parsed
            .unwrap_or_else(|_| (1..text.len()).any(|i| text.is(i, "into") && !text.any(i - 1, &["insert", "merge"])))
}

/// The relations that stand where INSERT, UPDATE, DELETE and MERGE name what they write, if the catalog knows them.
fn targets<'c>(text: &Text<'_>, scope: &Scope<'c>) -> Vec<&'c Arc<Table>> {
    let mut found = Vec::new();
    for i in 0..text.len() {
        let at = if text.is(i, "into")
            || (text.is(i, "from") && i > 0 && text.is(i - 1, "delete"))
            || text.is(i, "update")
        {
            i + 1
        } else {
            continue;
        };
        let at = at + usize::from(text.is(at, "only"));
        let known = text.qualified(at).and_then(|(schema, name, _)| scope.resolve(schema.as_deref(), &name));
        found.extend(known);
    }
    found
}

/// Refuses what no image helps with.
fn check(table: &Table) -> Result<(), Stop> {
    let name = &table.name;
    if is_system(table) || table.schema == OWN_SCHEMA {
        return Err(refuse(
            format!("\"{}\".\"{name}\" is a system table", table.schema),
            "use the statements made for it (CREATE, ALTER, GRANT …)",
        ));
    }
    if table.kind == RelationKind::Foreign {
        return Err(refuse(
            format!("\"{name}\" is a foreign table: each member would write to the other server"),
            "write to the other server directly",
        ));
    }
    if table.is_of_session() {
        return Err(refuse(
            format!("this form of statement cannot write to temporary table \"{name}\""),
            "write to it with a plain INSERT, UPDATE or DELETE; a primary key on it helps",
        ));
    }
    if table.temporary {
        return Err(refuse(
            format!("table \"{name}\" is unlogged"),
            "use an ordinary table: CREATE TABLE, or ALTER TABLE … SET LOGGED",
        ));
    }
    if table.has_user_functions && table.kind != RelationKind::View {
        return Err(doubt(
            format!("table \"{name}\" has a check, an index or a generated column that calls a user's function"),
            "replace the function by a built-in immutable one",
        ));
    }
    if table.fires_on_replica {
        return Err(doubt(
            format!(
                "table \"{name}\" has triggers or rules that are enabled ALWAYS or for REPLICA: they would run on followers too"
            ),
            "ALTER TABLE … ENABLE TRIGGER (or RULE), without ALWAYS or REPLICA",
        ));
    }
    Ok(())
}

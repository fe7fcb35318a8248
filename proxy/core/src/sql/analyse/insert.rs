//! INSERT.
//!
//! Keyed when every value that the row gets is the same on every member: constants, parameters, immutable functions
//! and such defaults. An INSERT … ON CONFLICT of one row is still one row on every member; of several rows it may skip
//! some, so it is captured. Everything else is captured as whole rows: the lead returns all columns, and followers
//! insert them, generated columns excepted.

use std::borrow::Cow;
use std::sync::Arc;

use sqlparser::ast::{
    ConflictTarget, Expr, Insert, OnConflict, OnConflictAction, OnInsert, Query, SetExpr, Statement, TableObject,
};

use super::super::analysis::{CapturedOperation, Command, FootprintHint, KeyValue, PinnedKey, Write, WriteForm};
use super::super::catalog::{ColumnDefault, RelationKind, Table};
use super::super::text::Text;
use super::capture::{build, or_locked, unassigned_key, writable_columns};
use super::locks::locked;
use super::pin::{Target, constant, qualifies};
use super::read::is_default;
use super::relations::{check_children, check_writable, display, relations};
use super::set_write::{Effective, assigned_columns, check_calls, client_returning};
use super::tree::{self, Facts, fold, split_name};
use super::{Judged, Scope, Stop, fallback, hidden, unknown};

/// INSERT as the first word.
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    match tree::parse(text, &|_| false) {
        Ok(statement @ Statement::Insert(_)) => insert(text, &statement, tree::facts(&statement), scope),
        Ok(_) => Err(fallback::unreadable("not an INSERT")),
        Err(error) => Err(fallback::unreadable(&error)),
    }
}

/// WITH … INSERT.
pub(crate) fn judge_with(text: &Text<'_>, query: &Query, inner: &Statement, scope: &Scope<'_>) -> Result<Judged, Stop> {
    insert(text, inner, super::set_write::with_facts(query, inner)?, scope)
}

/// What the rows are made of.
struct Source<'a> {
    /// Columns that get a value, in order; `None` if it cannot be told (INSERT … SELECT without a column list).
    given: Option<Vec<usize>>,
    /// Rows of a plain VALUES; empty for DEFAULT VALUES.
    rows: Vec<&'a [Expr]>,
    /// Not VALUES and not DEFAULT VALUES, or they hold a query.
    query: bool,
}

fn insert(text: &Text<'_>, statement: &Statement, facts: Facts, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let Statement::Insert(insert) = statement else {
        return Err(fallback::unreadable("not an INSERT"));
    };
    let TableObject::TableName(name) = &insert.table else {
        return Err(fallback::unreadable("no table"));
    };
    let (schema, name) = split_name(name);
    let table = scope.resolve(schema.as_deref(), &name).ok_or_else(|| unknown(&display(schema.as_deref(), &name)))?;
    check_writable(table)?;
    check_children(table, scope)?;
    super::read::check_no_writes(&facts)?;
    let relations = relations(&facts, scope)?;
    let alias = insert.table_alias.as_ref().map_or(name, |alias| fold(&alias.alias));
    let target = Target { table, name: alias };
    let source = source(insert, &target, &facts)?;
    let calls = check_calls(text, &relations, scope)?;
    let mut effective = Effective::new(calls, &relations);
    defaults(text, &source, table, &mut effective)?;
    let conflict = conflict(insert)?;
    let returning = client_returning(text);
    let parts = Parts { source: &source, target: &target, conflict, returning };
    let form = form(&parts, &effective, &facts, &relations, scope)?;
    let because = because(&parts, &form, &effective);
    let write = Write {
        table: Arc::clone(table),
        footprint: hint(text, &parts, &form),
        form,
        client_returning: returning,
        plain_insert: conflict.is_none(),
        deferred: table.has_deferrable,
        sequences: effective.sequences,
    };
    Ok(Judged {
        tables: relations.tables.iter().map(|t| t.id).collect(),
        read_footprint: relations.footprint(),
        because,
        ..Judged::plain(Command::Write(write))
    })
}

/// Why it has its form.
fn because(parts: &Parts<'_>, form: &WriteForm, effective: &Effective) -> Cow<'static, str> {
    match (form, &effective.lead_only) {
        (WriteForm::Keyed { .. }, _) => {
            "its values are given, and every member computes the same from them and from the defaults".into()
        }
        (_, Some(what)) => format!("the lead alone can know {what}").into(),
        (_, None) if parts.source.query => "its rows come from a query: the lead alone knows them".into(),
        (_, None) => "ON CONFLICT may skip some of its rows: the lead alone knows which".into(),
    }
}

fn source<'a>(insert: &'a Insert, target: &Target<'_>, facts: &Facts) -> Result<Source<'a>, Stop> {
    let table = target.table;
    let named = |names: &[sqlparser::ast::ObjectName]| {
        names
            .iter()
            .map(|name| target.assigned(name).ok_or_else(|| unknown(&format!("column \"{name}\""))))
            .collect::<Result<Vec<_>, _>>()
    };
    let listed = if insert.columns.is_empty() { None } else { Some(named(&insert.columns)?) };
    let Some(query) = &insert.source else {
        return Ok(Source { given: Some(Vec::new()), rows: vec![&[]], query: false });
    };
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && facts.queries == 1;
    let SetExpr::Values(values) = &*query.body else {
        return Ok(Source { given: listed, rows: Vec::new(), query: true });
    };
    let rows: Vec<&[Expr]> = values.rows.iter().map(|row| &row.content[..]).collect();
    let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let given = listed.unwrap_or_else(|| (0..table.columns.len()).collect());
    if rows.iter().any(|row| row.len() != width) || width > given.len() {
        return Err(unknown("a VALUES list that does not fit the columns"));
    }
    let given = given[..width].to_vec();
    Ok(Source { given: Some(given), rows, query: !plain })
}

/// Columns whose default the statement uses.
fn used_defaults(text: &Text<'_>, source: &Source<'_>, table: &Table) -> Vec<usize> {
    let identity_given_away = (0..text.len()).any(|i| text.are(i, &["overriding", "user", "value"]));
    let used = |i: &usize| {
        let place = source.given.as_ref().and_then(|given| given.iter().position(|c| c == i));
        let left_out = match (&source.given, place) {
            (None, _) | (Some(_), None) => true,
            (Some(_), Some(place)) => source.rows.iter().any(|row| row.get(place).is_some_and(is_default)),
        };
        left_out || (identity_given_away && table.columns[*i].default == ColumnDefault::LeadOnly)
    };
    (0..table.columns.len()).filter(used).collect()
}

/// A column whose default an INSERT uses, and that every member would compute for itself. Those of the table behind a view are
/// not known.
pub(crate) fn lead_only_default(
    text: &Text<'_>,
    statement: &Statement,
    scope: &Scope<'_>,
) -> Result<Option<String>, Stop> {
    let Statement::Insert(insert @ Insert { table: TableObject::TableName(name), .. }) = statement else {
        return Ok(None);
    };
    let (schema, name) = split_name(name);
    let table = scope.resolve(schema.as_deref(), &name).ok_or_else(|| unknown(&display(schema.as_deref(), &name)))?;
    if table.kind == RelationKind::View {
        return Ok(table.columns.first().map(|column| column.name.clone()));
    }
    let source = source(insert, &Target { table, name }, &tree::facts(statement))?;
    let used = used_defaults(text, &source, table);
    let lead_only = used.into_iter().find(|&i| table.columns[i].default == ColumnDefault::LeadOnly);
    Ok(lead_only.map(|i| table.columns[i].name.clone()))
}

/// Takes the defaults into account that the statement uses.
fn defaults(text: &Text<'_>, source: &Source<'_>, table: &Table, effective: &mut Effective) -> Result<(), Stop> {
    for column in used_defaults(text, source, table) {
        effective.default_of(table, column)?;
    }
    for (i, column) in table.columns.iter().enumerate() {
        let place = source.given.as_ref().and_then(|given| given.iter().position(|&c| c == i));
        if place.is_some() && column.names_objects() {
            effective.lead_alone(|| "object ids, which differ between members".to_owned());
        }
    }
    Ok(())
}

fn conflict(insert: &Insert) -> Result<Option<&OnConflict>, Stop> {
    match &insert.on {
        None => Ok(None),
        Some(OnInsert::OnConflict(conflict)) => Ok(Some(conflict)),
        Some(_) => Err(fallback::unreadable("ON DUPLICATE KEY")),
    }
}

struct Parts<'a> {
    source: &'a Source<'a>,
    target: &'a Target<'a>,
    conflict: Option<&'a OnConflict>,
    returning: bool,
}

fn form(
    parts: &Parts<'_>,
    effective: &Effective,
    facts: &Facts,
    relations: &super::relations::Relations,
    scope: &Scope<'_>,
) -> Result<WriteForm, Stop> {
    let table = parts.target.table;
    let rows = parts.source.rows.len();
    let deterministic = effective.lead_only.is_none();
    if deterministic && !parts.source.query && (parts.conflict.is_none() || rows == 1) {
        return Ok(WriteForm::Keyed { rows: rows as u64 });
    }
    let all = writable_columns(table);
    let update = parts.conflict.and_then(|conflict| match &conflict.action {
        OnConflictAction::DoUpdate(update) => Some(update),
        OnConflictAction::DoNothing => None,
    });
    let Some(update) = update else {
        let capture = build(table, &parts.target.name, parts.returning, CapturedOperation::Insert, (&[], &all));
        let alternative = deterministic
            && parts.conflict.is_none()
            && !facts.limits
            && !effective.order_dependent
            && relations.hidden.is_none();
        return Ok(WriteForm::Captured(or_locked(
            capture,
            alternative.then(|| locked(table, &relations.tables, scope)),
        )));
    };
    let assigned = assigned_columns(parts.target, &update.assignments)?;
    let key = unassigned_key(table, &assigned).ok_or_else(|| {
        hidden(
            format!("this INSERT … ON CONFLICT DO UPDATE of \"{}\" leaves no key by which followers could repeat it", table.name),
            "give the table a primary key that DO UPDATE does not assign, or insert one row a statement with constant values",
        )
    })?;
    Ok(WriteForm::Captured(build(
        table,
        &parts.target.name,
        parts.returning,
        CapturedOperation::Upsert,
        (&key.columns, &all),
    )))
}

/// Which rows it can meet.
fn hint(text: &Text<'_>, parts: &Parts<'_>, form: &WriteForm) -> FootprintHint {
    let table = parts.target.table;
    if table.unique_indexes == 0 && !table.has_foreign_keys && !table.inherits && !table.has_triggers {
        return FootprintHint::Append;
    }
    let updates_key = parts.conflict.is_some_and(|conflict| match &conflict.action {
        OnConflictAction::DoNothing => false,
        OnConflictAction::DoUpdate(update) => assigned_columns(parts.target, &update.assignments)
            .is_ok_and(|assigned| assigned.iter().any(|c| table.keys.iter().any(|key| key.columns.contains(c)))),
    });
    let by_constraint = parts
        .conflict
        .is_some_and(|conflict| matches!(conflict.conflict_target, Some(ConflictTarget::OnConstraint(_))));
    let known = matches!(form, WriteForm::Keyed { .. } | WriteForm::Captured(_))
        && !parts.source.query
        && qualifies(table)
        && !updates_key
        && !by_constraint;
    let keys = known.then(|| row_keys(text, parts)).flatten();
    keys.map_or(FootprintHint::Group, FootprintHint::Keys)
}

/// The primary keys of all VALUES rows, if they are constants.
fn row_keys(text: &Text<'_>, parts: &Parts<'_>) -> Option<Vec<PinnedKey>> {
    let table = parts.target.table;
    let given = parts.source.given.as_ref()?;
    let places: Vec<(usize, usize)> = table.keys[0]
        .columns
        .iter()
        .map(|&column| given.iter().position(|&c| c == column).map(|place| (column, place)))
        .collect::<Option<_>>()?;
    let row_key = |row: &&[Expr]| {
        let value = |&(column, place): &(usize, usize)| -> Option<(usize, KeyValue)> {
            Some((column, constant(text, table, column, row.get(place)?)?.hashable()?))
        };
        Some(PinnedKey { values: places.iter().map(value).collect::<Option<_>>()? })
    };
    parts.source.rows.iter().map(row_key).collect()
}

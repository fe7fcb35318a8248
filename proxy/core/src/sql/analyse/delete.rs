//! DELETE.

use sqlparser::ast::{FromTable, Query, Statement, TableFactor};

use super::super::text::Text;
use super::read::target;
use super::relations::{check_children, check_writable, display, relations};
use super::set_write::{Effective, SetWrite, check_calls, check_not_positioned, parse, with_facts};
use super::tree::{self, Facts, split_name};
use super::{Judged, Scope, Stop, fallback, pin, set_write, unknown};

/// DELETE as the first word.
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let statement = parse(text, &|i| text.operator(i, "*") && text.any(i + 1, &["where", "using", "as"]))?;
    let facts = tree::facts(&statement);
    delete(text, &statement, &facts, scope)
}

/// WITH … DELETE.
pub(crate) fn judge_with(text: &Text<'_>, query: &Query, inner: &Statement, scope: &Scope<'_>) -> Result<Judged, Stop> {
    check_not_positioned(text)?;
    let facts = with_facts(query, inner)?;
    delete(text, inner, &facts, scope)
}

fn delete(text: &Text<'_>, statement: &Statement, facts: &Facts, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let Statement::Delete(delete) = statement else {
        return Err(fallback::unreadable("not a DELETE"));
    };
    let FromTable::WithFromKeyword(from) = &delete.from else {
        return Err(fallback::unreadable("no FROM"));
    };
    let ([from], true) = (&from[..], delete.tables.is_empty() && delete.limit.is_none() && delete.order_by.is_empty())
    else {
        return Err(fallback::unreadable("a DELETE that PostgreSQL does not have"));
    };
    let TableFactor::Table { name, .. } = &from.relation else {
        return Err(fallback::unreadable("no table"));
    };
    let (schema, name) = split_name(name);
    let table = scope.resolve(schema.as_deref(), &name).ok_or_else(|| unknown(&display(schema.as_deref(), &name)))?;
    check_writable(table)?;
    check_children(table, scope)?;
    super::read::check_no_writes(facts)?;
    let target = target(&from.relation, table)
        .filter(|_| from.joins.is_empty())
        .ok_or_else(|| fallback::unreadable("no table"))?;
    let relations = relations(facts, scope)?;
    let effective = Effective::new(check_calls(text, &relations, scope)?, &relations);
    let write = SetWrite {
        table,
        target: &target,
        pins: pin::pins(text, &target, delete.selection.as_ref()),
        assigned: None,
        joins: delete.using.is_some(),
        facts,
        relations: &relations,
        effective,
    };
    set_write::judge(text, write, scope)
}

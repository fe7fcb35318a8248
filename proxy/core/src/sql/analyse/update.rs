//! UPDATE.

use sqlparser::ast::{Query, Statement};

use super::super::text::Text;
use super::read::{is_default, target};
use super::relations::{check_children, check_writable, display, relations};
use super::set_write::{Effective, SetWrite, assigned_columns, check_calls, check_not_positioned, parse, with_facts};
use super::tree::{self, Facts, split_name};
use super::{Judged, Scope, Stop, fallback, pin, set_write, unknown};

/// UPDATE as the first word.
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let subscripts = assigned_subscripts(text);
    let skip = |i: usize| subscripts.iter().any(|range| range.contains(&i)) || (text.operator(i, "*") && star(text, i));
    let statement = parse(text, &skip)?;
    let facts = tree::facts(&statement);
    update(text, &statement, &facts, scope)
}

/// WITH … UPDATE.
pub(crate) fn judge_with(text: &Text<'_>, query: &Query, inner: &Statement, scope: &Scope<'_>) -> Result<Judged, Stop> {
    check_not_positioned(text)?;
    let facts = with_facts(query, inner)?;
    update(text, inner, &facts, scope)
}

/// `UPDATE name * SET`: the star means what is meant without it.
fn star(text: &Text<'_>, i: usize) -> bool {
    text.is(i + 1, "set") || text.is(i + 1, "as")
}

/// `SET a[1] = …`: the parser does not read the subscript, and it does not matter which element is assigned.
fn assigned_subscripts(text: &Text<'_>) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut open = None;
    let mut depth = 0usize;
    for i in 0..text.len() {
        if text.symbol(i, "[") {
            if depth == 0 && i > 0 && text.name(i - 1).is_some() && !text.is(i - 1, "array") {
                open = Some(i);
            }
            depth += 1;
        } else if text.symbol(i, "]") {
            depth = depth.saturating_sub(1);
            let assigned = text.operator(i + 1, "=") || text.symbol(i + 1, "[") || text.symbol(i + 1, ".");
            if let Some(open) = open.take_if(|_| depth == 0)
                && assigned
            {
                ranges.push(open..i + 1);
            }
        }
    }
    ranges
}

fn update(text: &Text<'_>, statement: &Statement, facts: &Facts, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let Statement::Update(update) = statement else {
        return Err(fallback::unreadable("not an UPDATE"));
    };
    if !update.table.joins.is_empty() || update.limit.is_some() || !update.order_by.is_empty() {
        return Err(fallback::unreadable("an UPDATE that PostgreSQL does not have"));
    }
    let sqlparser::ast::TableFactor::Table { name, .. } = &update.table.relation else {
        return Err(fallback::unreadable("no table"));
    };
    let (schema, name) = split_name(name);
    let table = scope.resolve(schema.as_deref(), &name).ok_or_else(|| unknown(&display(schema.as_deref(), &name)))?;
    check_writable(table)?;
    check_children(table, scope)?;
    super::read::check_no_writes(facts)?;
    let target = target(&update.table.relation, table).ok_or_else(|| fallback::unreadable("no table"))?;
    let assigned = assigned_columns(&target, &update.assignments)?;
    let relations = relations(facts, scope)?;
    let mut effective = Effective::new(check_calls(text, &relations, scope)?, &relations);
    for assignment in &update.assignments {
        if uses_default(&assignment.value) {
            for column in assigned_columns(&target, std::slice::from_ref(assignment))? {
                effective.default_of(table, column)?;
            }
        }
    }
    if assigned.iter().any(|&c| table.columns[c].names_objects()) {
        effective.lead_alone(|| "object ids, which differ between members".to_owned());
    }
    let write = SetWrite {
        table,
        target: &target,
        pins: pin::pins(text, &target, update.selection.as_ref()),
        assigned: Some(assigned),
        joins: update.from.is_some(),
        facts,
        relations: &relations,
        effective,
    };
    set_write::judge(text, write, scope)
}

/// `DEFAULT`, or a row that holds it.
fn uses_default(value: &sqlparser::ast::Expr) -> bool {
    match value {
        sqlparser::ast::Expr::Tuple(values) => values.iter().any(is_default),
        value => is_default(value),
    }
}

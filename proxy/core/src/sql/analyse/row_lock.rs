//! SELECT … FOR UPDATE and its weaker forms.
//!
//! The lead finds and locks the rows; followers lock the same rows by key. The statement is repeated as it is only if
//! it names one row by its key, and cannot skip it; else the key columns are added to its select list by byte span.

use std::borrow::Cow;
use std::sync::Arc;

use sqlparser::ast::{GroupByExpr, Query, Select, SetExpr, Statement};

use super::super::analysis::{Command, FootprintHint, LockCapture, LockStrength, RowLock};
use super::super::catalog::{RelationKind, Table};
use super::super::text::Text;
use super::capture::items;
use super::effects::Effects;
use super::pin::{pinned_key, pins, qualifies};
use super::read::{check_no_writes, judge_read, single_target};
use super::relations::{Relations, check_writable, relations};
use super::{Judged, Scope, Stop, doubt, fallback, refuse, scan, tree, unknown};

/// The strength named behind a FOR at `i`, and how many tokens it takes.
fn strength(text: &Text<'_>, i: usize) -> Option<(LockStrength, usize)> {
    let forms: [(&[&str], LockStrength); 4] = [
        (&["for", "no", "key", "update"], LockStrength::NoKeyUpdate),
        (&["for", "key", "share"], LockStrength::KeyShare),
        (&["for", "update"], LockStrength::Update),
        (&["for", "share"], LockStrength::Share),
    ];
    forms.into_iter().find(|(words, _)| text.are(i, words)).map(|(words, strength)| (strength, words.len()))
}

/// Whether rows are locked anywhere in the text.
pub(crate) fn has_clause(text: &Text<'_>) -> bool {
    (0..text.len()).any(|i| strength(text, i).is_some())
}

/// Triggers and rules do not fire where rows are locked.
fn check_lockable(table: &Table) -> Result<(), Stop> {
    match check_writable(table) {
        Err(Stop::Hidden(_)) if matches!(table.kind, RelationKind::Table | RelationKind::Partitioned) => Ok(()),
        Err(Stop::Hidden(refusal)) => Err(Stop::Refused(refusal)),
        other => other,
    }
}

/// The tokens of all locking clauses, which the parser does not have to read.
pub(crate) fn clauses(text: &Text<'_>) -> Vec<std::ops::Range<usize>> {
    let end = |mut end: usize| {
        if text.is(end, "of") {
            loop {
                end = text.qualified(end + 1).map_or(end + 1, |(.., behind)| behind);
                if !text.symbol(end, ",") {
                    break;
                }
            }
        }
        end + usize::from(text.is(end, "nowait")) + 2 * usize::from(text.are(end, &["skip", "locked"]))
    };
    (0..text.len()).filter_map(|i| strength(text, i).map(|(_, words)| i..end(i + words))).collect()
}

struct Clause {
    tokens: std::ops::Range<usize>,
    strength: LockStrength,
    /// SKIP LOCKED or NOWAIT.
    impatient: bool,
}

/// The only locking clause, at the top level.
fn clause(text: &Text<'_>) -> Result<Clause, Stop> {
    let all: Vec<usize> = (0..text.len()).filter(|&i| strength(text, i).is_some()).collect();
    let [start] = all[..] else {
        return Err(doubt("rows are locked in more than one way", "use one FOR UPDATE clause"));
    };
    if !text.top_level(0).any(|i| i == start) {
        return Err(doubt("rows are locked inside a subquery", "lock them in a SELECT … FOR UPDATE of its own"));
    }
    let (strength, words) = strength(text, start).ok_or_else(|| unknown("this locking clause"))?;
    let mut end = start + words;
    if text.is(end, "of") {
        end = text.qualified(end + 1).ok_or_else(|| unknown("this locking clause"))?.2;
        if text.symbol(end, ",") {
            return Err(several());
        }
    }
    let impatient = text.is(end, "nowait") || text.are(end, &["skip", "locked"]);
    end += usize::from(text.is(end, "nowait")) + 2 * usize::from(text.are(end, &["skip", "locked"]));
    Ok(Clause { tokens: start..end, strength, impatient })
}

fn several() -> Stop {
    doubt(
        "rows of a join, a view or a subquery are locked",
        "lock one table's rows: SELECT … FROM table WHERE … FOR UPDATE",
    )
}

/// A query with a locking clause.
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let clause = clause(text)?;
    let statement = tree::parse(text, &|i| clause.tokens.contains(&i)).map_err(|error| fallback::unreadable(&error))?;
    let Statement::Query(query) = &statement else {
        return Err(fallback::unreadable("not a query"));
    };
    let facts = tree::facts(&**query);
    check_no_writes(&facts)?;
    let relations = relations(&facts, scope)?;
    let (select, table) = locked_table(query, scope)?;
    let target = single_target(select, table).ok_or_else(several)?;
    check_lockable(table)?;
    let effects = check_calls(text, &relations, scope)?;
    if table.is_of_session() {
        // There is nobody from whom the rows could be locked.
        let (read, because) = judge_read(effects, &relations, false)?;
        return Ok(Judged {
            tables: relations.tables.iter().map(|t| t.id).collect(),
            read_footprint: relations.footprint(),
            because,
            ..Judged::plain(Command::Read(read))
        });
    }
    let pinned = pinned_key(table, &pins(text, &target, select.selection.as_ref()));
    let repeatable = pinned.is_some() && effects.lead_only.is_none() && facts.queries == 1 && !clause.impatient;
    let capture = if repeatable {
        None
    } else {
        let key = table.keys.first().ok_or_else(|| {
            doubt(
                format!("table \"{}\" has no primary key by which followers could lock the same rows", table.name),
                format!("give it one: ALTER TABLE {} ADD PRIMARY KEY (…); or use LOCK TABLE", table.name),
            )
        })?;
        let (insert_before, empty) = before_from(text)?;
        let items = items(table, &target.name, &key.columns);
        let lead_insert = if empty { format!("{items} ") } else { format!(", {items} ") };
        Some(LockCapture { insert_before, lead_insert, columns: key.columns.clone(), strength: clause.strength })
    };
    let footprint = match pinned {
        // FOR KEY SHARE lets others change the row: who does has not taken the lock away.
        Some((key, Some(value))) if key.primary && qualifies(table) && clause.strength != LockStrength::KeyShare => {
            FootprintHint::Keys(vec![value])
        }
        _ => FootprintHint::Group,
    };
    let because: Cow<'static, str> = match &capture {
        None => "its WHERE pins a whole key by constants: every member locks the same row".into(),
        Some(_) if clause.impatient => "NOWAIT and SKIP LOCKED depend on who holds what on the lead".into(),
        Some(_) => "the lead alone knows which rows it finds".into(),
    };
    Ok(Judged {
        tables: relations.tables.iter().map(|t| t.id).collect(),
        read_footprint: relations.footprint(),
        because,
        ..Judged::plain(Command::RowLock(RowLock { table: Arc::clone(table), capture, footprint }))
    })
}

/// The only table of a plain SELECT, whose rows are locked.
fn locked_table<'q, 'c>(query: &'q Query, scope: &Scope<'c>) -> Result<(&'q Select, &'c Arc<Table>), Stop> {
    let SetExpr::Select(select) = &*query.body else {
        return Err(several());
    };
    let grouped = select.distinct.is_some()
        || select.having.is_some()
        || !matches!(&select.group_by, GroupByExpr::Expressions(e, m) if e.is_empty() && m.is_empty());
    if grouped || query.with.is_some() {
        return Err(several());
    }
    // The first relation in the text is the one in FROM, unless the select list has subqueries.
    let table = match &select.from[..] {
        [from] => match &from.relation {
            sqlparser::ast::TableFactor::Table { name, args: None, .. } => {
                let (schema, name) = tree::split_name(name);
                scope.resolve(schema.as_deref(), &name).ok_or_else(several)?
            }
            _ => return Err(several()),
        },
        _ => return Err(several()),
    };
    Ok((&**select, table))
}

/// Refuses calls that followers could not repeat.
fn check_calls(text: &Text<'_>, relations: &Relations, scope: &Scope<'_>) -> Result<Effects, Stop> {
    let effects = scan(text, 0..text.len(), scope);
    if let Some(refusal) = effects.denied {
        return Err(Stop::Refused(refusal));
    }
    if let Some(what) = effects.unproven.as_ref().or(relations.effects.as_ref()) {
        return Err(doubt(format!("{what} may write"), "call it in a SELECT without FOR UPDATE"));
    }
    if let Some(name) = relations.guarded(scope) {
        return Err(doubt(
            format!("row security of \"{name}\" may call a function that writes"),
            "declare functions of policies that only read as STABLE",
        ));
    }
    if !effects.sequences.is_empty() || effects.unknown_sequence.is_some() {
        return Err(refuse("nextval or setval in a locking SELECT", "call it in a SELECT of its own"));
    }
    Ok(effects)
}

/// The token behind the select list, and whether it is empty.
fn before_from(text: &Text<'_>) -> Result<(usize, bool), Stop> {
    let from = text
        .top_level(0)
        .find(|&i| {
            text.is(i, "from") && !text.is(i.wrapping_sub(1), "distinct") && !text.symbol(i.wrapping_sub(1), ".")
        })
        .ok_or_else(several)?;
    Ok((from, from == 1 || (from == 2 && text.is(1, "all"))))
}

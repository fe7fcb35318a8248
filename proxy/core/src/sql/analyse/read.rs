//! Queries: a read is a proof, never a default.

use std::borrow::Cow;

use sqlparser::ast::{Expr, Query, Select, SetExpr, Statement, TableFactor};

use super::super::analysis::{Command, FootprintHint, Proof, Read, SessionChange};
use super::super::catalog::Table;
use super::super::footprint::Footprint;
use super::super::text::{Text, latin};
use super::effects::Effects;
use super::pin::{Target, pinned_key, pins, qualifies};
use super::relations::{Relations, relations};
use super::tree::{self, Facts, fold, split_name};
use super::{
    Judged, Scope, Stop, advisory, delete, fallback, fill, hidden, insert, notification, refuse, row_lock, scan,
    session, unknown, update,
};

/// SELECT, VALUES, TABLE, WITH, or a parenthesis.
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    if let Some(judged) = set_config(text) {
        return judged;
    }
    if let Some(judged) = advisory::judge(text).or_else(|| notification::function(text)) {
        return Ok(judged);
    }
    let parsed = tree::parse(text, &|_| false);
    if parsed.as_ref().is_ok_and(|statement| has_into(text) && tree::facts(statement).into) {
        return fill::select_into(text, scope);
    }
    if row_lock::has_clause(text) && !parsed.as_ref().is_ok_and(writes_behind_with) {
        return row_lock::judge(text, scope);
    }
    let statement = match parsed {
        Ok(statement) => statement,
        Err(error) => return fallback::query(text, scope, &error),
    };
    let Statement::Query(query) = &statement else {
        return fallback::query(text, scope, "not a query");
    };
    match &*query.body {
        SetExpr::Insert(inner) => insert::judge_with(text, query, inner, scope),
        SetExpr::Update(inner) => update::judge_with(text, query, inner, scope),
        SetExpr::Delete(inner) => delete::judge_with(text, query, inner, scope),
        SetExpr::Merge(_) => Err(merge()),
        _ => read(text, query, scope),
    }
}

fn has_into(text: &Text<'_>) -> bool {
    (0..text.len()).any(|i| text.is(i, "into"))
}

/// WITH … INSERT and the like: rows that its queries lock are locked on the way to what it writes.
fn writes_behind_with(statement: &Statement) -> bool {
    let Statement::Query(query) = statement else { return false };
    matches!(&*query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

/// MERGE.
pub(crate) fn merge() -> Stop {
    hidden("MERGE is not supported by this version", "use INSERT … ON CONFLICT, or UPDATE and INSERT")
}

/// Ends the analysis of a query that writes.
pub(crate) fn check_no_writes(facts: &Facts) -> Result<(), Stop> {
    if facts.into {
        return Err(refuse("SELECT INTO makes a table and fills it", "use CREATE TABLE … AS"));
    }
    if facts.writes {
        return Err(hidden(
            "a WITH query that writes cannot be captured",
            "send its parts as statements of their own in one transaction",
        ));
    }
    Ok(())
}

fn read(text: &Text<'_>, query: &Query, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let facts = tree::facts(query);
    check_no_writes(&facts)?;
    let effects = scan(text, 0..text.len(), scope);
    if let Some(refusal) = effects.denied {
        // Also where a name is not known: it may become known while the statement waits.
        return Err(Stop::Refused(refusal));
    }
    let relations = relations(&facts, scope)?;
    // A READ ONLY transaction keeps none of these from writing, or does not tell of it.
    let untold = relations.effects.as_deref().filter(|_| scope.catalog.probe_tells_little);
    if let Some(name) = relations.volatile.as_deref().or(untold).or(relations.guarded(scope)) {
        return Err(hidden(
            format!("\"{name}\", which the statement reads, may have effects of its own"),
            "declare functions that only read as STABLE; call those that write in a statement of their own",
        ));
    }
    let words = &["insert", "update", "delete", "merge", "into"];
    // The tree says that nothing is written. A column may have such a name; if the tree is wrong, the member refuses.
    let doubtful = (0..text.len()).any(|i| text.any(i, words));
    let (read, because) = judge_read(effects, &relations, doubtful)?;
    let read_key = read_key(text, query, &facts, &relations);
    Ok(Judged {
        read_footprint: if read.proof == Proof::Proven { relations.footprint() } else { Footprint::Everything },
        command: Command::Read(read),
        tables: relations.tables.iter().map(|t| t.id).collect(),
        read_key,
        because,
    })
}

/// From what a query calls and reads to a verdict on it.
pub(crate) fn judge_read(
    effects: Effects,
    relations: &Relations,
    doubtful: bool,
) -> Result<(Read, Cow<'static, str>), Stop> {
    if let Some(refusal) = effects.denied {
        return Err(Stop::Refused(refusal));
    }
    if let Some(sequence) = effects.unknown_sequence {
        return Err(unknown(&format!("sequence \"{sequence}\"")));
    }
    let unproven = effects.unproven.or_else(|| relations.hidden.clone());
    if let Some(what) = unproven.as_ref().filter(|_| !effects.sequences.is_empty()) {
        return Err(hidden(
            format!("nextval or setval together with {what}, which may write"),
            "call nextval or setval in a SELECT of its own",
        ));
    }
    let proof = if unproven.is_some() || doubtful { Proof::Probe } else { Proof::Proven };
    let because: Cow<'static, str> = match &unproven {
        Some(what) => format!("it is not known whether {what} writes").into(),
        None if doubtful => "a word in it may stand for a write".into(),
        None if !effects.sequences.is_empty() => {
            "it changes nothing but sequences, whose state follows from the lead".into()
        }
        None if relations.member_bound => "each member has its own catalogs and sequences".into(),
        None if effects.member_bound => "its value belongs to one member".into(),
        None => "".into(),
    };
    let lead_only = effects.member_bound || relations.member_bound;
    Ok((Read { proof, lead_only, sequences: effects.sequences, cursor: None }, because))
}

/// `SELECT … FROM t WHERE key = constant` on one qualifying table and nothing else.
fn read_key(
    text: &Text<'_>,
    query: &Query,
    facts: &Facts,
    relations: &Relations,
) -> Option<(std::sync::Arc<Table>, FootprintHint)> {
    let ([table], 1, 1) = (&relations.tables[..], facts.relations.len(), facts.queries) else {
        return None;
    };
    if !qualifies(table) || table.has_row_security {
        return None;
    }
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let target = single_target(select, table)?;
    let (_, key) = pinned_key(table, &pins(text, &target, select.selection.as_ref()))?;
    Some((std::sync::Arc::clone(table), FootprintHint::Keys(vec![key?])))
}

/// The only table of a plain FROM.
pub(crate) fn single_target<'t>(select: &Select, table: &'t Table) -> Option<Target<'t>> {
    let [from] = &select.from[..] else {
        return None;
    };
    if !from.joins.is_empty() {
        return None;
    }
    target(&from.relation, table)
}

/// A plain table, with its alias.
pub(crate) fn target<'t>(factor: &TableFactor, table: &'t Table) -> Option<Target<'t>> {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let name = alias.as_ref().map_or_else(|| split_name(name).1, |alias| fold(&alias.name));
            Some(Target { table, name })
        }
        _ => None,
    }
}

/// SELECT set_config('name', 'value', is_local) alone: a SET. Also in the form of `pg_dump`, which sets what may not exist:
/// SELECT set_config(name, 'value', false) FROM pg_settings WHERE name = 'name'.
fn set_config(text: &Text<'_>) -> Option<Result<Judged, Stop>> {
    let SetConfig { name, value, local, .. } = SetConfig::of(text)?;
    let values = Some(vec![value]);
    if let Err(stop) = session::check_setting(&name, values.as_deref()) {
        return Some(Err(stop));
    }
    let change = if local { SessionChange::SetLocal { name, values } } else { SessionChange::Set { name, values } };
    Some(Ok(Judged::plain(Command::Session(change))))
}

/// The column of the row that answers a SET in the form of a query ([`set_config`]); `None`: it is none.
#[must_use]
pub fn column_of_setting(sql: &[u8], standard_conforming: bool) -> Option<String> {
    SetConfig::of(&Text::new(sql, standard_conforming)).map(|found| found.column)
}

/// A call of set_config that is a statement by itself.
struct SetConfig {
    /// Lower case.
    name: String,
    value: String,
    local: bool,
    column: String,
}

impl SetConfig {
    fn of(text: &Text<'_>) -> Option<Self> {
        let catalog = |at| if text.are(at, &["pg_catalog"]) && text.symbol(at + 1, ".") { at + 2 } else { at };
        let at = catalog(1);
        if !text.is(0, "select") || !text.is(at, "set_config") || !text.symbol(at + 1, "(") {
            return None;
        }
        let value = latin(&text.string(at + 4)?);
        let local = text.is(at + 6, "true");
        let constants = text.symbol(at + 3, ",") && text.symbol(at + 5, ",") && (local || text.is(at + 6, "false"));
        let behind = at + 8;
        let mut column = None;
        let (name, ends) = if text.is(at + 2, "name") && text.is(behind, "from") {
            let from = catalog(behind + 1);
            let condition = text.is(from, "pg_settings") && text.are(from + 1, &["where", "name"]);
            (text.string(from + 4)?, condition && text.operator(from + 3, "=") && from + 5 == text.len())
        } else {
            let alias = behind + usize::from(text.is(behind, "as"));
            column = text.name(alias);
            (text.string(at + 2)?, behind == text.len() || column.is_some() && alias + 1 == text.len())
        };
        if !constants || !text.symbol(at + 7, ")") || !ends {
            return None;
        }
        let name = latin(&name).to_ascii_lowercase();
        Some(Self { name, value, local, column: column.unwrap_or_else(|| "set_config".to_owned()) })
    }
}

/// A read that touches no rows.
pub(crate) fn harmless(lead_only: bool) -> Judged {
    Judged::plain(Command::Read(Read { proof: Proof::Proven, lead_only, sequences: Vec::new(), cursor: None }))
}

/// SHOW.
pub(crate) fn show() -> Judged {
    harmless(false)
}

/// Whether an expression is the word DEFAULT.
pub(crate) fn is_default(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(ident) => ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"),
        Expr::Nested(inner) => is_default(inner),
        _ => false,
    }
}

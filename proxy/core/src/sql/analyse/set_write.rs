//! What INSERT, UPDATE and DELETE share, and the choice of a form for the latter two.

use std::borrow::Cow;
use std::sync::Arc;

use sqlparser::ast::{Assignment, AssignmentTarget, Query, Statement};

use super::super::analysis::{CapturedOperation, Command, FootprintHint, Locked, Write, WriteForm};
use super::super::catalog::{ColumnDefault, Table, UniqueKey};
use super::super::text::Text;
use super::capture::{build, or_locked, unassigned_key};
use super::effects::Effects;
use super::locks::locked;
use super::pin::{Pin, Target, pinned_key, qualifies};
use super::relations::{Relations, check_cascades};
use super::tree::{self, Facts};
use super::{Judged, Scope, Stop, fallback, hidden, scan, unknown};

/// Facts of `WITH … INSERT | UPDATE | DELETE`; a writing WITH query is refused.
pub(crate) fn with_facts(query: &Query, inner: &Statement) -> Result<Facts, Stop> {
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        super::read::check_no_writes(&tree::facts(&*cte.query))?;
    }
    super::read::check_no_writes(&tree::facts(inner))?;
    let mut facts = tree::facts(query);
    facts.writes = false;
    facts.queries += 1;
    Ok(facts)
}

/// What of the text and of used defaults makes a write other than deterministic.
#[derive(Debug)]
pub(crate) struct Effective {
    /// What is known to the lead alone.
    pub(crate) lead_only: Option<String>,
    /// Some call depends on the order of rows.
    pub(crate) order_dependent: bool,
    /// Sequences that advance.
    pub(crate) sequences: Vec<String>,
}

impl Effective {
    pub(crate) fn new(effects: Effects, relations: &Relations) -> Self {
        Effective {
            lead_only: effects
                .lead_only
                .or(effects.unproven)
                .or_else(|| relations.member_bound.then(|| "contents of a catalog or a sequence".to_owned())),
            order_dependent: effects.order_dependent.is_some(),
            sequences: effects.sequences,
        }
    }

    /// Something is known to the lead alone; the first is kept, for messages.
    pub(crate) fn lead_alone(&mut self, what: impl FnOnce() -> String) {
        self.lead_only.get_or_insert_with(what);
    }

    /// The statement uses the default of a column.
    pub(crate) fn default_of(&mut self, table: &Table, column: usize) -> Result<(), Stop> {
        match table.columns[column].default {
            ColumnDefault::Null | ColumnDefault::Immutable | ColumnDefault::Generated => {}
            ColumnDefault::LeadOnly => {
                self.lead_alone(|| format!("the default of column \"{}\"", table.columns[column].name))
            }
            ColumnDefault::Unproven => {
                return Err(hidden(
                    format!(
                        "the default of column \"{}\" calls a user's function that may write",
                        table.columns[column].name
                    ),
                    "give the column a value in the statement, or make its default a built-in function",
                ));
            }
        }
        for (_, sequence) in table.sequences.iter().filter(|(of, _)| *of == column) {
            if !self.sequences.contains(sequence) {
                self.sequences.push(sequence.clone());
            }
        }
        Ok(())
    }
}

/// Refuses calls that a write may not make, and views that may make them.
pub(crate) fn check_calls(text: &Text<'_>, relations: &Relations, scope: &Scope<'_>) -> Result<Effects, Stop> {
    let mut effects = scan(text, 0..text.len(), scope);
    if let Some(refusal) = effects.denied.take() {
        return Err(Stop::Refused(refusal));
    }
    if let Some(sequence) = effects.unknown_sequence.take() {
        return Err(unknown(&format!("sequence \"{sequence}\"")));
    }
    if let Some(what) = effects.writes_elsewhere() {
        return Err(hidden(
            format!("{what} may write, which followers would not see"),
            "call it in a SELECT first and write its result; or declare it IMMUTABLE if it only computes",
        ));
    }
    if let Some(view) = &relations.effects {
        return Err(hidden(
            format!("\"{view}\", which the statement reads, may have effects of its own"),
            "read it in a SELECT first and write its result",
        ));
    }
    if let Some(name) = relations.guarded(scope) {
        return Err(hidden(
            format!("row security of \"{name}\" may call a function that writes"),
            "declare functions of policies that only read as STABLE",
        ));
    }
    Ok(effects)
}

/// RETURNING outside all parentheses.
pub(crate) fn client_returning(text: &Text<'_>) -> bool {
    text.top_level(0).any(|i| text.is(i, "returning"))
}

/// The columns that a SET clause assigns.
pub(crate) fn assigned_columns(target: &Target<'_>, assignments: &[Assignment]) -> Result<Vec<usize>, Stop> {
    let mut columns = Vec::new();
    for assignment in assignments {
        let names = match &assignment.target {
            AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
            AssignmentTarget::Tuple(names) => &names[..],
        };
        for name in names {
            let column = target.assigned(name).ok_or_else(|| unknown(&format!("column \"{name}\"")))?;
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    Ok(columns)
}

/// An UPDATE or DELETE as far as its form depends on it.
pub(crate) struct SetWrite<'a> {
    pub(crate) table: &'a Arc<Table>,
    pub(crate) target: &'a Target<'a>,
    pub(crate) pins: Vec<Pin>,
    /// Columns that UPDATE assigns; `None`: DELETE.
    pub(crate) assigned: Option<Vec<usize>>,
    /// UPDATE … FROM, DELETE … USING.
    pub(crate) joins: bool,
    pub(crate) facts: &'a Facts,
    pub(crate) relations: &'a Relations,
    pub(crate) effective: Effective,
}

/// Chooses the form: keyed where a key is pinned and all is computed alike, else captured, else locked, else refused.
pub(crate) fn judge(text: &Text<'_>, write: SetWrite<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let assigned = write.assigned.as_deref().unwrap_or_default();
    let in_key = assigned.iter().any(|c| write.table.keys.iter().any(|key| key.columns.contains(c)));
    if write.assigned.is_none() || in_key || write.table.unique_indexes > write.table.keys.len() {
        check_cascades(write.table, scope)?;
    }
    let pinned = pinned_key(write.table, &write.pins);
    let alone = !write.joins && write.facts.queries == 0;
    let returning = client_returning(text);
    let form = if write.effective.lead_only.is_none() && alone && pinned.is_some() {
        WriteForm::Keyed { rows: 1 }
    } else {
        set_form(&write, assigned, returning, scope)?
    };
    let because = because(&write, &form, pinned.as_ref().map(|(key, _)| *key));
    let footprint = match pinned {
        Some((key, Some(value)))
            if key.primary && qualifies(write.table) && !in_key && !matches!(form, WriteForm::Locked(_)) =>
        {
            FootprintHint::Keys(vec![value])
        }
        _ => FootprintHint::Group,
    };
    let command = Command::Write(Write {
        table: Arc::clone(write.table),
        footprint,
        form,
        client_returning: returning,
        plain_insert: false,
        deferred: write.table.has_deferrable,
        sequences: write.effective.sequences,
    });
    Ok(Judged {
        tables: write.relations.tables.iter().map(|t| t.id).collect(),
        read_footprint: write.relations.footprint(),
        because,
        ..Judged::plain(command)
    })
}

/// Why it has its form.
fn because(write: &SetWrite<'_>, form: &WriteForm, pinned: Option<&UniqueKey>) -> Cow<'static, str> {
    match (form, &write.effective.lead_only) {
        (WriteForm::Keyed { .. }, _) => {
            let key = pinned.map_or_else(String::new, |key| column_names(write.table, &key.columns));
            format!("its WHERE pins the key ({key}) by constants, and every member computes the same").into()
        }
        (_, Some(what)) => format!("the lead alone can know {what}").into(),
        (WriteForm::Locked(_), None) if write.table.keys.is_empty() => {
            "the table has no key, and under locks every member does the same".into()
        }
        (WriteForm::Locked(_), None) => "it assigns every key, and under locks every member does the same".into(),
        (WriteForm::Captured(_), None) if pinned.is_none() => {
            "its WHERE does not pin a whole key by constants: the lead alone knows which rows it meets".into()
        }
        (WriteForm::Captured(_), None) => "it reads other rows than the one that it names".into(),
    }
}

/// Columns, for messages.
pub(crate) fn column_names(table: &Table, columns: &[usize]) -> String {
    columns.iter().map(|&c| table.columns[c].name.as_str()).collect::<Vec<_>>().join(", ")
}

fn set_form(write: &SetWrite<'_>, assigned: &[usize], returning: bool, scope: &Scope<'_>) -> Result<WriteForm, Stop> {
    let table = write.table;
    let alternative = locked_if_safe(write, assigned, scope);
    let Some(key) = unassigned_key(table, assigned) else {
        return alternative.map(WriteForm::Locked).ok_or_else(|| no_key(write));
    };
    let (operation, values) = match &write.assigned {
        None => (CapturedOperation::Delete, Vec::new()),
        Some(assigned) => {
            let given = assigned.iter().copied().filter(|&c| table.columns[c].default != ColumnDefault::Generated);
            (CapturedOperation::Update, given.collect::<Vec<_>>())
        }
    };
    if write.assigned.is_some() && values.is_empty() {
        return Err(hidden(
            "only generated columns are assigned",
            "leave them out: they follow from the other columns",
        ));
    }
    let capture = build(table, &write.target.name, returning, operation, (&key.columns, &values));
    Ok(WriteForm::Captured(or_locked(capture, alternative)))
}

/// The locked form, if every member would touch the same rows and compute the same, whatever order it finds them in.
fn locked_if_safe(write: &SetWrite<'_>, assigned: &[usize], scope: &Scope<'_>) -> Option<Locked> {
    let table = write.table;
    let update = write.assigned.is_some();
    // A row that an UPDATE … FROM meets twice takes its values from either.
    let picks = update && write.joins;
    // An UPDATE of a unique column may or may not meet itself on its way through the table.
    let may_collide = update
        && (table.unique_indexes > table.keys.len()
            || assigned.iter().any(|c| table.keys.iter().any(|key| key.columns.contains(c))));
    let safe = write.effective.lead_only.is_none()
        && !write.effective.order_dependent
        && !write.facts.limits
        && !picks
        && !may_collide
        && write.relations.hidden.as_ref().is_none_or(|name| *name == table.name && table.has_row_security);
    safe.then(|| locked(table, &write.relations.tables, scope))
}

fn no_key(write: &SetWrite<'_>) -> Stop {
    let name = &write.table.name;
    if write.table.keys.is_empty() {
        hidden(
            format!("table \"{name}\" has no primary key by which followers could repeat what the lead did"),
            format!(
                "give it one: ALTER TABLE {name} ADD PRIMARY KEY (…), or make the columns of a unique index NOT NULL"
            ),
        )
    } else {
        hidden(
            format!("this UPDATE assigns every key of \"{name}\", so that followers could not find the rows again"),
            "name the row by its full key in WHERE and use constant values, or add another unique key",
        )
    }
}

/// Refuses positioned writes, which no member but the lead could follow.
pub(crate) fn check_not_positioned(text: &Text<'_>) -> Result<(), Stop> {
    if (0..text.len()).any(|i| text.are(i, &["where", "current", "of"])) {
        return Err(hidden("WHERE CURRENT OF names a cursor's row", "name the row by its primary key"));
    }
    Ok(())
}

/// Parses an UPDATE or DELETE.
pub(crate) fn parse(text: &Text<'_>, skip: &dyn Fn(usize) -> bool) -> Result<Statement, Stop> {
    check_not_positioned(text)?;
    tree::parse(text, skip).map_err(|error| fallback::unreadable(&error))
}

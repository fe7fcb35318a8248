//! What the calls in a piece of text mean: may its values be computed by every member, may it have effects, does it
//! touch sequences.
//!
//! Found on tokens: a call is a name before `(`, a special word such as CURRENT_TIMESTAMP, an operator, a cast, or
//! (for functions of one row) `row.name`. Nothing else calls a function in SQL, so nothing can be missed; a table or
//! type that shares its name with a function is taken for a call, which is safe and only slower.

use std::ops::Range;

use super::super::analysis::Refusal;
use super::super::catalog::{RelationKind, Volatility};
use super::super::functions::{self, DATE_TIME_TYPES, OBJECT_ID_TYPES, SPECIAL_VALUES, SYSTEM_COLUMNS};
use super::super::lexer::TokenKind;
use super::super::text::{Text, quote_qualified};
use super::Scope;

/// What was found. The first of each kind is kept, for messages.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Something whose value the lead alone can know.
    pub(crate) lead_only: Option<String>,
    /// Of these, something that is known to be another on every member, such as the time.
    pub(crate) differs: Option<String>,
    /// Something that is bound to one member although it is no write: a sequence's value, object ids.
    pub(crate) member_bound: bool,
    /// A call that may have effects.
    pub(crate) unproven: Option<String>,
    /// A call of code of users that may do anything: a volatile function, an operator, a cast.
    pub(crate) user_code: Option<String>,
    /// A call that is refused.
    pub(crate) denied: Option<Refusal>,
    /// Sequences that are advanced or set, by constant name.
    pub(crate) sequences: Vec<String>,
    /// A sequence that the catalog does not know.
    pub(crate) unknown_sequence: Option<String>,
    /// A call whose result may depend on the order of rows.
    pub(crate) order_dependent: Option<String>,
}

impl Effects {
    /// Its value differs between members.
    fn lead_only(&mut self, what: impl FnOnce() -> String) {
        let known = match self.differs.take() {
            Some(known) => known,
            None => what(),
        };
        self.lead_only.get_or_insert_with(|| known.clone());
        self.differs = Some(known);
    }

    /// Its value may differ between members.
    fn perhaps_lead_only(&mut self, what: impl FnOnce() -> String) {
        self.lead_only.get_or_insert_with(what);
    }

    fn unproven(&mut self, what: impl FnOnce() -> String) {
        self.unproven.get_or_insert_with(what);
    }

    fn user_code(&mut self, what: impl FnOnce() -> String) {
        self.user_code.get_or_insert_with(what);
    }
}

/// Judges the tokens of `range`.
pub(crate) fn scan(text: &Text<'_>, range: Range<usize>, scope: &Scope<'_>) -> Effects {
    let mut effects = Effects::default();
    if scope.catalog.casts_may_write {
        // Those that are implicit stand nowhere in the text.
        effects.unproven(|| "a cast".to_owned());
        effects.user_code(|| "a cast".to_owned());
        effects.lead_only(|| "a cast, where users have made casts".to_owned());
    }
    for i in range {
        match text.kind(i) {
            Some(TokenKind::Ident | TokenKind::QuotedIdent) => identifier(text, i, scope, &mut effects),
            Some(TokenKind::Operator) => operator(text, i, scope, &mut effects),
            Some(TokenKind::String | TokenKind::EscapeString | TokenKind::UnicodeString | TokenKind::DollarString) => {
                let value = text.string(i);
                if value.as_deref().is_none_or(functions::may_mean_now) && !is_sequence_argument(text, i) {
                    effects.lead_only(|| "a text that can mean the current time".to_owned());
                }
            }
            Some(TokenKind::Symbol) if text.symbol(i, "::") => cast(text, i, scope, &mut effects),
            _ => {}
        }
    }
    effects
}

/// A string in `nextval('…`: it is no date.
fn is_sequence_argument(text: &Text<'_>, i: usize) -> bool {
    i >= 2 && text.symbol(i - 1, "(") && text.any(i - 2, &["nextval", "setval", "currval"])
}

fn identifier(text: &Text<'_>, i: usize, scope: &Scope<'_>, effects: &mut Effects) {
    let Some(name) = text.name(i) else { return };
    let unquoted = text.kind(i) == Some(TokenKind::Ident);
    let behind_dot = i > 0 && text.symbol(i - 1, ".");
    if text.symbol(i + 1, "(") {
        call(text, i, &name, scope, effects);
        return;
    }
    if let Some(function) = scope.catalog.functions.user.get(&name).filter(|f| behind_dot && f.attribute) {
        effects.unproven(|| format!("the function {name}"));
        if function.volatility == Volatility::Volatile {
            effects.user_code(|| format!("the function {name}"));
        }
    }
    if SYSTEM_COLUMNS.contains(&name.as_str()) || OBJECT_ID_TYPES.contains(&name.as_str()) {
        effects.member_bound = true;
        effects.lead_only(|| format!("{name}, which differs between members"));
    }
    if unquoted && !behind_dot && SPECIAL_VALUES.contains(&name.as_str()) {
        effects.lead_only(|| name.to_ascii_uppercase());
    }
    if unquoted && name == "tablesample" {
        effects.lead_only(|| "TABLESAMPLE".to_owned());
    }
    if unquoted && name == "over" {
        effects.order_dependent.get_or_insert_with(|| "a window function".to_owned());
    }
}

/// `INTO name (columns)`, `REFERENCES name (columns)`: a table, not a call.
fn is_table(text: &Text<'_>, mut i: usize) -> bool {
    while i >= 2 && text.symbol(i - 1, ".") {
        i -= 2;
    }
    i > 0 && text.any(i - 1, &["into", "references"])
}

fn call(text: &Text<'_>, i: usize, name: &str, scope: &Scope<'_>, effects: &mut Effects) {
    if is_table(text, i) {
        return;
    }
    if let Some(refusal) = functions::denied(name) {
        effects.denied.get_or_insert(refusal);
        return;
    }
    if matches!(name, "nextval" | "setval" | "currval" | "lastval") {
        sequence_call(text, i, name, scope, effects);
        return;
    }
    if name == "cast" {
        cast_call(text, i, scope, effects);
        return;
    }
    if SPECIAL_VALUES.contains(&name) && text.kind(i) == Some(TokenKind::Ident) {
        effects.lead_only(|| name.to_ascii_uppercase());
        return;
    }
    if DATE_TIME_TYPES.contains(&name) && text.kind(i + 2) == Some(TokenKind::Number) && text.symbol(i + 3, ")") {
        return;
    }
    let Some(facts) = scope.catalog.functions.get(name) else {
        return;
    };
    if functions::order_dependent(name) {
        effects.order_dependent.get_or_insert_with(|| format!("{name}()"));
    }
    if name.starts_with("pg_") && facts.volatility != Volatility::Immutable || name.starts_with("to_reg") {
        effects.member_bound = true;
    }
    match facts.volatility {
        Volatility::Immutable if facts.builtin || facts.trusted => {}
        Volatility::Immutable => {
            effects.perhaps_lead_only(|| format!("the function {name}()"));
            effects.unproven_user(name);
        }
        Volatility::Stable if facts.builtin && functions::runs_text(name) => {
            effects.differs.get_or_insert_with(|| format!("{name}()"));
            effects.unproven(|| format!("{name}()"));
        }
        Volatility::Stable if facts.builtin && functions::settings_only(name) => {}
        Volatility::Stable if facts.builtin || facts.trusted => effects.lead_only(|| format!("{name}()")),
        Volatility::Volatile if (facts.builtin && functions::harmless(name)) || facts.trusted && !facts.builtin => {
            effects.lead_only(|| format!("{name}()"));
        }
        Volatility::Stable | Volatility::Volatile => {
            if facts.volatility == Volatility::Volatile && !facts.builtin {
                effects.user_code(|| format!("the function {name}()"));
            }
            effects.perhaps_lead_only(|| format!("{name}()"));
            // Of a user's function it is not known. A built-in one that is on no list tells of its server.
            if facts.builtin {
                effects.differs.get_or_insert_with(|| format!("{name}()"));
            }
            effects.unproven(|| format!("the function {name}()"));
        }
    }
}

impl Effects {
    /// A user's function that is declared immutable: not proven for reads, trusted in writes (see [`Effects::writes_elsewhere`]).
    fn unproven_user(&mut self, name: &str) {
        self.unproven(|| format!("{IMMUTABLE_USER}{name}()"));
    }

    /// A call that might write behind the statement's back. A function declared IMMUTABLE is believed here: its user
    /// has promised more than that it does not write.
    pub(crate) fn writes_elsewhere(&self) -> Option<&str> {
        self.unproven.as_deref().filter(|what| !what.starts_with(IMMUTABLE_USER))
    }
}

const IMMUTABLE_USER: &str = "the immutable function ";

fn sequence_call(text: &Text<'_>, i: usize, name: &str, scope: &Scope<'_>, effects: &mut Effects) {
    effects.lead_only(|| format!("{name}()"));
    effects.member_bound = true;
    if matches!(name, "currval" | "lastval") {
        return;
    }
    let Some(argument) = text.string(i + 2).filter(|_| ends_constant(text, i + 3)) else {
        // Which sequence that is, the lead tells afterwards.
        effects.unproven(|| format!("{name}() of a name that is not a constant"));
        return;
    };
    let inner = Text::new(&argument, true);
    let known = inner.qualified(0).and_then(|(schema, sequence, _)| {
        scope.resolve(schema.as_deref(), &sequence).filter(|t| t.kind == RelationKind::Sequence)
    });
    match known {
        Some(table) => {
            let quoted = quote_qualified(&table.schema, &table.name);
            if !effects.sequences.contains(&quoted) {
                effects.sequences.push(quoted);
            }
        }
        None => {
            effects.unknown_sequence.get_or_insert_with(|| String::from_utf8_lossy(&argument).into_owned());
        }
    }
}

/// Behind a constant argument: `)`, `,`, or casts to text or regclass and then one of them.
fn ends_constant(text: &Text<'_>, mut i: usize) -> bool {
    while text.symbol(i, "::") {
        i += if text.are(i + 1, &["pg_catalog"]) && text.symbol(i + 2, ".") { 2 } else { 0 };
        if !text.any(i + 1, &["regclass", "text"]) {
            return false;
        }
        i += 2;
    }
    text.symbol(i, ")") || text.symbol(i, ",")
}

fn operator(text: &Text<'_>, i: usize, scope: &Scope<'_>, effects: &mut Effects) {
    if scope.catalog.user_operators.is_empty() {
        return;
    }
    let operator = String::from_utf8_lossy(text.tokens[i].bytes(text.bytes)).into_owned();
    if scope.catalog.user_operators.contains(&operator) {
        effects.unproven(|| format!("the operator {operator}"));
        effects.user_code(|| format!("the operator {operator}"));
    }
}

/// `value::type`: text that is not a constant may be read as a time, and may be `now`.
fn cast(text: &Text<'_>, i: usize, scope: &Scope<'_>, effects: &mut Effects) {
    if scope.catalog.user_types {
        effects.perhaps_lead_only(|| "a cast, where users have made casts".to_owned());
        effects.unproven_user("cast");
    }
    let constant = i > 0
        && (matches!(
            text.kind(i - 1),
            Some(TokenKind::String | TokenKind::EscapeString | TokenKind::Parameter | TokenKind::Number)
        ) || text.is(i - 1, "null"));
    let at = if text.is(i + 1, "pg_catalog") && text.symbol(i + 2, ".") { i + 3 } else { i + 1 };
    if !constant && text.any(at, DATE_TIME_TYPES) {
        effects.perhaps_lead_only(|| "a cast to a date or time".to_owned());
    }
}

/// `CAST(value AS type)`, with the same rule.
fn cast_call(text: &Text<'_>, i: usize, scope: &Scope<'_>, effects: &mut Effects) {
    if scope.catalog.user_types {
        effects.perhaps_lead_only(|| "a cast, where users have made casts".to_owned());
        effects.unproven_user("cast");
    }
    let constant = matches!(text.kind(i + 2), Some(TokenKind::String | TokenKind::Parameter | TokenKind::EscapeString))
        && text.is(i + 3, "as");
    let close = text.closing(i + 1).unwrap_or(text.len());
    let to_time = (i + 2..close).any(|k| text.is(k, "as") && text.any(k + 1, DATE_TIME_TYPES));
    if to_time && !constant {
        effects.perhaps_lead_only(|| "a cast to a date or time".to_owned());
    }
}

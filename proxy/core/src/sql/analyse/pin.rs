//! Which row a WHERE clause or a VALUES row pins by constants.
//!
//! `column = constant` conjuncts pin a row when they cover all columns of a unique key: whatever else the WHERE says,
//! at most that row can match. Equality is the operator by which the key is unique, so the pinning itself does not
//! depend on types; whether a *hash* of the constant stands for the row does, and is decided here and in
//! [`super::super::key_hash`].

use sqlparser::ast::{BinaryOperator, CastKind, DataType, Expr, Ident, ObjectName, UnaryOperator, Value};

use super::super::analysis::{KeyValue, LiteralAt, PinnedKey};
use super::super::catalog::{Table, UniqueKey};
use super::super::key_hash::{KeyType, key_type};
use super::super::lexer::TokenKind;
use super::super::text::{Text, parameter};
use super::tree::{fold, split_name};

/// The written table as the statement calls it.
pub(crate) struct Target<'a> {
    pub(crate) table: &'a Table,
    /// Alias, or the table's name.
    pub(crate) name: String,
}

/// A column that equals a constant.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    /// Index into the table's columns.
    pub(crate) column: usize,
    pub(crate) constant: Constant,
}

/// A constant that is not NULL.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    /// Its hash stands for the column's value.
    Hashable(KeyValue),
    /// Its hash may differ from that of an equal value.
    Other,
}

impl Constant {
    fn new(value: KeyValue, hashable: bool) -> Self {
        if hashable { Constant::Hashable(value) } else { Constant::Other }
    }

    pub(crate) fn hashable(self) -> Option<KeyValue> {
        match self {
            Constant::Hashable(value) => Some(value),
            Constant::Other => None,
        }
    }
}

impl Target<'_> {
    /// The column that an expression names, if it is a plain column of this table.
    pub(crate) fn column(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Identifier(ident) => self.index(&fold(ident)),
            Expr::CompoundIdentifier(parts) => self.compound(parts),
            Expr::Nested(inner) => self.column(inner),
            _ => None,
        }
    }

    fn compound(&self, parts: &[Ident]) -> Option<usize> {
        let (column, qualifier) = parts.split_last()?;
        let ours = match qualifier {
            [table] => fold(table) == self.name,
            [schema, table] => fold(schema) == self.table.schema && fold(table) == self.table.name,
            _ => false,
        };
        ours.then(|| self.index(&fold(column))).flatten()
    }

    /// The column with this name.
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.table.columns.iter().position(|c| c.name == name)
    }

    /// The column that is assigned by `name = …`, also for `name.field = …`.
    pub(crate) fn assigned(&self, name: &ObjectName) -> Option<usize> {
        let (first, last) = split_name(name);
        self.index(first.as_deref().unwrap_or(&last))
    }
}

/// All `column = constant` conjuncts of a WHERE clause.
pub(crate) fn pins(text: &Text<'_>, target: &Target<'_>, selection: Option<&Expr>) -> Vec<Pin> {
    let mut pins = Vec::new();
    let mut open: Vec<&Expr> = selection.into_iter().collect();
    while let Some(expr) = open.pop() {
        match expr {
            Expr::Nested(inner) => open.push(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => open.extend([&**left, &**right]),
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => equality(text, target, left, right, &mut pins),
            _ => {}
        }
    }
    pins
}

fn equality(text: &Text<'_>, target: &Target<'_>, left: &Expr, right: &Expr, pins: &mut Vec<Pin>) {
    if let (Expr::Tuple(left), Expr::Tuple(right)) = (left, right) {
        if left.len() == right.len() {
            for (left, right) in left.iter().zip(right) {
                one_equality(text, target, left, right, pins);
            }
        }
        return;
    }
    one_equality(text, target, left, right, pins);
}

fn one_equality(text: &Text<'_>, target: &Target<'_>, left: &Expr, right: &Expr, pins: &mut Vec<Pin>) {
    for (column, value) in [(left, right), (right, left)] {
        if let Some(column) = target.column(column)
            && let Some(constant) = constant(text, target.table, column, value)
        {
            pins.push(Pin { column, constant });
            return;
        }
    }
}

/// A constant that is not NULL, for a column. The tree has a literal as the index of its token.
pub(crate) fn constant(text: &Text<'_>, table: &Table, column: usize, expr: &Expr) -> Option<Constant> {
    let kind = key_type(&table.columns[column]);
    match expr {
        Expr::Nested(inner) => constant(text, table, column, inner),
        Expr::Value(value) => plain(text, kind, &value.value),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match &**expr {
            Expr::Value(value) => match &value.value {
                Value::Number(index, _) => number(text, kind, index, true),
                _ => None,
            },
            _ => None,
        },
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } => {
            let constant = constant(text, table, column, expr)?;
            let direct = !matches!(&**expr, Expr::Cast { .. } | Expr::TypedString(_));
            Some(if direct && same_family(kind, data_type) { constant } else { Constant::Other })
        }
        _ => None,
    }
}

fn number(text: &Text<'_>, kind: KeyType, index: &str, negative: bool) -> Option<Constant> {
    let token = index.parse().ok().filter(|&i| text.kind(i) == Some(TokenKind::Number))?;
    Some(Constant::new(KeyValue::Literal(LiteralAt { token, negative }), kind == KeyType::Integer))
}

fn plain(text: &Text<'_>, kind: KeyType, value: &Value) -> Option<Constant> {
    match value {
        Value::Number(index, _) => number(text, kind, index, false),
        Value::SingleQuotedString(index) => {
            let token = index.parse().ok()?;
            let exact = std::str::from_utf8(&text.string(token)?).is_ok();
            let at = LiteralAt { token, negative: false };
            Some(Constant::new(KeyValue::Literal(at), exact && kind != KeyType::Other))
        }
        Value::Placeholder(name) => {
            let number = parameter(name.as_bytes())?;
            let hashable = kind != KeyType::Other && used_once(text, number);
            Some(Constant::new(KeyValue::Parameter(number), hashable))
        }
        Value::Boolean(_) => Some(Constant::Other),
        _ => None,
    }
}

/// A parameter that is used twice may get its type from the other place.
fn used_once(text: &Text<'_>, number: u16) -> bool {
    let uses =
        text.tokens.iter().filter(|t| t.kind == TokenKind::Parameter && parameter(t.bytes(text.bytes)) == Some(number));
    uses.count() == 1
}

/// A cast that changes neither the value nor its text.
fn same_family(kind: KeyType, to: &DataType) -> bool {
    match kind {
        KeyType::Integer => matches!(
            to,
            DataType::SmallInt(None)
                | DataType::Int2(None)
                | DataType::Int(None)
                | DataType::Integer(None)
                | DataType::Int4(None)
                | DataType::BigInt(None)
                | DataType::Int8(None)
        ),
        KeyType::Text => matches!(to, DataType::Text | DataType::Varchar(None)),
        KeyType::Uuid => matches!(to, DataType::Uuid),
        KeyType::Other => false,
    }
}

/// The first unique key that is pinned, with the constants in the key's order if all of them can be hashed.
pub(crate) fn pinned_key<'t>(table: &'t Table, pins: &[Pin]) -> Option<(&'t UniqueKey, Option<PinnedKey>)> {
    table.keys.iter().find_map(|key| {
        let values: Option<Vec<&Pin>> =
            key.columns.iter().map(|column| pins.iter().find(|pin| pin.column == *column)).collect();
        let value = |pin: &Pin| Some((pin.column, pin.constant.clone().hashable()?));
        let values: Option<Vec<_>> = values?.into_iter().map(value).collect();
        Some((key, values.map(|values| PinnedKey { values })))
    })
}

/// Whether statements on different primary keys of this table cannot see each other (see `Rows::Keys`).
pub(crate) fn qualifies(table: &Table) -> bool {
    table.unique_indexes == 1
        && table.keys.len() == 1
        && table.keys[0].primary
        && !table.has_foreign_keys
        && !table.inherits
        && !table.has_triggers
        && table.kind == super::super::catalog::RelationKind::Table
}

//! From the rows of the catalog queries to a catalog.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::analyse::{Scope, Settings, scan};
use super::super::catalog::{
    Builtins, Catalog, Column, ColumnDefault, FunctionFacts, Functions, RelationKind, Table, UniqueKey, Volatility,
};
use super::super::images::TRIGGERS;
use super::super::text::{Text, quote_qualified};
use super::CATALOG_RESULTS;
use super::groups::Groups;
use crate::ids::ConflictGroup;

/// Results of one text: rows of columns in text format, one list a statement.
pub type Results = [Vec<Vec<Option<String>>>];

/// What was read is not what was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// A statement's result is missing.
    #[error("the catalog query gave {0} results instead of {CATALOG_RESULTS}")]
    Results(usize),
    /// A column is missing or not of its type.
    #[error("the catalog query's result {result}, column {column} holds {value:?}")]
    Value {
        /// Statement, from 0.
        result: usize,
        /// Column, from 0.
        column: usize,
        /// What was there.
        value: Option<String>,
    },
}

/// One row of one result.
#[derive(Clone, Copy)]
struct Row<'r> {
    result: usize,
    columns: &'r [Option<String>],
}

impl<'r> Row<'r> {
    fn optional(self, column: usize) -> Option<&'r str> {
        self.columns.get(column)?.as_deref()
    }

    fn error(self, column: usize) -> CatalogError {
        CatalogError::Value { result: self.result, column, value: self.optional(column).map(str::to_owned) }
    }

    fn text(self, column: usize) -> Result<&'r str, CatalogError> {
        self.optional(column).ok_or_else(|| self.error(column))
    }

    fn number<N: std::str::FromStr>(self, column: usize) -> Result<N, CatalogError> {
        self.text(column)?.parse().map_err(|_| self.error(column))
    }

    fn flag(self, column: usize) -> Result<bool, CatalogError> {
        match self.text(column)? {
            "t" => Ok(true),
            "f" => Ok(false),
            _ => Err(self.error(column)),
        }
    }
}

fn rows(results: &Results, result: usize) -> impl Iterator<Item = Row<'_>> {
    results[result].iter().map(move |columns| Row { result, columns })
}

fn volatility(row: Row<'_>, column: usize) -> Result<Volatility, CatalogError> {
    match row.text(column)? {
        "0" => Ok(Volatility::Immutable),
        "1" => Ok(Volatility::Stable),
        "2" => Ok(Volatility::Volatile),
        _ => Err(row.error(column)),
    }
}

/// The result of [`super::BUILTIN_SQL`].
///
/// # Errors
/// If the result is not the query's.
pub fn parse_builtins(results: &Results) -> Result<Arc<Builtins>, CatalogError> {
    if results.len() != 1 {
        return Err(CatalogError::Results(results.len()));
    }
    let function = |row: Row<'_>| Ok((row.text(0)?.to_owned(), volatility(row, 1)?));
    rows(results, 0).map(function).collect::<Result<_, _>>().map(Arc::new)
}

/// The results of [`super::CATALOG_SQL`]. `version` is the caller's to set.
///
/// # Errors
/// If the results are not the query's.
pub fn parse(results: &Results, builtins: &Arc<Builtins>) -> Result<Catalog, CatalogError> {
    if results.len() != CATALOG_RESULTS {
        return Err(CatalogError::Results(results.len()));
    }
    let mut catalog = Catalog {
        default_search_path: rows(results, 0).map(|row| row.text(0).map(str::to_owned)).collect::<Result<_, _>>()?,
        functions: Functions { builtin: Arc::clone(builtins), user: user_functions(results)? },
        user_operators: rows(results, 3).map(|row| row.text(0).map(str::to_owned)).collect::<Result<_, _>>()?,
        user_types: rows(results, 4).map(|row| row.flag(0)).collect::<Result<Vec<_>, _>>()?.contains(&true),
        probe_tells_little: rows(results, 4).map(|row| row.flag(1)).collect::<Result<Vec<_>, _>>()?.contains(&true),
        advisory_functions: rows(results, 4).map(|row| row.flag(2)).collect::<Result<Vec<_>, _>>()?.contains(&true),
        policies_may_write: rows(results, 4).map(|row| row.flag(3)).collect::<Result<Vec<_>, _>>()?.contains(&true),
        temporary_others: rows(results, 4).map(|row| row.flag(5)).collect::<Result<Vec<_>, _>>()?.contains(&true),
        notifying_functions: rows(results, 4).map(|row| row.flag(6)).collect::<Result<Vec<_>, _>>()?.contains(&true),
        ..Catalog::default()
    };
    let mut tables = relations(results)?;
    // Defaults and checks call functions, which the catalog already knows.
    columns(results, &mut tables, &catalog)?;
    unique_indexes(results, &mut tables)?;
    edges(results, &mut tables)?;
    user_calls(results, &mut tables, &catalog)?;
    sequences(results, &mut tables)?;
    for table in tables.into_values() {
        catalog.add(table.table);
    }
    // Not before defaults and checks were judged: it says nothing of them.
    catalog.casts_may_write = rows(results, 4).map(|row| row.flag(4)).collect::<Result<Vec<_>, _>>()?.contains(&true);
    Ok(catalog)
}

fn user_functions(results: &Results) -> Result<HashMap<String, FunctionFacts>, CatalogError> {
    let function = |row: Row<'_>| {
        let facts = FunctionFacts {
            builtin: row.flag(1)?,
            volatility: volatility(row, 2)?,
            trusted: row.flag(3)?,
            attribute: row.flag(4)?,
        };
        Ok((row.text(0)?.to_owned(), facts))
    };
    rows(results, 2).map(function).collect()
}

/// A table with the attribute numbers of its columns.
struct Draft {
    table: Table,
    attributes: Vec<i16>,
}

type Drafts = HashMap<u32, Draft>;

fn relations(results: &Results) -> Result<Drafts, CatalogError> {
    let relation = |row: Row<'_>| {
        let oid: u32 = row.number(0)?;
        let kind = match row.text(3)? {
            "r" => RelationKind::Table,
            "p" => RelationKind::Partitioned,
            "v" => RelationKind::View,
            "m" => RelationKind::MaterializedView,
            "f" => RelationKind::Foreign,
            "S" => RelationKind::Sequence,
            _ => RelationKind::Other,
        };
        let table = Table {
            has_triggers: row.flag(7)?,
            captured: row.number::<usize>(8)? >= TRIGGERS,
            fires_on_replica: row.flag(9)?,
            has_rules: row.flag(6)?,
            has_row_security: row.flag(5)?,
            temporary: row.flag(4)?,
            ..Table::new(oid, row.text(1)?, row.text(2)?, kind)
        };
        Ok((oid, Draft { table, attributes: Vec::new() }))
    };
    rows(results, 5).map(relation).collect()
}

fn columns(results: &Results, tables: &mut Drafts, catalog: &Catalog) -> Result<(), CatalogError> {
    for row in rows(results, 6) {
        let Some(draft) = tables.get_mut(&row.number(0)?) else {
            continue;
        };
        let identity = !row.text(7)?.is_empty();
        let default = match (row.text(6)?, identity, row.optional(8)) {
            ("", true, _) => ColumnDefault::LeadOnly,
            ("", false, None) => ColumnDefault::Null,
            ("", false, Some(expression)) => default_kind(expression, catalog),
            _ => ColumnDefault::Generated,
        };
        draft.attributes.push(row.number(1)?);
        draft.table.columns.push(Column {
            name: row.text(2)?.to_owned(),
            type_name: row.text(3)?.to_owned(),
            type_oid: row.number(4)?,
            not_null: row.flag(5)?,
            default,
            collation_deterministic: row.flag(9)?,
            domain_not_null: row.flag(10)?,
        });
    }
    Ok(())
}

/// Judges the text of a default by the rules for statements.
fn default_kind(expression: &str, catalog: &Catalog) -> ColumnDefault {
    let settings = catalog_settings();
    let text = Text::new(expression.as_bytes(), true);
    let effects = scan(&text, 0..text.len(), &Scope { catalog, settings: &settings });
    if effects.writes_elsewhere().is_some() || effects.denied.is_some() {
        ColumnDefault::Unproven
    } else if effects.lead_only.is_some() {
        ColumnDefault::LeadOnly
    } else {
        ColumnDefault::Immutable
    }
}

/// The settings under which the catalog query prints expressions.
fn catalog_settings() -> Settings {
    Settings { search_path: Vec::new(), standard_conforming_strings: true }
}

fn unique_indexes(results: &Results, tables: &mut Drafts) -> Result<(), CatalogError> {
    for row in rows(results, 7) {
        let Some(Draft { table, attributes }) = tables.get_mut(&row.number(0)?) else {
            continue;
        };
        table.unique_indexes += 1;
        let place = |number: &str| {
            let number: i16 = number.parse().ok()?;
            attributes.iter().position(|&a| a == number)
        };
        let columns: Option<Vec<usize>> = row.text(3)?.split(' ').map(place).collect();
        if let Some(columns) = columns.filter(|columns| columns.iter().all(|&c| table.columns[c].not_null))
            && row.flag(2)?
        {
            table.keys.push(UniqueKey { columns, primary: row.flag(1)? });
        }
        // 0: the row as a whole.
        let of: Option<Vec<usize>> = row.text(4)?.split(' ').map(place).collect();
        table.unique_columns.extend(of.unwrap_or_else(|| (0..attributes.len()).collect()));
        table.unique_columns.sort_unstable();
        table.unique_columns.dedup();
    }
    Ok(())
}

/// Foreign keys, inheritance, deferrable constraints, and views over views.
fn edges(results: &Results, tables: &mut Drafts) -> Result<(), CatalogError> {
    let mut groups = Groups::default();
    for row in rows(results, 8) {
        let (from, to): (u32, u32) = (row.number(1)?, row.number(2)?);
        let deferrable = row.flag(3)?;
        let kind = row.text(0)?;
        if kind == "v" {
            continue;
        }
        groups.join(from, to);
        for oid in [from, to] {
            let Some(Draft { table, .. }) = tables.get_mut(&oid) else {
                continue;
            };
            table.has_foreign_keys |= kind == "f";
            table.inherits |= kind == "i";
            table.has_deferrable |= deferrable;
            // A plain parent's keys do not bind its children's rows, which its name stands for as well.
            if kind == "i" && oid == to && table.kind == RelationKind::Table {
                table.keys.clear();
            }
        }
    }
    for (oid, draft) in tables.iter_mut() {
        draft.table.group = ConflictGroup(groups.find(*oid));
    }
    Ok(())
}

/// Marks relations that call functions of users, and views over such views.
fn user_calls(results: &Results, tables: &mut Drafts, catalog: &Catalog) -> Result<(), CatalogError> {
    let mut calling: HashSet<u32> = rows(results, 9).map(|row| row.number(0)).collect::<Result<_, _>>()?;
    let settings = catalog_settings();
    let scope = Scope { catalog, settings: &settings };
    for row in rows(results, 11) {
        let text = Text::new(row.text(1)?.as_bytes(), true);
        let effects = scan(&text, 0..text.len(), &scope);
        if effects.lead_only.is_some() || effects.unproven.is_some() || effects.denied.is_some() {
            calling.insert(row.number(0)?);
        }
    }
    let over: Vec<(u32, u32)> = rows(results, 8)
        .filter(|row| row.optional(0) == Some("v"))
        .map(|row| Ok((row.number(1)?, row.number(2)?)))
        .collect::<Result<_, CatalogError>>()?;
    let mut volatile = HashSet::new();
    for row in rows(results, 9) {
        if row.flag(1)? {
            volatile.insert(row.number(0)?);
        }
    }
    for (set, mark) in [
        (&mut calling, (|t| t.has_user_functions = true) as fn(&mut Table)),
        (&mut volatile, |t| t.calls_volatile = true),
    ] {
        let mut before = usize::MAX;
        while before != set.len() {
            before = set.len();
            set.extend(over.iter().filter(|(_, of)| set.contains(of)).map(|(view, _)| *view).collect::<Vec<_>>());
        }
        for oid in set.iter() {
            if let Some(draft) = tables.get_mut(oid) {
                mark(&mut draft.table);
            }
        }
    }
    Ok(())
}

fn sequences(results: &Results, tables: &mut Drafts) -> Result<(), CatalogError> {
    for row in rows(results, 10) {
        let Some(Draft { table, attributes }) = tables.get_mut(&row.number(0)?) else {
            continue;
        };
        let number: i16 = row.number(1)?;
        if let Some(column) = attributes.iter().position(|&a| a == number) {
            table.sequences.push((column, quote_qualified(row.text(2)?, row.text(3)?)));
        }
    }
    Ok(())
}

//! The parser's tree of a statement, made from our tokens instead of the client's text.
//!
//! What the tree is used for is structure: which relations, which clauses, which conjuncts. So every literal (string or
//! number) goes in as the index of its token (its value is taken from the token, byte for byte; the tree, and with it
//! the analysis, cannot depend on values: [`super::super::skeleton`] rests on that), names that are not plain
//! ASCII are quoted, and some words that `sqlparser` does not read but that do not matter for structure are left out.
//! Texts that are not UTF-8, dollar quotes, continued strings and either setting of `standard_conforming_strings`
//! are therefore all the same to the parser.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use sqlparser::ast::{ObjectName, ObjectNamePart, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::super::lexer::TokenKind;
use super::super::text::Text;

/// Deeper nesting is not given to the parser, whose stack it would use up.
pub(crate) const NESTING_DEPTH_MAX: usize = 100;
/// More tokens are not given to the parser: a long chain of operators makes a tree as deep as it is long.
const TOKENS_MAX: usize = 400_000;
/// More operators and keywords that make deep trees are not given to the parser.
const CHAIN_MAX: usize = 4_000;
/// More joins are not given to the parser, which nests them without a limit.
const JOINS_MAX: usize = 100;
/// Recursion limit of the parser; nesting costs it several steps a level.
const RECURSION_MAX: usize = 400;

/// Words behind which TABLE is no query.
const BEFORE_TARGET: &[&str] = &["into", "temporary", "temp", "unlogged"];

/// Parses the tokens, except those that `skip` names. `Err`: why the parser cannot read them.
pub(crate) fn parse(text: &Text<'_>, skip: &dyn Fn(usize) -> bool) -> Result<Statement, String> {
    if text.depth() > NESTING_DEPTH_MAX {
        return Err(format!("more than {NESTING_DEPTH_MAX} levels of nesting"));
    }
    let joins = (0..text.len()).filter(|&i| text.is(i, "join")).count();
    if joins > JOINS_MAX {
        return Err(format!("more than {JOINS_MAX} joins"));
    }
    if text.len() > TOKENS_MAX || longest_chain(text) > CHAIN_MAX {
        return Err("too long an expression".to_owned());
    }
    let source = print(text, skip)?;
    let mut statements = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(RECURSION_MAX)
        .try_with_sql(&source)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| error.to_string())?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        _ => Err("not one statement".to_owned()),
    }
}

/// The most operators between two commas.
fn longest_chain(text: &Text<'_>) -> usize {
    let (mut chain, mut longest) = (0usize, 0usize);
    for i in 0..text.len() {
        if text.symbol(i, ",") {
            chain = 0;
        } else if !matches!(text.kind(i), Some(TokenKind::String | TokenKind::Number | TokenKind::Parameter)) {
            chain += 1;
            longest = longest.max(chain);
        }
    }
    longest
}

fn print(text: &Text<'_>, skip: &dyn Fn(usize) -> bool) -> Result<String, String> {
    let mut out = String::with_capacity(text.bytes.len().min(1 << 20) + 16);
    let mut i = 0;
    while i < text.len() {
        if skip(i) {
            i += 1;
            continue;
        }
        match text.tokens[i].kind {
            TokenKind::Ident if text.is(i, "only") && !(i > 0 && text.any(i - 1, &["row", "rows"])) => {}
            TokenKind::Ident if text.is(i, "overriding") && text.is(i + 2, "value") => i += 2,
            // SELECT … INTO TABLE name.
            TokenKind::Ident if text.is(i, "table") && i > 0 && text.any(i - 1, BEFORE_TARGET) => {}
            TokenKind::Ident if text.is(i, "table") => out.push_str("SELECT * FROM"),
            TokenKind::Ident if text.is(i, "operator") && text.symbol(i + 1, "(") => i = operator(text, i, &mut out)?,
            TokenKind::Ident if text.tokens[i].bytes(text.bytes).is_ascii() => raw(text, i, &mut out)?,
            TokenKind::Ident | TokenKind::QuotedIdent => {
                if text.bytes[text.tokens[i].start..].starts_with(b"U&")
                    || text.bytes[text.tokens[i].start..].starts_with(b"u&")
                {
                    return Err("an identifier with unicode escapes".to_owned());
                }
                let name = text.name(i).unwrap_or_default();
                out.push_str(&super::super::text::quote_ident(&name));
            }
            TokenKind::String | TokenKind::EscapeString | TokenKind::UnicodeString | TokenKind::DollarString => {
                let _ = write!(out, "'{i}'");
            }
            TokenKind::Number => {
                let _ = write!(out, "{i}");
            }
            _ => raw(text, i, &mut out)?,
        }
        out.push(' ');
        i += 1;
    }
    Ok(out)
}

/// `OPERATOR(schema.+)` as `+`; returns the index of the closing parenthesis.
fn operator(text: &Text<'_>, i: usize, out: &mut String) -> Result<usize, String> {
    let close = text.closing(i + 1).ok_or("OPERATOR( without an end")?;
    raw(text, close - 1, out)?;
    Ok(close)
}

fn raw(text: &Text<'_>, i: usize, out: &mut String) -> Result<(), String> {
    let bytes = text.tokens[i].bytes(text.bytes);
    let token = std::str::from_utf8(bytes).map_err(|_| "bytes that are not UTF-8".to_owned())?;
    out.push_str(token);
    Ok(())
}

/// What a tree refers to.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub(crate) struct Facts {
    /// Relations named, with those that a CTE may stand for: (schema, name, may be a CTE). In order, with repetitions.
    pub(crate) relations: Vec<(Option<String>, String, bool)>,
    /// SELECT … INTO.
    pub(crate) into: bool,
    /// A data-modifying statement inside a query.
    pub(crate) writes: bool,
    /// Queries of any kind, the outermost included.
    pub(crate) queries: usize,
    /// LIMIT, OFFSET, FETCH or DISTINCT ON somewhere.
    pub(crate) limits: bool,
    cte_names: Vec<Vec<String>>,
    function_in_from: bool,
}

/// Collects what `node` refers to.
pub(crate) fn facts<T: Visit>(node: &T) -> Facts {
    let mut facts = Facts::default();
    let _ = node.visit(&mut facts);
    facts
}

impl Facts {
    fn relation(&mut self, name: &ObjectName) {
        let (schema, name) = split_name(name);
        let cte = schema.is_none() && self.cte_names.iter().flatten().any(|n| *n == name);
        self.relations.push((schema, name, cte));
    }
}

impl Visitor for Facts {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.queries += 1;
        let names = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| fold(&cte.alias.name)).collect();
        self.cte_names.push(names);
        self.limits |= query.limit_clause.is_some() || query.fetch.is_some();
        self.set_expr(&query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.cte_names.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.into |= select.into.is_some();
        self.limits |= select.distinct.is_some();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.function_in_from = matches!(factor, TableFactor::Table { args: Some(_), .. });
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        if !std::mem::take(&mut self.function_in_from) {
            self.relation(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        if self.queries > 0 && !matches!(statement, Statement::Query(_)) {
            self.writes = true;
        }
        ControlFlow::Continue(())
    }
}

impl Facts {
    fn set_expr(&mut self, body: &SetExpr) {
        // `TABLE t` is printed as SELECT; only the data-modifying bodies matter.
        match body {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => self.writes = true,
            _ => {}
        }
    }
}

/// (schema, name) of an object name, folded as PostgreSQL does. A database before them is dropped.
pub(crate) fn split_name(name: &ObjectName) -> (Option<String>, String) {
    let mut parts: Vec<String> = name
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => fold(ident),
            ObjectNamePart::Function(function) => fold(&function.name),
        })
        .collect();
    let last = parts.pop().unwrap_or_default();
    (parts.pop(), last)
}

/// An identifier as PostgreSQL stores it. Quoted ones went into the tree folded and cut already.
pub(crate) fn fold(ident: &sqlparser::ast::Ident) -> String {
    if ident.quote_style.is_some() {
        return ident.value.clone();
    }
    let mut name = ident.value.to_ascii_lowercase();
    name.truncate(super::super::text::IDENTIFIER_BYTES_MAX);
    name
}

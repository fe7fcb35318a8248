//! CREATE TABLE … AS and SELECT … INTO: the lead makes the table and fills it, by the client's own statement; followers get what it
//! has made ([`super::super::filled`]). So its query may compute what the lead alone can know, but it must do nothing else.

use sqlparser::ast::Statement;

use super::super::analysis::{Command, Fill, OnCommit, Refusal, Severity};
use super::super::text::Text;
use super::effects::Effects;
use super::relations::{Relations, relations};
use super::set_write::check_calls;
use super::{Judged, Scope, Stop, fallback, refuse, row_lock, scan, temporary, tree, unknown, utility};

/// Whether a CREATE TABLE has an AS: it is a reserved word, and a definition has it in parentheses only.
pub(crate) fn is_create(text: &Text<'_>) -> bool {
    text.top_level(2).any(|i| text.is(i, "as"))
}

/// CREATE TABLE [IF NOT EXISTS] name [(columns)] … AS query [WITH [NO] DATA], from behind TABLE on.
pub(crate) fn create(
    text: &Text<'_>,
    at: usize,
    temporary: Option<OnCommit>,
    scope: &Scope<'_>,
) -> Result<Judged, Stop> {
    let if_not_exists = text.are(at, &["if", "not", "exists"]);
    let (schema, name) = target(text, at + 3 * usize::from(if_not_exists))?;
    let start =
        1 + text.top_level(2).find(|&i| text.is(i, "as")).ok_or_else(|| unknown("this form of CREATE TABLE AS"))?;
    let no_data = text.are(text.len().saturating_sub(3), &["with", "no", "data"]);
    let data = text.are(text.len().saturating_sub(2), &["with", "data"]);
    let end = text.len() - 3 * usize::from(no_data) - 2 * usize::from(data);
    let fill = Fill { schema, name, if_not_exists, executes: None, sequences: Vec::new(), temporary };
    if text.is(start, "execute") {
        return execute(text, start, fill, scope);
    }
    if no_data && text.parameters() > 0 {
        return Err(refuse("parameters in CREATE TABLE AS … WITH NO DATA", "write their types: NULL::type"));
    }
    if no_data {
        // Nothing is computed: the same text makes the same table.
        return match temporary {
            Some(on_commit) => Ok(temporary::made(on_commit)),
            None => temporary::check_mentions(text, Some(at), scope).map(|()| utility::ddl()),
        };
    }
    if start >= end {
        return Err(unknown("this form of CREATE TABLE AS"));
    }
    let query = &text.bytes[text.tokens[start].start..text.tokens[end - 1].end];
    filled_by(&Text::new(query, text.standard_conforming), fill, scope)
}

/// SELECT … INTO [TABLE] name ….
pub(crate) fn select_into(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let found: Vec<usize> = (0..text.len()).filter(|&i| text.is(i, "into")).collect();
    let at = match (&found[..], text.top_level(0).find(|&i| text.is(i, "into"))) {
        ([_], Some(at)) => at + 1,
        _ => {
            return Err(refuse(
                "SELECT INTO makes a table and fills it, and which word names it is not simple to tell",
                "use CREATE TABLE … AS",
            ));
        }
    };
    if text.is(at, "unlogged") {
        return Err(utility::refuse_kind("unlogged"));
    }
    let at = at + usize::from(text.any(at, &["local", "global"]));
    let word = text.any(at, &["temporary", "temp"]);
    let at = at + usize::from(word);
    let (schema, name) = target(text, at + usize::from(text.is(at, "table")))?;
    let temporary = temporary::is_made(word, schema.as_deref(), &name)?.then_some(OnCommit::PreserveRows);
    filled_by(
        text,
        Fill { schema, name, if_not_exists: false, executes: None, sequences: Vec::new(), temporary },
        scope,
    )
}

fn target(text: &Text<'_>, at: usize) -> Result<(Option<String>, String), Stop> {
    let (schema, name, behind) = text.qualified(at).ok_or_else(|| unknown("this form of CREATE TABLE AS"))?;
    let escaped = (at..behind).any(|i| {
        let bytes = text.tokens[i].bytes(text.bytes);
        bytes.starts_with(b"U&") || bytes.starts_with(b"u&")
    });
    if escaped {
        return Err(refuse("the table's name has unicode escapes", "write its characters as they are"));
    }
    Ok((schema, name))
}

/// `query` may have an INTO, which names the target.
fn filled_by(query: &Text<'_>, fill: Fill, scope: &Scope<'_>) -> Result<Judged, Stop> {
    judge_query(query, fill, scope).map_err(|stop| match stop {
        // Images are of rows, not of tables.
        Stop::Hidden(refusal) => Stop::Refused(Refusal { severity: Severity::Impossible, ..refusal }),
        other => other,
    })
}

fn judge_query(query: &Text<'_>, fill: Fill, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let parsed = tree::parse(query, &|_| false).map_err(|error| fallback::unreadable(&error))?;
    let Statement::Query(_) = &parsed else { return Err(fallback::unreadable("not a query")) };
    let facts = tree::facts(&parsed);
    if facts.writes {
        return Err(refuse(
            "the query that fills the table writes as well",
            "send its parts as statements of their own in one transaction",
        ));
    }
    if row_lock::has_clause(query) {
        return Err(refuse(
            "the query that fills the table locks rows, on the lead alone",
            "leave out FOR UPDATE; lock the rows by a SELECT of its own",
        ));
    }
    let relations = relations(&facts, scope)?;
    let effects = check_calls(query, &relations, scope)?;
    Ok(judged(fill, effects, &relations))
}

/// CREATE TABLE … AS EXECUTE name [(arguments)]: what the name stands for, the session knows.
fn execute(text: &Text<'_>, at: usize, fill: Fill, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let name = text.name(at + 1).ok_or_else(|| unknown("this form of EXECUTE"))?;
    let arguments = scan(text, at + 2..text.len(), scope);
    if let Some(refusal) = arguments.denied {
        return Err(Stop::Refused(refusal));
    }
    if let Some(sequence) = arguments.unknown_sequence {
        return Err(unknown(&format!("sequence \"{sequence}\"")));
    }
    if let Some(what) = arguments.writes_elsewhere() {
        return Err(refuse(
            format!("{what} may write, which followers would not see"),
            "call it in a SELECT first and give its result",
        ));
    }
    let fill = Fill { executes: Some(name), ..fill };
    Ok(judged(fill, arguments, &Relations::default()))
}

fn judged(fill: Fill, effects: Effects, relations: &Relations) -> Judged {
    Judged {
        tables: relations.tables.iter().map(|table| table.id).collect(),
        read_footprint: relations.footprint(),
        ..Judged::plain(Command::Fill(Fill { sequences: effects.sequences, ..fill }))
    }
}

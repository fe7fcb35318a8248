//! COPY, read from tokens: its options are too many for the parser, and only its head matters.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::analysis::{Command, CopyForm, CopyIn, Imaged, Refusal, Severity};
use super::super::catalog::{ColumnDefault, RelationKind, Table};
use super::super::footprint::Footprint;
use super::super::text::Text;
use super::effects::Effects;
use super::imaged::written;
use super::locks::locked;
use super::read::judge_read;
use super::relations::{Relations, check_children, check_writable, display};
use super::{Judged, Scope, Stop, hidden, judge_query, refuse, scan, unknown};

/// COPY name [(columns)] FROM | TO …, COPY (query) TO ….
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    if text.symbol(1, "(") {
        return query(text, scope);
    }
    let malformed = || unknown("this form of COPY");
    let at = 1 + usize::from(text.is(1, "binary") && !text.any(2, &["from", "to"]));
    let (schema, name, mut at) = text.qualified(at).ok_or_else(malformed)?;
    let table = scope.resolve(schema.as_deref(), &name).ok_or_else(|| unknown(&display(schema.as_deref(), &name)))?;
    let mut named = None;
    if text.symbol(at, "(") {
        let close = text.closing(at).ok_or_else(malformed)?;
        let names: Vec<String> = (at + 1..close).filter_map(|i| text.name(i)).collect();
        named = Some(names);
        at = close + 1;
    }
    if text.is(at, "to") {
        check_stream(text, at + 1, "stdout")?;
        let mut relations = Relations::default();
        relations.add(table);
        let (read, because) = judge_read(Effects::default(), &relations, false)?;
        return Ok(Judged {
            tables: vec![table.id],
            read_footprint: relations.footprint(),
            because,
            ..Judged::plain(Command::CopyOut(read))
        });
    }
    if !text.is(at, "from") {
        return Err(malformed());
    }
    check_stream(text, at + 1, "stdin")?;
    let (form, because) = match check_rows(text, at, table, named.as_deref(), scope) {
        Ok(()) => (CopyForm::Locked(locked(table, &[], scope)), "its rows are not known before they come".into()),
        Err(Stop::Hidden(instead_of)) => imaged(text, at, table, scope, instead_of)?,
        Err(other) => return Err(other),
    };
    // What triggers read is not known.
    let read_footprint = if matches!(form, CopyForm::Imaged(_)) { Footprint::Everything } else { Footprint::Nothing };
    let copy = CopyIn { table: Arc::clone(table), form };
    Ok(Judged { tables: vec![table.id], read_footprint, because, ..Judged::plain(Command::CopyIn(copy)) })
}

/// Whether every member makes the same of the client's rows.
fn check_rows(
    text: &Text<'_>,
    at: usize,
    table: &Table,
    named: Option<&[String]>,
    scope: &Scope<'_>,
) -> Result<(), Stop> {
    check_writable(table)?;
    check_children(table, scope)?;
    check_filter(text, at, scope)?;
    for column in &table.columns {
        let left_out = named.is_some_and(|names| !names.contains(&column.name));
        if left_out && matches!(column.default, ColumnDefault::LeadOnly | ColumnDefault::Unproven) {
            return Err(hidden(
                format!(
                    "COPY leaves out column \"{}\", whose default every member would compute for itself",
                    column.name
                ),
                "name all columns and give their values, or use INSERT",
            ));
        }
    }
    Ok(())
}

/// The lead alone makes rows of the client's, and images tell which.
fn imaged(
    text: &Text<'_>,
    at: usize,
    table: &Arc<Table>,
    scope: &Scope<'_>,
    instead_of: Refusal,
) -> Result<(CopyForm, Cow<'static, str>), Stop> {
    // Its text cannot run as it is on every member: the rows stand elsewhere.
    let instead_of = Refusal { severity: Severity::Impossible, ..instead_of };
    // Of a view without INSTEAD OF triggers the lead would ask for rows, and fail without reading them: where the client's next
    // Sync comes to lie is a matter of time then.
    if table.is_of_session() || (table.kind == RelationKind::View && !table.has_triggers) {
        return Err(Stop::Refused(instead_of));
    }
    let end = (at..text.len()).find(|&i| text.is(i, "where")).unwrap_or(text.len());
    if (at..end).any(|i| text.is(i, "freeze") && !text.any(i + 1, &["false", "off"])) {
        return Err(refuse(
            format!(
                "COPY with the option FREEZE cannot run under the savepoint that taking images needs ({})",
                instead_of.reason
            ),
            "leave FREEZE out",
        ));
    }
    let effects = scan(text, at..text.len(), scope);
    if let Some(refusal) = effects.denied {
        return Err(Stop::Refused(refusal));
    }
    if let Some(sequence) = effects.unknown_sequence {
        return Err(unknown(&format!("sequence \"{sequence}\"")));
    }
    let tables = written(&[table], scope)?;
    let because = instead_of.reason.clone().into();
    Ok((CopyForm::Imaged(Imaged { tables, instead_of }), because))
}

fn check_stream(text: &Text<'_>, at: usize, stream: &str) -> Result<(), Stop> {
    if text.any(at, &["stdin", "stdout"]) {
        return Ok(());
    }
    Err(refuse(
        "COPY with a file or a program works on one member's machine",
        format!(
            "use COPY … {} {} (psql: \\copy)",
            if stream == "stdin" { "FROM" } else { "TO" },
            stream.to_ascii_uppercase()
        ),
    ))
}

/// COPY … WHERE, and the DEFAULT option (a marker in the data for a column's default).
fn check_filter(text: &Text<'_>, at: usize, scope: &Scope<'_>) -> Result<(), Stop> {
    let effects = scan(text, at..text.len(), scope);
    let options = (at..text.len()).any(|i| text.is(i, "default"));
    let filter = (at..text.len()).any(|i| text.is(i, "where"));
    let what = effects.denied.map(|r| r.reason).or(effects.unproven).or(effects.lead_only);
    match what {
        Some(what) if filter => {
            Err(hidden(format!("the WHERE of this COPY uses {what}"), "filter the rows before they are sent"))
        }
        _ if options => Err(hidden("COPY with the option DEFAULT", "give all values in the data")),
        _ => Ok(()),
    }
}

/// COPY (query) TO STDOUT.
fn query(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let close = text.closing(1).ok_or_else(|| unknown("COPY without an end"))?;
    if !text.is(close + 1, "to") {
        return Err(unknown("this form of COPY"));
    }
    check_stream(text, close + 2, "stdout")?;
    let inner = text.bytes.get(text.tokens[1].end..text.tokens[close].start).unwrap_or_default();
    let inner = Text::new(inner, text.standard_conforming);
    if inner.any(0, &["insert", "update", "delete", "merge"]) {
        return Err(refuse("COPY of a statement that writes", "use the statement itself with RETURNING"));
    }
    let judged = judge_query(&inner, scope)?;
    match judged.command {
        Command::Read(read) => Ok(Judged { command: Command::CopyOut(read), read_key: None, ..judged }),
        _ => Err(refuse("COPY of a statement that writes", "use the statement itself with RETURNING")),
    }
}

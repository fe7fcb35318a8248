//! DDL that fills rows: there every member would compute values for itself, in the order in which its rows lie.

use std::ops::Range;

use super::super::text::Text;
use super::utility::misplaced;
use super::{Scope, Stop, refuse, scan};

/// Refuses a definition that holds the time at which it is executed: `DEFAULT 'now'` is not `DEFAULT now()`.
pub(crate) fn check_no_frozen_time(text: &Text<'_>) -> Result<(), Stop> {
    let frozen = (0..text.len()).any(|i| {
        text.string(i).is_some_and(|value| {
            let word = value.trim_ascii().to_ascii_lowercase();
            matches!(&word[..], b"now" | b"today" | b"tomorrow" | b"yesterday")
        })
    });
    if frozen {
        return Err(refuse(
            "the text 'now' (today, tomorrow, yesterday) would stand for the moment at which each member executes this",
            "use now() or current_date, which are computed anew for each row",
        ));
    }
    Ok(())
}

/// Refuses actions of ALTER TABLE that give existing rows values which members would not agree on.
pub(crate) fn check_alter_table(text: &Text<'_>, at: usize, scope: &Scope<'_>) -> Result<(), Stop> {
    if (0..text.len()).any(|i| text.is(i, "concurrently")) {
        return Err(misplaced());
    }
    for action in actions(text, at) {
        check_action(text, action, scope)?;
    }
    Ok(())
}

/// The actions, separated by commas outside parentheses; the first starts somewhere behind the table's name.
fn actions(text: &Text<'_>, at: usize) -> Vec<Range<usize>> {
    let mut name = at + 2 * usize::from(text.are(at, &["if", "exists"]));
    name += usize::from(text.is(name, "only"));
    let mut start = text.qualified(name).map_or(name, |(.., behind)| behind);
    start += usize::from(text.operator(start, "*"));
    let mut actions = Vec::new();
    for comma in text.top_level(start).filter(|&i| text.symbol(i, ",")) {
        actions.push(start..comma);
        start = comma + 1;
    }
    actions.push(start..text.len());
    actions
}

fn check_action(text: &Text<'_>, action: Range<usize>, scope: &Scope<'_>) -> Result<(), Stop> {
    let at = action.start;
    if text.is(at, "set") && text.is(at + 1, "unlogged") {
        return Err(refuse("an unlogged table is emptied when its member crashes", "leave the table logged"));
    }
    if text.is(at, "add") && !text.any(at + 1, &["constraint", "primary", "unique", "check", "foreign", "exclude"]) {
        return check_added_column(text, action, scope);
    }
    let using = action.clone().find(|&i| text.is(at, "alter") && text.is(i, "using"));
    if let Some(using) = using {
        let effects = scan(text, using..action.end, scope);
        let what = effects.lead_only.or(effects.unproven).or(effects.denied.map(|refusal| refusal.reason));
        if let Some(what) = what {
            return Err(refuse(
                format!("USING with {what}, which every member would compute for itself"),
                "add a new column, fill it by UPDATE, and drop the old one",
            ));
        }
    }
    Ok(())
}

fn check_added_column(text: &Text<'_>, action: Range<usize>, scope: &Scope<'_>) -> Result<(), Stop> {
    let serial = &["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"];
    let name = action.start + 1 + usize::from(text.is(action.start + 1, "column"));
    let name = name + 3 * usize::from(text.are(name, &["if", "not", "exists"]));
    let definition = name + 1..action.end;
    let numbered = definition.clone().any(|i| text.any(i, serial) || text.is(i, "identity"));
    let effects = scan(text, definition, scope);
    let what = effects.lead_only.or(effects.unproven).or(effects.denied.map(|refusal| refusal.reason));
    if numbered || what.is_some() {
        return Err(refuse(
            format!(
                "ADD COLUMN with {}: every member would fill existing rows for itself",
                what.unwrap_or_else(|| "a serial or identity".to_owned())
            ),
            "add the column without a default, fill it by UPDATE, then ALTER COLUMN … SET DEFAULT (or ADD GENERATED … AS IDENTITY)",
        ));
    }
    Ok(())
}

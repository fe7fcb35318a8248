//! Whether the images of a statement are all that it did.

use super::super::analysis::{Refusal, Severity};
use super::super::catalog::{Catalog, RelationKind, Table};
use super::report::{Counts, Report};
use super::{Operation, TRIGGERS};

/// What a statement turned out to have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The images say all of it.
    Complete,
    /// It wrote to these tables, which do not take images yet: it has to be undone, and run again when they do.
    Untaken(Vec<(String, String)>),
    /// It did what followers cannot repeat.
    Refused(Refusal),
}

fn refused(reason: impl Into<String>, hint: &str) -> Finding {
    Finding::Refused(Refusal { severity: Severity::Impossible, reason: reason.into(), hint: hint.to_owned() })
}

/// Images do not help, but the statement may do the same on every member.
fn doubted(reason: impl Into<String>, hint: &str) -> Finding {
    Finding::Refused(Refusal { severity: Severity::Doubtful, reason: reason.into(), hint: hint.to_owned() })
}

/// Compares what the lead said before and behind a statement.
#[must_use]
pub fn judge(before: &Report, behind: &Report, catalog: &Catalog) -> Finding {
    if before.settings != behind.settings {
        return refused(
            "a function that it calls changes a setting of the session",
            "SET it by a statement of its own, or with the function's SET clause",
        );
    }
    if before.blind || behind.blind {
        return refused(
            "track_counts is off, and what a statement writes behind its text is found by these counts",
            "SET track_counts = on (or in postgresql.conf of every member)",
        );
    }
    if before.held_cursors != behind.held_cursors {
        return refused(
            "a function that it calls opens or closes a cursor WITH HOLD, whose query runs when the transaction commits",
            "DECLARE it, and CLOSE it, by a statement of its own",
        );
    }
    if behind.advisory != before.advisory {
        return refused(
            "a function that it calls takes or gives back an advisory lock, which would be held on one member alone",
            "call the function of advisory locks in a SELECT of its own, or lock a row with SELECT … FOR UPDATE",
        );
    }
    if behind.resets != before.resets {
        return refused(
            "a function that it calls alters a sequence or sets it back (TRUNCATE … RESTART IDENTITY)",
            "send that as a statement of its own",
        );
    }
    // Images of TRUNCATE say how many rows of pg_class may have changed; a second TRUNCATE changes none, which leaves room for one
    // of a table that has no image.
    let emptied = |image: &super::Image| matches!(image.operation, Operation::Truncate { .. });
    let taken = |table: &(String, String)| behind.images.iter().any(|image| emptied(image) && image.table == *table);
    if behind.images.iter().any(emptied) && behind.alone.difference(&before.alone).any(|table| !taken(table)) {
        return refused(
            "a function that it calls empties a table that takes no images, beside one that does",
            "TRUNCATE them by statements of their own",
        );
    }
    let none = Counts::default();
    let mut untaken = Vec::new();
    for (name, now) in &behind.tables {
        let earlier = before.tables.get(name).unwrap_or(&none);
        if earlier.rows == now.rows {
            continue;
        }
        if name.0 == "pg_catalog" || name.0 == "information_schema" {
            if let Some(finding) = system_table(&name.1, earlier, now, behind) {
                return finding;
            }
            continue;
        }
        if let Some(finding) = table(name, now) {
            return finding;
        }
        if now.triggers < TRIGGERS {
            untaken.push(name.clone());
        } else if let Some(finding) = catalog.resolve(Some(&name.0), &name.1, &[]).and_then(|table| fires(table)) {
            return finding;
        }
    }
    // A table that counts no rows any more because it was emptied.
    for image in behind.images.iter().filter(|image| emptied(image)) {
        if let Some(finding) = catalog.resolve(Some(&image.table.0), &image.table.1, &[]).and_then(|table| fires(table))
        {
            return finding;
        }
    }
    if untaken.is_empty() { Finding::Complete } else { Finding::Untaken(untaken) }
}

/// DDL, and large objects, show in the system tables; so does TRUNCATE, of which there is an image.
fn system_table(name: &str, before: &Counts, now: &Counts, behind: &Report) -> Option<Finding> {
    if name.starts_with("pg_largeobject") {
        return Some(refused(
            "a function that it calls writes a large object, which is not replicated",
            "keep the bytes in a bytea column",
        ));
    }
    let expected: i64 = behind
        .images
        .iter()
        .map(|image| match image.operation {
            Operation::Truncate { relations } => relations,
            Operation::Row => 0,
        })
        .sum();
    let done: Vec<i64> = now.rows.iter().zip(before.rows).map(|(now, before)| now - before).collect();
    if name == "pg_class" && done[0] == 0 && done[2] == 0 && (0..=expected).contains(&done[1]) {
        return None;
    }
    Some(doubted(
        "a function that it calls changes the schema (CREATE, ALTER, DROP, a temporary table, or TRUNCATE of a table that \
         takes no images), which followers would not see",
        "send that as a statement of its own",
    ))
}

fn table(name: &(String, String), counts: &Counts) -> Option<Finding> {
    if name.0 == "raidb" {
        return Some(refused("it writes to raidb's own tables", "leave them to raidb"));
    }
    if counts.persistence != b'p' {
        return Some(refused(
            format!("it writes to table \"{}\", which is temporary or unlogged", name.1),
            "use an ordinary table: CREATE TABLE, or ALTER TABLE … SET LOGGED",
        ));
    }
    if !counts.writable {
        return Some(doubted(
            format!("it writes to table \"{}\" with rights that its own user does not have on the followers", name.1),
            "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE on it (and BYPASSRLS, if it has row security) to the user with \
             which raidb connects to the members",
        ));
    }
    None
}

/// What would run on followers beside the images.
fn fires(table: &Table) -> Option<Finding> {
    if table.fires_on_replica {
        return Some(doubted(
            format!(
                "table \"{}\" has triggers or rules that are enabled ALWAYS or for REPLICA: they would run on followers too",
                table.name
            ),
            "ALTER TABLE … ENABLE TRIGGER (or RULE), without ALWAYS or REPLICA",
        ));
    }
    if table.has_user_functions {
        return Some(doubted(
            format!(
                "table \"{}\" has a check, an index or a generated column that calls a user's function",
                table.name
            ),
            "replace the function by a built-in immutable one",
        ));
    }
    (table.kind != RelationKind::Table || table.temporary)
        .then(|| refused(format!("\"{}\" is no ordinary table", table.name), "write to an ordinary table"))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::sample;
    use super::super::report::Rows;
    use super::*;

    fn report(lines: &[&str]) -> Report {
        let rows: Vec<Vec<Option<&[u8]>>> = lines
            .iter()
            .map(|line| line.split('|').map(|field| (field != "~").then_some(field.as_bytes())).collect())
            .collect();
        let rows: &Rows<'_> = &rows;
        Report::of(rows).expect("a report")
    }

    fn found(before: &[&str], behind: &[&str]) -> String {
        match judge(&report(before), &report(behind), &sample()) {
            Finding::Complete => "complete".to_owned(),
            Finding::Untaken(tables) => tables.into_iter().map(|(s, t)| format!("{s}.{t} ")).collect(),
            Finding::Refused(refusal) => refusal.reason,
        }
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        let before = &["table|pg_catalog|pg_class|3 1 0|0|pw", "table|public|two|1 0 0|0|pw"];
        assert_eq!(found(before, before), "complete");
        assert_eq!(found(before, &["table|public|two|2 0 0|0|pw"]), "public.two ");
        assert_eq!(found(before, &["table|public|two|2 0 0|2|pw"]), "complete");
    }

    #[test]
    fn ddl_is_found_and_a_truncate_with_its_image_is_none() {
        let image = "image|T|public|two|~|2";
        assert_eq!(found(&[], &["table|pg_catalog|pg_class|0 2 0|0|pw", image]), "complete");
        assert!(found(&[], &["table|pg_catalog|pg_class|0 3 0|0|pw", image]).contains("schema"));
        assert!(found(&[], &["table|pg_catalog|pg_class|0 2 0|0|pw"]).contains("schema"));
        assert!(found(&[], &["table|pg_catalog|pg_class|1 0 0|0|pw", image]).contains("schema"));
        assert!(found(&[], &["table|pg_catalog|pg_class|0 2 0|0|pw", image, "alone|public|two|~|~|~"]) == "complete");
        assert!(found(&[], &["alone|public|doc|~|~|~", image]).contains("empties"));
        assert!(found(&[], &["table|pg_catalog|pg_largeobject|1 0 0|0|pw"]).contains("large object"));
    }

    #[test]
    fn what_followers_cannot_repeat_is_refused() {
        assert!(found(&[], &["advisory|0 1 1 ExclusiveLock|~|~|~|~"]).contains("advisory"));
        assert!(found(&["advisory|0 1 1 ExclusiveLock|~|~|~|~"], &[]).contains("advisory"));
        assert!(found(&[], &["held cursor|h|2026-11-27|~|~|~"]).contains("WITH HOLD"));
        assert!(found(&["held cursor|h|2026-11-27|~|~|~"], &["held cursor|h|2026-11-28|~|~|~"]).contains("WITH HOLD"));
        assert!(found(&["blind|~|~|~|~|~"], &["blind|~|~|~|~|~"]).contains("track_counts"));
        assert!(found(&[], &["reset|public|S|~|~|~"]).contains("RESTART IDENTITY"));
        assert!(found(&["settings|a|~|~|~|~"], &["settings|b|~|~|~|~"]).contains("setting"));
        assert!(found(&[], &["table|public|two|1 0 0|2|uw"]).contains("unlogged"));
        assert!(found(&[], &["table|public|two|1 0 0|2|p"]).contains("rights"));
        assert!(found(&[], &["table|public|calls|1 0 0|2|pw"]).contains("function"));
        assert!(found(&[], &["table|raidb|member|1 0 0|2|pw"]).contains("raidb"));
    }

    #[test]
    fn a_report_names_sequences_and_permission() {
        let report = report(&["forbidden|joe|||| ", "sequence|public|S|7|~|~", "row lock|public|two|~|~|~"]);
        assert_eq!(report.permission, super::super::Permission::Forbidden("joe".into()));
        assert_eq!(report.sequences, [("\"public\".\"S\"".to_owned(), Some(7))]);
        assert!(report.locks_rows && Report::of(&[vec![Some(b"x".as_slice())]]).is_none());
    }
}

//! One line for an analysis, for tests.

use super::super::super::analysis::{
    Analysis, Capture, Command, Concurrently, CopyForm, CopyIn, FootprintHint, KeyValue, PinnedKey, Proof, Read,
    Severity, WriteForm,
};
use super::super::super::catalog::Table;
use super::super::super::footprint::Footprint;
use super::super::super::literals::Literals;
use super::super::super::split::{blanked, start_of_token};

/// `what [details] [footprint]`.
pub(super) fn describe(sql: &str, analysis: &Analysis) -> String {
    match &analysis.command {
        Command::Read(read) => describe_read("read", sql, read, analysis),
        Command::CopyOut(read) => describe_read("copy out", sql, read, analysis),
        Command::RowLock(lock) => match &lock.capture {
            None => format!("lock same {}", hint(sql, &lock.table, &lock.footprint)),
            Some(capture) => {
                let (before, behind) = sql.split_at(start_of_token(sql.as_bytes(), capture.insert_before, true));
                let footprint = hint(sql, &lock.table, &lock.footprint);
                format!("lock {:?} {footprint} => {before}{}|{behind}", capture.strength, capture.lead_insert)
            }
        },
        Command::Write(write) => {
            let form = match &write.form {
                WriteForm::Keyed { rows } => format!("keyed {rows}"),
                WriteForm::Captured(capture) => captured(&write.table, capture),
                WriteForm::Locked(locked) => format!("locked {}", locked.lock_sql.join("; ")),
            };
            let returning = if write.client_returning { " returning" } else { "" };
            let deferred = if write.deferred { " deferred" } else { "" };
            let sequences =
                if write.sequences.is_empty() { String::new() } else { format!(" seq {}", write.sequences.join(",")) };
            format!("{form}{returning}{deferred}{sequences} {}", hint(sql, &write.table, &write.footprint))
        }
        Command::Imaged(imaged) => {
            let tables: Vec<&str> = imaged.tables.iter().map(|table| table.name.as_str()).collect();
            assert!(!imaged.instead_of.hint.is_empty(), "{imaged:?}");
            format!("imaged ({}): {}", tables.join(","), imaged.instead_of.reason)
        }
        Command::Fill(fill) => {
            let schema = fill.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
            let unless = if fill.if_not_exists { " unless there" } else { "" };
            let executes = fill.executes.as_ref().map(|name| format!(" execute {name}")).unwrap_or_default();
            let sequences =
                if fill.sequences.is_empty() { String::new() } else { format!(" seq {}", fill.sequences.join(",")) };
            let temporary = fill.temporary.map(|then| format!("temporary {then:?} ")).unwrap_or_default();
            format!(
                "fill {temporary}{schema}{}{unless}{executes}{sequences} from {}",
                fill.name,
                touched(&analysis.read_footprint)
            )
        }
        Command::CopyIn(CopyIn { form: CopyForm::Locked(locked), .. }) => {
            format!("copy in {}", locked.lock_sql.join("; "))
        }
        Command::CopyIn(CopyIn { form: CopyForm::Imaged(imaged), .. }) => {
            let tables: Vec<&str> = imaged.tables.iter().map(|table| table.name.as_str()).collect();
            assert_eq!(imaged.instead_of.severity, Severity::Impossible, "{sql}: there is no other way to run it");
            format!("copy in imaged ({}): {}", tables.join(","), imaged.instead_of.reason)
        }
        Command::LockTable(lock) => {
            let readers = if lock.shuts_out_readers { " exclusive" } else { "" };
            format!("lock table{readers} {}", touched(&lock.footprint))
        }
        Command::Session(change) => format!("{change:?}"),
        Command::Prepare { name, inner, analysis } => {
            format!("prepare {name}: {}", describe(&sql[*inner..], analysis))
        }
        Command::Utility(utility) => format!(
            "utility{}{}{} {}",
            if utility.transactional { "" } else { " alone" },
            if utility.changes_catalog { " ddl" } else { "" },
            if utility.temporary { " temporary" } else { "" },
            touched(&utility.footprint)
        ),
        Command::Unknown { what } => format!("unknown {what}"),
        Command::Concurrently(concurrently) => {
            let Concurrently { kind, word, plain, name, wrong } = concurrently;
            let name = name.as_ref().map(|(schema, name)| {
                format!(" {}{name}", schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default())
            });
            let sql = String::from_utf8(blanked(sql.as_bytes(), word, true)).expect("UTF-8");
            let words = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            let error = wrong.as_ref().map(|error| format!(" error {error}")).unwrap_or_default();
            format!("{kind:?}{} {words} => {}{error}", name.unwrap_or_default(), describe(&sql, plain))
        }
        Command::TwoPhase { command, refusal } => {
            assert!(!refusal.hint.is_empty(), "{refusal:?}");
            format!("two-phase {command:?}")
        }
        Command::Refused(refusal) => {
            assert!(!refusal.hint.is_empty() && !refusal.reason.ends_with('.'), "{refusal:?}");
            format!("refused {}", refusal.reason)
        }
        other => format!("{other:?}"),
    }
}

fn describe_read(what: &str, sql: &str, read: &Read, analysis: &Analysis) -> String {
    let proof = if read.proof == Proof::Proven { "" } else { " probe" };
    let lead = if read.lead_only { " lead" } else { "" };
    let sequences =
        if read.sequences.is_empty() { String::new() } else { format!(" seq {}", read.sequences.join(",")) };
    let footprint = match &analysis.read_key {
        Some((table, key)) => hint(sql, table, key),
        None => touched(&analysis.read_footprint),
    };
    format!("{what}{proof}{lead}{sequences} {footprint}")
}

fn captured(table: &Table, capture: &Capture) -> String {
    let names: Vec<&str> = capture.columns.iter().map(|&c| table.columns[c].name.as_str()).collect();
    let (key, rest) = names.split_at(capture.key_columns);
    let alternative = if capture.locked_alternative.is_some() { " or locked" } else { "" };
    format!("captured {:?} ({}) {}{alternative}", capture.operation, key.join(","), rest.join(","))
}

fn hint(sql: &str, table: &Table, hint: &FootprintHint) -> String {
    match hint {
        FootprintHint::Group => format!("group {}", table.group.0),
        FootprintHint::Append => "append".to_owned(),
        FootprintHint::Keys(keys) => keys.iter().map(|k| key(sql, k)).collect::<Vec<_>>().join(" "),
    }
}

fn key(sql: &str, key: &PinnedKey) -> String {
    let value = |(column, value): &(usize, KeyValue)| match value {
        KeyValue::Parameter(n) => format!("{column}=${n}"),
        KeyValue::Literal(at) => {
            let value = Literals::new(sql.as_bytes(), true).value(*at).expect("a literal");
            format!("{column}={}", String::from_utf8_lossy(&value))
        }
    };
    format!("key({})", key.values.iter().map(value).collect::<Vec<_>>().join(","))
}

fn touched(footprint: &Footprint) -> String {
    match footprint {
        Footprint::Nothing => "nothing".to_owned(),
        Footprint::Everything => "everything".to_owned(),
        Footprint::Touches(touches) => {
            format!("groups {}", touches.iter().map(|t| t.group.0.to_string()).collect::<Vec<_>>().join(","))
        }
    }
}

//! The commands on a log in real files.

use std::path::PathBuf;

use raidb_core::log::{MemberChange, Position, RecordKind};
use raidb_core::member::{MemberState, Reason};
use tempfile::TempDir;

use super::locate::Located;
use super::{Refused, change, show, verify};
use crate::recovery_log::{FileLog, LogError, RecoveryLog, directory_of};

async fn sample() -> (TempDir, Located, FileLog) {
    let home = TempDir::new().unwrap();
    let dir = directory_of(home.path(), "bench");
    let log = FileLog::open(&dir, "bench").unwrap().log;
    let change = MemberChange {
        member: "pg2".into(),
        change: MemberState::Disabled { reason: Reason::Diverged, position: Position(0) },
        epoch: 3,
        when_unix_ms: 0,
        incident: None,
    };
    log.append(RecordKind::MemberChange, change.encode()).await.unwrap();
    log.append(RecordKind::Intent, vec![7; 5]).await.unwrap();
    (home, Located { dir, database: "bench".into() }, log)
}

fn shown(log: &Located, from: u64, limit: Option<u64>, json: bool) -> (Vec<String>, Result<(), Refused>) {
    let mut out = Vec::new();
    let result = show::show(log, Position(from), limit, json, &mut out);
    (String::from_utf8(out).unwrap().lines().map(str::to_owned).collect(), result)
}

fn verified(log: &Located) -> Result<String, Refused> {
    let mut out = Vec::new();
    verify::verify(log, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn show_and_verify_work_beside_a_proxy_and_changes_do_not() {
    let (_home, located, log) = sample().await;
    let (lines, result) = shown(&located, 0, None, false);
    assert!(result.is_ok() && lines.len() == 3, "{lines:?}");
    assert!(lines[1].contains("00000000000000000001+32") && lines[1].contains("pg2 disabled (diverged)"), "{lines:?}");
    assert!(
        lines[2].trim_start().starts_with("2 ") && lines[2].contains("33  the payload does not have the form"),
        "{lines:?}"
    );
    for (last, positions) in [(0, &[][..]), (1, &[2][..]), (9, &[1, 2][..])] {
        let mut out = Vec::new();
        show::show_last(&located, last, false, &mut out).unwrap();
        let lines: Vec<String> = String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect();
        let found: Vec<u64> =
            lines.iter().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
        assert_eq!(found, positions);
    }
    let (lines, _) = shown(&located, 1, Some(1), true);
    let object: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((lines.len(), &object["position"], &object["payload"]["member"]), (1, &1.into(), &"pg2".into()));
    let text = verified(&located).unwrap();
    assert!(text.contains("first position 1, last position 2") && text.contains("no torn tail"), "{text}");
    for result in [
        change::checkpoint(&located, "x", &mut Vec::new()).await,
        change::truncate(&located, Position(1), &mut Vec::new()).await,
    ] {
        assert!(matches!(result, Err(Refused::InUse(_))));
    }
    drop(log);
}

#[tokio::test]
async fn a_checkpoint_has_a_name_of_its_own_and_truncation_tells_what_went() {
    let (_home, located, log) = sample().await;
    drop(log);
    let mut out = Vec::new();
    change::checkpoint(&located, "before upgrade", &mut out).await.unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "checkpoint \"before upgrade\" at position 3\n");
    for name in ["before upgrade", ""] {
        let again = change::checkpoint(&located, name, &mut Vec::new()).await;
        assert!(matches!(again, Err(Refused::Usage(_))), "{again:?}");
    }
    assert!(verified(&located).unwrap().contains("checkpoint at position 3: \"before upgrade\""));
    let beyond = change::truncate(&located, Position(5), &mut Vec::new()).await;
    assert!(beyond.unwrap_err().to_string().contains("the log ends at position 3"));
    // A second segment behind the first.
    let log = FileLog::open_on(&located.dir, "bench", 64, Box::new(crate::recovery_log::RealDisk)).unwrap().log;
    log.append(RecordKind::Intent, vec![1; 40]).await.unwrap();
    drop(log);
    let mut out = Vec::new();
    change::truncate(&located, Position(4), &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    for told in ["first position 4, last position 5", "\"before upgrade\" at position 3 went", "pg2, which has"] {
        assert!(text.contains(told), "{text}");
    }
    assert!(verified(&located).unwrap().contains("member pg2 disabled (diverged)"));
    assert!(matches!(shown(&located, 2, None, false).1, Err(Refused::Log(LogError::Gone { .. }))));
}

#[tokio::test]
async fn damage_is_named_and_what_is_before_it_is_shown() {
    let (_home, located, log) = sample().await;
    log.append(RecordKind::Intent, vec![1; 9]).await.unwrap();
    drop(log);
    let path: PathBuf = located.dir.join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.len() - (28 + 9) - (28 + 5);
    bytes[second + 30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (lines, result) = shown(&located, 0, None, true);
    assert_eq!(lines.len(), 1);
    let place = format!("segment 00000000000000000001.seg, offset {second}");
    for refused in [result.unwrap_err(), verified(&located).unwrap_err()] {
        assert!(matches!(refused, Refused::Log(LogError::Corrupt { .. })));
        assert!(refused.to_string().contains(&place), "{refused}");
    }
}

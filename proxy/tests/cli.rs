//! The binary's exit codes: what scripts rely on.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

fn raidb(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raidb")).args(arguments).output().expect("the binary runs")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn a_configuration_that_cannot_be_used_is_64_with_all_that_is_wrong() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("raidb.toml");
    fs::write(&file, "colour = 1\n[listen]\npostgres = \"nowhere\"\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [vec!["run", "--config", file], vec!["check", file]] {
        let output = raidb(&arguments);
        let message = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(code(&output), Some(64), "{message}");
        for part in ["3 errors", "colour", "listen.postgres = \"nowhere\"", "virtual_database: is missing"] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }
    assert_eq!(code(&raidb(&["check", "/nonexistent/raidb.toml"])), Some(64));
}

#[test]
fn a_command_line_that_cannot_be_used_is_64() {
    assert_eq!(code(&raidb(&["rum"])), Some(64));
    assert_eq!(code(&raidb(&[])), Some(64));
    let version = raidb(&["--version"]);
    assert_eq!(code(&version), Some(0));
    assert!(version.stdout.starts_with(b"raidb "));
}

#[test]
fn no_proxy_is_1() {
    let output = raidb(&["status", "--admin", "127.0.0.1:1"]);
    assert_eq!(code(&output), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("127.0.0.1:1") && message.contains("is the proxy running?"), "{message}");
}

#[test]
fn members_that_cannot_be_reached_are_1() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("raidb.toml");
    let text = "[[virtual_database]]\nname = \"b\"\n[[virtual_database.member]]\nname = \"pg1\"\n\
                url = \"postgresql://u:hunter2@127.0.0.1:1/d\"\n";
    fs::write(&file, text).unwrap();
    let output = raidb(&["check", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(code(&output), Some(1));
    assert!(text.contains("pg1 (postgresql://u@127.0.0.1:1/d): cannot connect"), "{text}");
    assert!(!text.contains("hunter2"));
}

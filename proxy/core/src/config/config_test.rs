//! Whole configurations: what is accepted, and that every finding is reported at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Config, Consistency, Durability, Endpoint, Member};
use crate::placement::{Level, Pick, WaitFor};

const ISSUE: &str = r#"
[listen]
postgres = "127.0.0.1:6432"
admin = "127.0.0.1:7432"
[log]
dir = "raidb-log"
[[virtual_database]]
name = "bench"
level = "raidb-1"
pick = "least-pending"
wait_for = "all"
consistency = "strict"
durability = "members"
member_timeout = "3s"
[[virtual_database.member]]
name = "pg1"
url = "postgresql://postgres@127.0.0.1:5501/bench"
weight = 1
[[virtual_database.member]]
name = "pg2"
url = "postgresql://postgres@127.0.0.1:5502/bench"
"#;

const MEMBER: &str = "[[virtual_database.member]]\nname = \"pg1\"\nurl = \"postgresql://u@h/d\"\n";

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(text, Path::new("/etc/raidb")).map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
}

/// One finding, and exactly one, that contains all the given texts.
fn one_error(text: &str, expect: &[&str]) {
    let errors = parse(text).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in expect {
        assert!(errors[0].contains(part), "{part} is not in: {}", errors[0]);
    }
}

#[test]
fn reads_the_configuration_of_the_issue() {
    let config = parse(ISSUE).unwrap();
    assert_eq!(config.listen.postgres.to_string(), "127.0.0.1:6432");
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:7432");
    assert_eq!(config.log_dir, PathBuf::from("/etc/raidb/raidb-log"));
    let database = &config.virtual_databases[0];
    assert_eq!((database.name.as_str(), database.level), ("bench", Level::Raidb1));
    assert_eq!(database.policy, Level::Raidb1.policy(Pick::LeastPending, WaitFor::All));
    assert_eq!((database.consistency, database.durability), (Consistency::Strict, Durability::Members));
    assert_eq!(database.member_timeout, Duration::from_secs(3));
    assert_eq!(database.members.len(), 2);
    assert_eq!(database.members[1].url.endpoint, Endpoint::Tcp { host: "127.0.0.1".into(), port: 5502 });
}

#[test]
fn fills_in_defaults() {
    let config = parse(&format!("[[virtual_database]]\nname = \"b\"\n{MEMBER}")).unwrap();
    assert_eq!(config.listen.max_clients, 1000);
    assert_eq!(config.listen.startup_timeout, Duration::from_secs(10));
    assert_eq!(config.listen.message_size_max, 1 << 30);
    assert_eq!(config.tokens_kept, Duration::from_secs(3600));
    assert_eq!(config.listen.tls, None);
    assert_eq!(config.virtual_databases[0].max_connections_per_member, 100);
    assert_eq!(config.virtual_databases[0].log_size_max, 10 << 30);
    assert_eq!(config.virtual_databases[0].members[0].weight, 1);
    let written = ISSUE.lines().filter(|line| !line.contains("= \"3s\"")).collect::<Vec<_>>().join("\n");
    assert_eq!(parse(&written), parse(ISSUE));
}

#[test]
fn reports_every_finding_at_once() {
    let errors = parse(
        r#"
        colour = 1
        [listen]
        postgres = "nowhere"
        tls_cert = "c.pem"
        max_clients = 0
        startup_timeout = "1ms"
        message_size_max = "2GiB"
        [log]
        dri = "x"
        size_max = "1MiB"
        [[virtual_database]]
        level = "raidb-9"
        pick = 7
        wait_for = "first"
        member_timeout = "3 seconds"
        [[virtual_database.member]]
        name = "PG 1"
        url = "postgresql://u:hunter2@h:x/d"
        weight = 1001
        [[virtual_database]]
        name = "empty"
        "#,
    )
    .unwrap_err();
    let expect = [
        "colour: is an unknown key; allowed: listen, log, virtual_database",
        "listen.postgres = \"nowhere\": must be an IP address and a port",
        "listen.tls_key: is missing",
        "listen.max_clients = 0: must be a whole number from 1 to 100000",
        "listen.startup_timeout = \"1ms\": must be a duration from \"100ms\" to \"10min\"",
        "listen.message_size_max = \"2GiB\": must be a size from \"64KiB\" to \"1GiB\"",
        "log.size_max = \"1MiB\": must be a size from \"64MiB\" to \"16TiB\"",
        "log.dri: is an unknown key; allowed: dir, size_max",
        "virtual_database[0].name: is missing",
        "virtual_database[0].level = \"raidb-9\": is unknown; allowed: \"single\", \"raidb-1\"",
        "virtual_database[0].pick = 7: must be a text in quotes",
        "virtual_database[0].wait_for = \"first\": is not supported yet; allowed: \"all\"",
        "virtual_database[0].member_timeout = \"3 seconds\": must be a duration from \"100ms\" to \"1h\"",
        "virtual_database[0].member[0].name = \"PG 1\": must be",
        "virtual_database[0].member[0].url = \"postgresql://u:***@h:x/d\": has a port",
        "virtual_database[0].member[0].weight = 1001: must be a whole number from 1 to 1000",
        "virtual_database[1].member: is missing",
    ];
    assert_eq!(errors.len(), expect.len(), "{errors:#?}");
    for (error, start) in errors.iter().zip(expect) {
        assert!(error.starts_with(start), "expected {start}\n     got {error}");
    }
}

#[test]
fn refuses_what_is_not_supported_yet() {
    for (from, to) in [
        ("\"raidb-1\"", "\"raidb-1ec\""),
        ("\"all\"", "\"majority\""),
        ("\"strict\"", "\"session\""),
        ("\"members\"", "\"log\""),
    ] {
        one_error(&ISSUE.replacen(from, to, 1), &[to, "is not supported yet; allowed: "]);
    }
    one_error(&ISSUE.replacen("raidb-1", "single", 1), &["virtual_database[0].member", "exactly one"]);
}

#[test]
fn reads_the_size_of_the_log() {
    let written = |size: &str| ISSUE.replacen("[log]", &format!("[log]\nsize_max = {size}"), 1);
    for (size, bytes) in [("\"64MiB\"", 64 << 20), ("\"16TiB\"", 16 << 40), ("100000000", 100_000_000)] {
        assert_eq!(parse(&written(size)).unwrap().virtual_databases[0].log_size_max, bytes);
    }
    for size in ["\"63MiB\"", "\"17TiB\"", "-1", "\"big\"", "1.5"] {
        one_error(&written(size), &["log.size_max = ", "must be a size from \"64MiB\" to \"16TiB\""]);
    }
}

#[test]
fn reads_a_member_by_itself() {
    let read = |name: &str, url: &str, weight| Member::parse(name, url, weight, Path::new("/etc/raidb"));
    let member = read("pg2", "postgresql://postgres@127.0.0.1:5502/bench", 1).unwrap();
    assert_eq!(member, parse(ISSUE).unwrap().virtual_databases[0].members[1]);
    let errors = read("PG 1", "postgresql://u:hunter2@h:x/d", 0).unwrap_err();
    assert_eq!(errors.0.len(), 3, "{errors}");
    assert!(!errors.to_string().contains("hunter2"));
}

#[test]
fn refuses_duplicates() {
    one_error(&ISSUE.replace("pg2", "pg1"), &["member[1].name", "twice"]);
    one_error(
        &ISSUE.replace("127.0.0.1:5502", "localhost:5501"),
        &["member[1].url", "virtual_database[0].member[0].url"],
    );
    one_error(
        &ISSUE.replace("127.0.0.1:5502/bench", "localhost:5501/other"),
        &["member[1].url", "same server as virtual_database[0].member[0].url"],
    );
    let second = "[[virtual_database]]\nname = \"bench\"\n";
    let other = MEMBER.replace("@h/", "@i/");
    one_error(&format!("{ISSUE}{second}{other}"), &["virtual_database[1].name", "virtual_database[0]"]);
    one_error(
        &format!("{ISSUE}{}{}", second.replace("bench", "b2"), MEMBER.replace("@h/d", "@127.0.0.1:5501/bench")),
        &["virtual_database[1].member[0].url", "same database"],
    );
}

#[test]
fn trusts_clients_on_loopback_only() {
    let open = ISSUE.replace("127.0.0.1:6432", "0.0.0.0:6432");
    one_error(&open, &["listen.postgres = \"0.0.0.0:6432\"", "loopback"]);
    let user = "[[virtual_database.user]]\nname = \"app\"\npassword = \"hunter2\"\nmember_user = \"m\"\n";
    let config = parse(&format!("{open}{user}")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(config.virtual_databases[0].users[0].password.expose(), "hunter2");
    one_error(&format!("{ISSUE}[[virtual_database.user]]\nname = \"app\"\n"), &["user[0].password", "missing"]);
    one_error(&format!("{ISSUE}{user}{user}"), &["user[1].name", "twice"]);
    one_error(&format!("{ISSUE}{user}passwort = \"hunter3\"\n"), &["user[0].passwort", "unknown key"]);
}

#[test]
fn never_prints_a_password() {
    for wrong in ["password = 123456", "password = \"\"", "member_password = 123456", "pasword = \"123456\""] {
        let text = format!("{ISSUE}[[virtual_database.user]]\nname = \"app\"\n{wrong}\n");
        let errors = parse(&text).unwrap_err();
        assert!(!format!("{errors:?}").contains("123456"), "{errors:?}");
    }
}

#[test]
fn refuses_what_is_not_toml() {
    one_error("listen = ", &["line 1 is not TOML"]);
    let errors = parse(&format!("{ISSUE}\n[[virtual_database.user]]\npassword = \"hunter2\" x")).unwrap_err();
    assert!(!errors[0].contains("hunter2"), "{errors:?}");
    one_error(&ISSUE.replace("[listen]", "[listen]\nadmin = \"127.0.0.1:7432\""), &["is not TOML"]);
    let text = format!("listen = 3\nvirtual_database = 4\n{}", "[log]\n");
    assert_eq!(parse(&text).unwrap_err().len(), 2 + 1);
}

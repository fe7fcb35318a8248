//! Member URLs: what is read, what is refused, and that no password is shown.

use super::uri_text::hide_password;
use super::{Endpoint, MemberUrl, SslMode};

#[test]
fn reads_tcp() {
    let url = MemberUrl::parse("postgresql://postgres@127.0.0.1:5501/bench").unwrap();
    assert_eq!(url.endpoint, Endpoint::Tcp { host: "127.0.0.1".into(), port: 5501 });
    assert_eq!((url.user.as_str(), url.dbname.as_str(), url.sslmode), ("postgres", "bench", SslMode::Prefer));
    let url = MemberUrl::parse("postgres://a%40b:p%3Aw%2F@[::1]/d?sslmode=require&sslrootcert=/r.pem").unwrap();
    assert_eq!(url.endpoint, Endpoint::Tcp { host: "::1".into(), port: 5432 });
    assert_eq!((url.user.as_str(), url.password.as_ref().unwrap().expose()), ("a@b", "p:w/"));
    assert_eq!((url.sslmode, url.sslrootcert.clone()), (SslMode::Require, Some("/r.pem".into())));
    assert_eq!(url.to_string(), "postgresql://a@b@[::1]:5432/d");
    assert!(!format!("{url:?}").contains("p:w"));
}

#[test]
fn reads_unix_sockets() {
    let endpoint = Endpoint::Unix { dir: "/run/pg".into(), port: 5502 };
    for text in ["postgresql://u@/d?host=/run/pg&port=5502", "postgresql://u@%2Frun%2Fpg:5502/d"] {
        assert_eq!(MemberUrl::parse(text).unwrap().endpoint, endpoint);
    }
}

#[test]
fn refuses_what_it_does_not_understand() {
    let cases = [
        ("mysql://u@h/d", "must begin"),
        ("postgresql://h/d", "names no user"),
        ("postgresql://u@h", "names no database"),
        ("postgresql://u@/d", "names no host"),
        ("postgresql://u@h,i/d", "several hosts"),
        ("postgresql://u@h:0/d", "port"),
        ("postgresql://u@h:70000/d", "port"),
        ("postgresql://u@[::1/d", "without \"]\""),
        ("postgresql://u@[::1]x/d", "after \"]\""),
        ("postgresql://u@h/%zz", "hex digits"),
        ("postgresql://u@h/%+1", "hex digits"),
        ("postgresql://u@h/%ff", "UTF-8"),
        ("postgresql://u@h/a%00", "NUL"),
        ("postgresql://u@h/d?sslmode=allow", "allowed: disable"),
        ("postgresql://u@h/d?sslmode=verify-full", "sslrootcert"),
        ("postgresql://u@/d?host=/run&sslmode=require", "Unix socket"),
        ("postgresql://u@h/d?options=x", "unknown parameter"),
        ("postgresql://u@h/d?host=i", "twice"),
        ("postgresql://u@h/d?x", "without \"=\""),
    ];
    for (text, problem) in cases {
        let error = MemberUrl::parse(text).unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
}

#[test]
fn hides_passwords_in_broken_urls() {
    for text in [
        "postgresql://u:hunter2@h:x/d",
        "u:hunter2@h",
        "postgresql://u:hunter2",
        "postgresql://u:a@hunter2@h/d",
        "postgresql://u:hun/hunter2@h/d",
        "postgresql://u@h/d?password=hunter2&x=1",
    ] {
        assert!(!hide_password(text).contains("hunter2"), "{}", hide_password(text));
    }
    let plain = "postgresql://u@h:5432/d";
    assert_eq!(hide_password(plain), plain);
}

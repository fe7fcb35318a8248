//! No bytes make the analysis panic or use up the stack.

use super::super::super::split::{end_of_last_token, split};
use super::super::super::testing::{sample, settings};
use super::super::{Settings, analyse};

/// Runs all entry points on a thread with the stack that tokio's workers have.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work).expect("a thread");
    thread.join().expect("no panic");
}

#[test]
fn deep_and_long_texts() {
    on_a_small_stack(|| {
        let (catalog, settings) = (sample(), settings());
        let many = |piece: &str, n: usize| piece.repeat(n);
        let texts = [
            format!("select {}1{}", many("(", 10_000), many(")", 10_000)),
            format!("select {}1{}", many("(", 90), many(")", 90)),
            format!("select {} from parent {}", many("(select ", 99), many(")", 99)),
            format!("select 1 {}", many("or 1 = 1 ", 50_000)),
            format!("select 1 {}", many("or 1 = 1 ", 999)),
            format!("select 1 where {} true", many("not ", 3_900)),
            format!("select 1 {}", many("union select 1 ", 1_900)),
            format!("select {}1", many("- ", 3_900)),
            format!("select a{}", many("::int", 1_900)),
            format!("select a{}", many("[1]", 1_900)),
            format!("select * from {} parent", many("parent join ", 1_900)),
            format!("select * from parent {}", many("natural join parent ", 900)),
            format!("select {} 1 {}", many("case when true then ", 90), many(" end", 90)),
            format!("insert into parent values (1, 'x'){}", many(", (2, 'y')", 50_000)),
            format!("delete from parent where id in (1{})", many(", 2", 30_000)),
            format!("delete from parent where id = 1 {}", many("and id = 1 ", 900)),
            many("explain ", 20_000),
            many("explain analyze ", 20_000),
            many("prepare a as ", 20_000),
            many("copy (", 20_000),
            many("declare c cursor for ", 20_000),
            many("[", 100_000),
            many("/*", 100_000),
            many("a.", 100_000),
        ];
        for text in texts {
            eprintln!("T {}", &text[..text.len().min(40)]);
            let _ = analyse(text.as_bytes(), &catalog, &settings);
            let _ = split(text.as_bytes(), true);
        }
    });
}

#[test]
fn random_texts() {
    on_a_small_stack(|| {
        let (catalog, usual) = (sample(), settings());
        let odd = Settings { standard_conforming_strings: false, ..settings() };
        let pieces: Vec<&[u8]> = "select insert into update delete from where set values parent id name ( ) , ; . = :: ' \" $$ $1 1 -- /* */ \n \
            and or not for share skip locked returning on conflict do nothing default with as copy stdin to table create alter \
            prepare execute explain analyze begin commit savepoint rollback set reset lock declare cursor fetch nextval now() \
            cast date 'now' [ ] case when end \\ E' U&\" B' : * + - < > only current of is distinct null truncate"
            .split_ascii_whitespace()
            .map(str::as_bytes)
            .chain([&b"\xff"[..], b"\0", b"\xc3", b"\n"])
            .collect();
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap_or(0) % below
        };
        for round in 0..30_000 {
            let mut text = Vec::new();
            for _ in 0..random(24) {
                match random(12) {
                    0 => text.push(u8::try_from(random(256)).unwrap_or(0)),
                    _ => text.extend_from_slice(pieces[random(pieces.len())]),
                }
                if random(4) > 0 {
                    text.push(b' ');
                }
            }
            let settings = if round % 3 == 0 { &odd } else { &usual };
            let _ = analyse(&text, &catalog, settings);
            for piece in split(&text, settings.standard_conforming_strings) {
                let _ = analyse(&text[piece.clone()], &catalog, settings);
                assert!(end_of_last_token(&text[piece.clone()], settings.standard_conforming_strings) <= piece.len());
            }
        }
    });
}

#[test]
fn bytes_that_are_not_utf_8() {
    let (catalog, settings) = (sample(), settings());
    let analysis = analyse(b"delete from pgbench_branches where bid = 1 and filler = 'caf\xe9'", &catalog, &settings);
    assert!(format!("{:?}", analysis.command).contains("Keyed"));
    let analysis = analyse(b"select \"\xe9\" from parent", &catalog, &settings);
    assert!(format!("{:?}", analysis.command).starts_with("Read"));
}

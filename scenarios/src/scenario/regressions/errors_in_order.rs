//! Errors of the extended protocol that the proxy finds by itself: in a failed block the parser comes first, then the block, then
//! names; and the answers to what came before in a pipeline come before them. A wrong number of result formats is the client's fault.

use super::support::{error_code, kinds, query, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

/// What is sent (see [`send`]), and the answers of PostgreSQL: their kinds, the error.
const FAILED: &[(&str, &str, Option<&str>)] = &[
    ("Pselec 1", "EZ", Some("42601")),
    ("Pselect 'a", "EZ", Some("42601")),
    ("Pselect 1; select 2", "EZ", Some("42601")),
    ("Pselect 1; selec 2", "EZ", Some("42601")),
    ("Pselect nothing from nowhere", "EZ", Some("25P02")),
    ("known=Pselect 1", "EZ", Some("25P02")),
    ("known=B", "EZ", Some("25P02")),
    ("nothing=B", "EZ", Some("26000")),
    ("P|B|E", "1EZ", Some("25P02")),
    ("Qselec 1", "EZ", Some("42601")),
    ("Qcommit; selec 1", "EZ", Some("42601")),
    ("Qselect 1; select (1", "EZ", Some("42601")),
    ("Qselect nothing from nowhere", "EZ", Some("25P02")),
    ("Prollback|B|E", "12CZ", None),
];

const IDLE: &[(&str, &str, Option<&str>)] = &[
    ("Pselect 1|nothing=B", "1EZ", Some("26000")),
    ("Pselect nothing from nowhere|nothing=B", "EZ", Some("42P01")),
    ("Pselect 1|B|known=Pselect 2", "12EZ", Some("42P05")),
    ("Pselect 1|F", "1EZ", Some("08P01")),
    ("known=F", "EZ", Some("08P01")),
    ("Pinsert into in_order values (1) returning i|F|E", "1EZ", Some("08P01")),
    ("prepared=Pinsert into in_order values (1) returning i", "1Z", None),
    ("prepared=F|E", "EZ", Some("08P01")),
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    cluster.endpoint().execute("create table in_order(i int primary key)").await?;
    let mut raw = Raw::connect(&cluster.endpoint(), &[]).await?;
    expect(&mut raw, &[("known=Pselect 1", "1Z", None)]).await?;
    expect(&mut raw, IDLE).await?;
    // The lead knows that the block has failed; in the second one only the proxy does.
    for error in ["select 1/0", "rollback to nowhere"] {
        query(&mut raw, "begin").await?;
        query(&mut raw, error).await?;
        expect(&mut raw, FAILED).await?;
    }
    // A savepoint brings it back.
    for (sql, wanted) in [
        ("begin; insert into in_order values (1); savepoint s", "CCCZ"),
        ("rollback to nowhere", "EZ"),
        ("selec 1", "EZ"),
        ("rollback to s", "CZ"),
        ("insert into in_order values (2)", "CZ"),
        ("commit", "CZ"),
        ("select * from in_order", "TDDCZ"),
    ] {
        let answers = query(&mut raw, sql).await?;
        if kinds(&answers) != wanted {
            return fail(format!("{sql}: {} ({:?})", kinds(&answers), error_code(&answers)));
        }
    }
    Ok(())
}

async fn expect(raw: &mut Raw, cases: &[(&str, &str, Option<&str>)]) -> Result<()> {
    for (messages, wanted, error) in cases {
        let answers = match messages.strip_prefix('Q') {
            Some(sql) => query(raw, sql).await?,
            None => {
                for message in messages.split('|') {
                    send(raw, message).await?;
                }
                sync(raw).await?
            }
        };
        let told = (kinds(&answers), error_code(&answers));
        if told != ((*wanted).to_owned(), error.map(str::to_owned)) {
            return fail(format!("{messages}: {told:?} in place of {wanted}, {error:?}"));
        }
    }
    Ok(())
}

/// `name=` of a statement, if it has one, then P with its text, B, F (B with two result formats) or E.
async fn send(raw: &mut Raw, message: &str) -> Result<()> {
    let (name, message) = message.split_once('=').filter(|(name, _)| name.len() > 1).unwrap_or(("", message));
    let (kind, text) = message.split_at(1);
    match kind {
        "P" => raw.send(b'P', format!("{name}\0{text}\0\0\0").as_bytes()).await,
        "B" => raw.send(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes()).await,
        "F" => raw.send(b'B', format!("\0{name}\0\0\0\0\0\0\x02\0\0\0\0").as_bytes()).await,
        _ => raw.send(b'E', &[0; 5]).await,
    }
}

//! The rows of a COPY come together with it, before it was answered, by the extended protocol: its first message was lost, and COPY
//! acknowledged the others. In both forms of COPY.

use super::support::{bind, execute, expect_on_all, kinds, parse, query, sync};
use crate::clients::{Message, Raw};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table cp_a(v text primary key); create table cp_b(id serial primary key, v text)").await?;
    for (n, copy) in ["copy cp_a from stdin", "copy cp_b(v) from stdin"].into_iter().enumerate() {
        for (case, in_block) in [("three", false), ("one", false), ("none", false), ("given up", false), ("more", true)]
        {
            let mut raw = Raw::connect(&endpoint, &[]).await?;
            if in_block {
                query(&mut raw, "begin").await?;
            }
            let (answers, wanted) = batch(&mut raw, copy, case).await?;
            if kinds(&answers) != wanted {
                return fail(format!("{copy}, {case}: {} in place of {wanted}", kinds(&answers)));
            }
            let next = query(&mut raw, if in_block { "commit" } else { "select 1" }).await?;
            let wanted = if in_block { "CZ" } else { "TDCZ" };
            if kinds(&next) != wanted {
                return fail(format!("behind {copy}, {case}: {}", kinds(&next)));
            }
        }
        let table = ["cp_a", "cp_b"][n];
        let found = format!("select string_agg(v, ' ' order by v collate \"C\") from {table}");
        expect_on_all(&cluster.members, &found, "a b c d e f").await?;
    }
    Ok(())
}

/// One batch with its rows in it: the answers to it, and the kinds of those that PostgreSQL gives.
async fn batch(raw: &mut Raw, copy: &str, case: &str) -> Result<(Vec<Message>, &'static str)> {
    parse(raw, copy).await?;
    bind(raw, &[]).await?;
    execute(raw).await?;
    let (rows, wanted): (&[&str], _) = match case {
        "three" => (&["a", "b", "c"], "12GCZ"),
        "one" => (&["d"], "12GCZ"),
        "more" => (&["e", "f"], "12GC12DCZ"),
        "none" => (&[], "12GCZ"),
        _ => (&[], "12GEZ"),
    };
    for row in rows {
        raw.send(b'd', format!("{row}\n").as_bytes()).await?;
    }
    if case == "given up" {
        raw.send(b'f', b"given up\0").await?;
    } else {
        raw.send(b'c', b"").await?;
    }
    if case == "more" {
        parse(raw, "select 5").await?;
        bind(raw, &[]).await?;
        execute(raw).await?;
    }
    Ok((sync(raw).await?, wanted))
}

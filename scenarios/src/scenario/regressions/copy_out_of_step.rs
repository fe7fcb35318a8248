//! COPY FROM STDIN by the extended protocol, message by message: something else in place of rows ends the session (it hung, with the
//! table locked); COPY is answered, and an error is told, though no Sync is there yet. In both forms of COPY.

use super::support::{bind, error_code, execute, expect_on_all, kinds, parse, query, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint
        .execute("create table cs_a(v text primary key); create table cs_b(id serial primary key, v text unique)")
        .await?;
    for (table, copy) in [("cs_a", "copy cs_a from stdin"), ("cs_b", "copy cs_b(v) from stdin")] {
        for (before, rows) in [("", ""), ("begin", ""), ("", "lost\n")] {
            out_of_step(&endpoint, copy, before, rows).await?;
        }
        // Nothing is locked any more.
        endpoint.execute(&format!("set lock_timeout = '5s'; insert into {table}(v) values ('here')")).await?;
        unasked(&endpoint, copy).await?;
        expect_on_all(&cluster.members, &format!("select string_agg(v, ' ' order by v) from {table}"), "a here")
            .await?;
    }
    Ok(())
}

/// Other messages follow the COPY, in its packet or behind a row.
async fn out_of_step(endpoint: &Endpoint, copy: &str, before: &str, rows: &str) -> Result<()> {
    let mut raw = Raw::connect(endpoint, &[]).await?;
    query(&mut raw, before).await?;
    let mut packet = Vec::new();
    let select = [message(b'P', b"\0select 1\0\0\0"), message(b'B', &[0; 8]), message(b'E', &[0; 5])].concat();
    packet.extend(message(b'P', format!("\0{copy}\0\0\0").as_bytes()));
    packet.extend([message(b'B', &[0; 8]), message(b'E', &[0; 5])].concat());
    if !rows.is_empty() {
        packet.extend(message(b'd', rows.as_bytes()));
    }
    packet.extend([select, message(b'S', b"")].concat());
    raw.bytes(&packet).await?;
    let answers = raw.until_closed().await?;
    let told: Vec<_> = answers.iter().filter(|m| m.kind == b'E').map(|m| (m.field(b'S'), m.field(b'M'))).collect();
    let text = |text: &str| Some(text.to_owned());
    let wanted = [
        (text("ERROR"), text("unexpected message type 0x50 during COPY from stdin")),
        (text("FATAL"), text("terminating connection because protocol synchronization was lost")),
    ];
    if kinds(&answers) != "12GEE" || told != wanted {
        return fail(format!("{copy}, {before}, {rows:?}: {}, {told:?}", kinds(&answers)));
    }
    Ok(())
}

/// Answers for which no Sync or Flush has asked.
async fn unasked(endpoint: &Endpoint, copy: &str) -> Result<()> {
    let refused = copy.replace("cs_", "nowhere_");
    // COPY; its rows and their end, if it takes them; how it ends, and what is told at the Sync.
    for (copy, row, end, wanted) in
        [(copy, "a\n", "", "CZ"), (copy, "a\tb\n", "E", "Z"), (copy, "", "E", "Z"), (refused.as_str(), "", "E", "Z")]
    {
        let mut raw = Raw::connect(endpoint, &[]).await?;
        parse(&mut raw, copy).await?;
        bind(&mut raw, &[]).await?;
        execute(&mut raw).await?;
        if copy != refused {
            raw.until(b'G').await?;
            match row {
                "" => raw.send(b'f', b"given up\0").await?,
                row => {
                    raw.send(b'd', row.as_bytes()).await?;
                    raw.send(b'c', b"").await?;
                }
            }
        }
        if end == "E" {
            raw.until(b'E').await?;
        }
        let rest = sync(&mut raw).await?;
        if kinds(&rest) != wanted || error_code(&rest).is_some() {
            return fail(format!("{copy}, {row:?}: {} at the Sync", kinds(&rest)));
        }
    }
    Ok(())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

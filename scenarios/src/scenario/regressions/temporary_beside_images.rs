//! Images of rows stand in a temporary table of raidb's own on the lead's connection: it is none of the session's, and may be
//! discarded with these. What a temporary table is filled with comes from the lead, and outlives it.

use super::support::{expect_on_all, outcome, session};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    if cluster.proxy().is_err() {
        return fail("what is refused here is not by one server (--bare)");
    }
    for statement in [
        "create table tbi(id int primary key, at timestamptz)",
        "create table tbi_log(n int)",
        "create function tbi_f() returns trigger language plpgsql as $$ begin insert into tbi_log values (new.id); \
         return null; end $$",
        "create trigger t after insert on tbi for each row execute function tbi_f()",
        "create function tbi_writes() returns int language plpgsql as $$ begin insert into own values (9); return 9; end $$",
        "create function tbi_stable() returns int language plpgsql stable as $$ begin return tbi_writes(); end $$",
    ] {
        endpoint.execute(statement).await?;
    }
    let client = session(&endpoint, "tbi").await?;
    for statement in [
        "insert into tbi values (1, now())",
        "create temp table own(i int)",
        "insert into tbi values (2, now())",
        "discard temp",
        "insert into tbi values (3, now())",
        "begin; create temp table own on commit drop as select id, random() as r from tbi; insert into tbi values (4, now()); \
         insert into tbi select id + 10, at from tbi join own using (id); declare c cursor for select * from own order by id; \
         fetch 2 from c; commit",
        "select id, at, random() as r into temp own from tbi",
        "begin; declare c cursor for select id from own order by id; fetch 1 from c; insert into tbi values (5, now()); \
         fetch 1 from c; move 1 in c; commit",
        "create table tbi_copy as select * from own",
    ] {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
    }
    for refused in ["select tbi_writes()", "select tbi_stable()"] {
        let told = outcome(&client.batch_execute(refused).await);
        if told != "0A000" {
            return fail(format!("{refused}: {told}"));
        }
    }
    let sum = "select count(*) || ' ' || sum(id) || ' ' || sum(r) from own";
    let before: String = client.query_one(sum, &[]).await?.get(0);
    let lead = cluster.lead().await?;
    cluster.members[lead].kill_9()?;
    let behind: String = client.query_one(sum, &[]).await?.get(0);
    if before != behind {
        return fail(format!("{before} has become {behind}"));
    }
    client.batch_execute("insert into tbi select id + 100, at from own where id < 4").await?;
    let alive: Vec<_> = (0..cluster.members.len()).filter(|m| *m != lead).collect();
    for member in &alive {
        let members = std::slice::from_ref(&cluster.members[*member]);
        expect_on_all(members, "select count(*) || ' ' || sum(n) from tbi_log", "11 357").await?;
        expect_on_all(members, "select count(*) from tbi_copy", "7").await?;
    }
    let name = cluster.members[lead].name().to_owned();
    cluster.members[lead].restart().await?;
    cluster.wait_for_state(&name, "enabled", std::time::Duration::from_secs(20)).await?;
    Ok(())
}

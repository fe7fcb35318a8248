//! The unnamed statement, parsed once, is bound and executed several times, also inside one pipeline.

use super::support::{bind, execute, expect_on_all, kinds, parse, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table un(id bigserial primary key, v text)").await?;
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    let expect = |answers: &[_], wanted: &str| match kinds(answers) == wanted {
        true => Ok(()),
        false => fail(format!("{} in place of {wanted}: {answers:?}", kinds(answers))),
    };
    parse(&mut raw, "insert into un(v) values ($1)").await?;
    expect(&sync(&mut raw).await?, "1Z")?;
    for value in ["a", "b"] {
        bind(&mut raw, &[value]).await?;
        execute(&mut raw).await?;
        expect(&sync(&mut raw).await?, "2CZ")?;
    }
    parse(&mut raw, "insert into un(v) values ($1) returning id").await?;
    for value in ["c", "d"] {
        bind(&mut raw, &[value]).await?;
        execute(&mut raw).await?;
    }
    expect(&sync(&mut raw).await?, "12DC2DCZ")?;
    expect_on_all(&cluster.members, "select string_agg(id || v, ' ' order by id) from un", "1a 2b 3c 4d").await
}

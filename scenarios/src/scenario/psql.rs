//! psql, interactive features included: describe, \copy, several statements, positions of errors, notices, cursors.

use std::fs;

use super::ending;
use crate::clients::psql;
use crate::cluster::{Cluster, ClusterOptions};
use crate::sql::Endpoint;
use crate::{Options, Result, Summary, fail};

const TABLE: &str = "create table item(id int primary key, name text not null, price numeric(8,2) default 0); \
    create index item_name on item(name); \
    create function doubled(i int) returns int language sql immutable as 'select i * 2'; \
    create view cheap as select * from item where price < 10";

pub(super) async fn run(options: Options) -> Result<Summary> {
    let cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    let endpoint = cluster.endpoint();
    psql(&endpoint, &["-c", TABLE]).await?.expect("CREATE VIEW")?;
    describe(&endpoint).await?;
    statements(&endpoint).await?;
    errors_and_notices(&endpoint).await?;
    copy(&cluster, &endpoint).await?;
    let rows = ending(&cluster).await?;
    Ok(Summary::default().with("rows", rows))
}

async fn describe(endpoint: &Endpoint) -> Result<()> {
    let item = psql(endpoint, &["-c", r"\d item"]).await?;
    item.expect("numeric(8,2)")?;
    item.expect("\"item_pkey\" PRIMARY KEY, btree (id)")?;
    item.expect("\"item_name\" btree (name)")?;
    psql(endpoint, &["-c", r"\d+ cheap"]).await?.expect("WHERE item.price < 10")?;
    psql(endpoint, &["-c", r"\dt"]).await?.expect("public | item | table | postgres")?;
    psql(endpoint, &["-c", r"\df doubled"]).await?.expect("integer")?;
    psql(endpoint, &["-c", r"\sf doubled"]).await?.expect("select i * 2")?;
    psql(endpoint, &["-c", r"\l"]).await?.expect(&endpoint.database)?;
    psql(endpoint, &["-c", r"\du"]).await?.expect("Superuser")?;
    psql(endpoint, &["-c", r"\conninfo"]).await?.expect(&format!("database \"{}\"", endpoint.database))
}

async fn statements(endpoint: &Endpoint) -> Result<()> {
    let several =
        "select 11; insert into item values (1, 'one', 1.5); update item set price = 2 where id = 1; select 22";
    let printed = psql(endpoint, &["-c", several]).await?;
    for part in ["11", "INSERT 0 1", "UPDATE 1", "22"] {
        printed.expect(part)?;
    }
    // The last statement fails, so the whole message is undone: one implicit transaction.
    let printed =
        psql(endpoint, &["-c", "insert into item values (2, 'two', 2); insert into item values (1, 'again', 1)"])
            .await?;
    printed.expect_error("duplicate key value violates unique constraint \"item_pkey\"", 1)?;
    psql(endpoint, &["-At", "-c", "select count(*) from item"]).await?.expect("1\n")?;
    let block = ["-c", "begin", "-c", "insert into item values (3, 'three', 3)", "-c", "rollback"];
    psql(endpoint, &block).await?.expect("ROLLBACK")?;
    psql(endpoint, &["-At", "-c", "select count(*) from item"]).await?.expect("1\n")?;
    let empty = psql(endpoint, &["-c", ";", "-c", "", "-c", "select 'after nothing'"]).await?;
    empty.expect("after nothing")?;
    // Reads through a cursor in pieces of ten.
    let pieces = "select g from generate_series(1, 35) g";
    psql(endpoint, &["-At", "-v", "FETCH_COUNT=10", "-c", pieces]).await?.expect("34\n35\n")?;
    let settings =
        ["-At", "-c", "set search_path to pg_catalog, public", "-c", "show search_path", "-c", "reset search_path"];
    psql(endpoint, &settings).await?.expect("pg_catalog, public")
}

async fn errors_and_notices(endpoint: &Endpoint) -> Result<()> {
    let unknown = psql(endpoint, &["-c", "select id,\n  nope from item"]).await?;
    unknown.expect_error("ERROR:  column \"nope\" does not exist", 1)?;
    unknown.expect_error("LINE 2:   nope from item\n          ^", 1)?;
    psql(endpoint, &["-c", "selec 1"]).await?.expect_error("syntax error at or near \"selec\"", 1)?;
    let null = psql(endpoint, &["-v", "VERBOSITY=verbose", "-c", "insert into item values (9, null)"]).await?;
    null.expect_error("23502", 1)?;
    null.expect_error("COLUMN NAME:  name", 1)?;
    let notice = psql(endpoint, &["-c", "drop table if exists nowhere", "-c", "select 1"]).await?;
    notice.expect_error("NOTICE:  table \"nowhere\" does not exist, skipping", 0)?;
    let wrong = endpoint.database("nowhere");
    psql(&wrong, &["-c", "select 1"]).await?.expect_error("database \"nowhere\" does not exist", 2)
}

async fn copy(cluster: &Cluster, endpoint: &Endpoint) -> Result<()> {
    let (from, to) = (cluster.home().join("from.csv"), cluster.home().join("to.csv"));
    let lines: String = (100..1100).map(|id| format!("{id},\"name, {id}\",{}.25\n", id % 7)).collect();
    fs::write(&from, &lines)?;
    psql(endpoint, &["-c", &format!(r"\copy item from '{}' csv", from.display())]).await?.expect("COPY 1000")?;
    let query = "select * from item where id >= 100 order by id";
    psql(endpoint, &["-c", &format!(r"\copy ({query}) to '{}' csv", to.display())]).await?.expect("COPY 1000")?;
    if fs::read_to_string(&to)? != lines {
        return fail("what \\copy wrote is not what it read");
    }
    fs::write(&from, "2000,good,1\n100,duplicate,1\n")?;
    let broken = psql(endpoint, &["-c", &format!(r"\copy item from '{}' csv", from.display())]).await?;
    broken.expect_error("duplicate key value violates unique constraint", 1)?;
    broken.expect_error("CONTEXT:  COPY item, line 2", 1)?;
    psql(endpoint, &["-At", "-c", "select count(*) from item"]).await?.expect("1001\n")
}

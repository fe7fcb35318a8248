//! What a failed statement with images has taken from sequences stays taken on followers too: an INSERT that its trigger refuses, and
//! COPY with an error in its last row. (Members are compared, sequences included, behind every case.)

use super::support::{error_code, query, session};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

const SCHEMA: &str = "create table sf_i(id serial, v int); create table sf_c(id serial primary key, v text); \
     create sequence sf_hidden; \
     create function sf_f() returns trigger language plpgsql as $$ begin perform nextval('sf_hidden'); \
       if new.v = 0 then raise exception 'no'; end if; return new; end $$; \
     create trigger sf_t before insert on sf_i for each row execute function sf_f()";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute(SCHEMA).await?;
    let client = session(&endpoint, "sf").await?;
    client.batch_execute("insert into sf_i(v) values (1), (2)").await.map_err(Failure::from)?;
    if client.batch_execute("insert into sf_i(v) values (1), (2), (0)").await.is_ok() {
        return fail("the trigger let a row through");
    }
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    for around in [("begin; savepoint a", "rollback to a; commit"), ("select 1", "select 1")] {
        let begun = query(&mut raw, around.0).await?;
        if let Some(error) = begun.iter().find(|message| message.kind == b'E') {
            return fail(format!("{}: {:?}", around.0, error.field(b'M')));
        }
        raw.query(b"copy sf_c(v) from stdin").await?;
        // Sent at once: passed over, should the COPY be refused.
        raw.send(b'd', b"a\nb\tc\n").await?;
        raw.send(b'c', b"").await?;
        let answers = raw.until(b'Z').await?;
        if error_code(&answers).as_deref() != Some("22P04") {
            return fail(format!("COPY with a column too many: {:?}", answers[0].field(b'M')));
        }
        query(&mut raw, around.1).await?;
    }
    Ok(())
}

//! A COMMIT that the lead refuses under SERIALIZABLE: detail and hint reach the client, as from one PostgreSQL.

use tokio_postgres::error::SqlState;

use super::support::expect_on_all;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let (one, two) = (endpoint.connect().await?, endpoint.connect().await?);
    one.batch_execute("create table on_call(id int primary key, on_duty bool)").await?;
    one.batch_execute("insert into on_call values (1, true), (2, true)").await?;
    for client in [&one, &two] {
        client.batch_execute("begin isolation level serializable").await?;
        client.query("select count(*) from on_call where on_duty", &[]).await?;
    }
    one.execute("update on_call set on_duty = false where id = 1", &[]).await?;
    two.execute("update on_call set on_duty = false where id = 2", &[]).await?;
    one.batch_execute("commit").await?;
    let Err(error) = two.batch_execute("commit").await else { return fail("both have committed") };
    let Some(answer) = error.as_db_error() else { return fail(format!("no answer of the server: {error}")) };
    if *answer.code() != SqlState::T_R_SERIALIZATION_FAILURE {
        return fail(format!("another error: {answer:?}"));
    }
    if answer.hint() != Some("The transaction might succeed if retried.") || answer.detail().is_none() {
        return fail(format!("detail or hint are lost: {answer:?}"));
    }
    expect_on_all(&cluster.members, "select count(*) from on_call where on_duty", "1").await
}

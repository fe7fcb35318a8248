//! Two-phase commit where `max_prepared_transactions` is 0: PostgreSQL's own errors, in all places, and nothing is prepared or left
//! open on any member. A transaction of which images were taken is told the same.

use super::support::{bind, error_code, execute, expect_on_all, kinds, parse, query, sync};
use crate::clients::{Message, Raw};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint
        .execute(
            "create table tp(id int primary key); create table tp_audit(id int); \
             create function tp_f() returns trigger language plpgsql as $$ begin insert into tp_audit values (new.id); \
             return new; end $$",
        )
        .await?;
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    for (sql, wanted) in [
        ("begin; insert into tp values (1)", "CCZ T"),
        ("prepare transaction 'x'", "EZ I 55000"),
        ("begin; insert into tp values (2); prepare transaction 'x'; select 1", "CCEZ I 55000"),
        ("insert into tp values (3); prepare transaction 'x'", "CEZ I 55000"),
        ("begin; select 1/0", "CEZ E 22012"),
        ("commit prepared 'x'", "EZ E 25P02"),
        ("prepare transaction 'x'", "CZ I"),
        ("prepare transaction 'x'", "CZ I"),
        ("begin; commit prepared 'x'", "CEZ E 25001"),
        ("rollback", "CZ I"),
        ("rollback prepared 'x'; select 1", "EZ I 25001"),
        ("rollback prepared 'x'", "EZ I 42704"),
        ("prepare transaction as select 1", "CZ I"),
        ("deallocate transaction", "CZ I"),
        ("create trigger tp_t after insert on tp for each row execute function tp_f()", "CZ I"),
        ("begin; insert into tp values (4)", "CCZ T"),
        ("prepare transaction 'x'", "EZ I 55000"),
    ] {
        expect(sql, &query(&mut raw, sql).await?, wanted)?;
    }
    expect_on_all(&cluster.members, "select count(*) from tp", "0").await?;
    for (statements, wanted) in [
        (&["begin", "insert into tp values (5)", "prepare transaction 'x'", "select 1"][..], "12C12C12EZ I 55000"),
        // No block: what came before is committed.
        (&["insert into tp values (6)", "prepare transaction 'x'"], "12C12CZ I"),
        (&["insert into tp values (7)", "commit prepared 'x'"], "12C12EZ I 25001"),
        (&["commit prepared 'x'"], "12EZ I 42704"),
        (&["prepare transaction 'x'"], "12CZ I"),
    ] {
        for sql in statements {
            parse(&mut raw, sql).await?;
            bind(&mut raw, &[]).await?;
            execute(&mut raw).await?;
        }
        expect(&statements.join(" + "), &sync(&mut raw).await?, wanted)?;
    }
    expect_on_all(&cluster.members, "select string_agg(id::text, ' ') from tp", "6").await?;
    expect_on_all(&cluster.members, "select count(*) from pg_prepared_xacts", "0").await
}

/// Kinds of the messages, the status of the transaction, and the error.
pub(super) fn expect(what: &str, answers: &[Message], wanted: &str) -> Result<()> {
    let status = answers.last().and_then(|ready| ready.body.first()).copied().unwrap_or(b'?');
    let error = error_code(answers).map(|code| format!(" {code}")).unwrap_or_default();
    let found = format!("{} {}{error}", kinds(answers), char::from(status));
    if found == wanted { Ok(()) } else { fail(format!("{what}: {found} in place of {wanted}")) }
}

//! INSERT, UPDATE, DELETE, COPY FROM.

use super::check;

#[test]
fn pgbench() {
    check(&[
        ("UPDATE pgbench_accounts SET abalance = abalance + -12 WHERE aid = 7", "keyed 1 key(0=7)"),
        ("UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2;", "keyed 1 key(0=$2)"),
        ("SELECT abalance FROM pgbench_accounts WHERE aid = $1", "read key(0=$1)"),
        (
            "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)",
            "captured Insert () tid,bid,aid,delta,mtime,filler append",
        ),
        ("INSERT INTO pgbench_history (tid, bid, aid, delta) VALUES ($1, $2, $3, $4)", "keyed 1 append"),
        ("truncate pgbench_history", "utility groups 4"),
        (
            "copy pgbench_accounts from stdin with (freeze on)",
            "copy in LOCK TABLE \"public\".\"pgbench_accounts\" IN SHARE ROW EXCLUSIVE MODE",
        ),
        ("alter table pgbench_branches add primary key (bid)", "utility ddl everything"),
        ("vacuum analyze pgbench_branches", "utility alone everything"),
    ]);
}

#[test]
fn activemq() {
    check(&[
        (
            "INSERT INTO ACTIVEMQ_MSGS(ID, MSGID_PROD, MSGID_SEQ, CONTAINER, EXPIRATION, PRIORITY, MSG, XID) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            "keyed 1 key(0=$1)",
        ),
        ("DELETE FROM ACTIVEMQ_MSGS WHERE ID=$1", "keyed 1 key(0=$1)"),
        ("UPDATE ACTIVEMQ_MSGS SET XID = NULL, ID = $1 WHERE ID = $2", "keyed 1 group 5"),
        (
            "UPDATE ACTIVEMQ_MSGS SET MSG=$1 WHERE MSGID_PROD=$2 AND MSGID_SEQ=$3",
            "captured Update (id) msg or locked group 5",
        ),
        (
            "DELETE FROM ACTIVEMQ_MSGS WHERE (PRIORITY=$1 AND ID <= (SELECT min(ACTIVEMQ_ACKS.LAST_ACKED_ID) FROM ACTIVEMQ_ACKS WHERE ACTIVEMQ_ACKS.CONTAINER=ACTIVEMQ_MSGS.CONTAINER))",
            "captured Delete (id)  or locked group 5",
        ),
        (
            "UPDATE ACTIVEMQ_ACKS SET LAST_ACKED_ID=$1 WHERE CONTAINER=$2 AND CLIENT_ID=$3 AND SUB_NAME=$4 AND PRIORITY=$5",
            "keyed 1 key(0=$2,2=$3,3=$4,6=$5)",
        ),
        (
            "UPDATE ACTIVEMQ_ACKS SET LAST_ACKED_ID=$1 WHERE CONTAINER=$2 AND CLIENT_ID=$3 AND SUB_NAME=$4",
            "captured Update (container,client_id,sub_name,priority) last_acked_id or locked group 6",
        ),
        ("INSERT INTO ACTIVEMQ_LOCK(ID) VALUES (1)", "keyed 1 key(0=1)"),
        (
            "SELECT * FROM ACTIVEMQ_LOCK FOR UPDATE",
            "lock Update group 7 => SELECT * , (\"activemq_lock\".\"id\")::pg_catalog.text AS \"raidb.captured\" |FROM ACTIVEMQ_LOCK FOR UPDATE",
        ),
        ("UPDATE ACTIVEMQ_LOCK SET TIME = $1 WHERE ID = 1", "keyed 1 key(0=1)"),
        (
            "UPDATE ACTIVEMQ_LOCK SET BROKER_NAME=$1, TIME=$2 WHERE (TIME IS NULL OR TIME < $3) AND ID = 1",
            "keyed 1 key(0=1)",
        ),
        (
            "SELECT ID, MSG FROM ACTIVEMQ_MSGS WHERE CONTAINER=$1 AND ID > $2 AND ID < $3 AND XID IS NULL ORDER BY ID",
            "read groups 5",
        ),
        ("SELECT MAX(ID) FROM ACTIVEMQ_MSGS", "read groups 5"),
    ]);
}

#[test]
fn inserts() {
    check(&[
        ("insert into parent values (1, 'a'), (2, 'b')", "keyed 2 group 10"),
        ("insert into two values (1, 'a', 3)", "keyed 1 group 21"),
        (
            "insert into doc values ('00000000-0000-0000-0000-000000000001', 'x')",
            "keyed 1 key(0=00000000-0000-0000-0000-000000000001)",
        ),
        ("insert into doc values (gen_random_uuid(), 'x')", "captured Insert () id,body,tags group 28"),
        ("insert into doc values (uuid_generate_v4(), 'x')", "captured Insert () id,body,tags group 28"),
        ("insert into doc values ($1, 'call me now')", "captured Insert () id,body,tags key(0=$1)"),
        ("insert into doc values ($1, lower('X')) returning *", "keyed 1 returning key(0=$1)"),
        ("insert into doc values ($1, pure('X'))", "captured Insert () id,body,tags key(0=$1)"),
        (
            "insert into serial(name) values ('x')",
            "captured Insert () id,name seq \"public\".\"serial_id_seq\" group 20",
        ),
        (
            "insert into serial values (default, 'x') returning id",
            "captured Insert () id,name returning seq \"public\".\"serial_id_seq\" group 20",
        ),
        ("insert into serial values (5, 'x')", "keyed 1 key(0=5)"),
        ("insert into serial(id) overriding system value values (5)", "keyed 1 key(0=5)"),
        (
            "insert into serial(id) overriding user value values (5)",
            "captured Insert () id,name seq \"public\".\"serial_id_seq\" key(0=5)",
        ),
        ("insert into serial default values", "captured Insert () id,name seq \"public\".\"serial_id_seq\" group 20"),
        (
            "insert into pgbench_branches(bid) values (nextval('serial_id_seq'))",
            "captured Insert () bid,bbalance,filler seq \"public\".\"serial_id_seq\" group 2",
        ),
        ("insert into stamped(id, f) values (1, 'x')", "captured Insert () id,at,n,f key(0=1)"),
        ("insert into stamped(id, at, f) values (1, $1, 'x')", "keyed 1 key(0=1)"),
        ("insert into stamped(id, at, f) values (1, 'now', 'x')", "captured Insert () id,at,n,f key(0=1)"),
        (
            "insert into stamped(id, at, f) values (1, 'today'::timestamptz, 'x')",
            "captured Insert () id,at,n,f key(0=1)",
        ),
        ("insert into parent select * from parent", "captured Insert () id,name or locked group 10"),
        ("insert into parent select * from parent limit 3", "captured Insert () id,name group 10"),
        (
            "insert into parent select id, lower(name) from doc on conflict do nothing",
            "captured Insert () id,name group 10",
        ),
        ("insert into parent values (1, (select name from parent))", "captured Insert () id,name or locked group 10"),
        (
            "insert into pgbench_branches as b values (1, 2) on conflict (bid) do update set bbalance = b.bbalance + excluded.bbalance",
            "keyed 1 key(0=1)",
        ),
        ("insert into pgbench_branches values (1, 2) on conflict do nothing", "keyed 1 key(0=1)"),
        (
            "insert into pgbench_branches values (1, 2), (2, 3) on conflict do nothing",
            "captured Insert () bid,bbalance,filler key(0=1) key(0=2)",
        ),
        (
            "insert into pgbench_branches values (1, 2), (2, 3) on conflict (bid) do update set bbalance = excluded.bbalance where pgbench_branches.bbalance < 5",
            "captured Upsert (bid) bbalance,filler key(0=1) key(0=2)",
        ),
        (
            "insert into two values (1, 'a', 2), (2, 'b', 3) on conflict (id) do update set id = 5",
            "captured Upsert (code) id,v group 21",
        ),
        (
            "insert into pgbench_branches values (1), (2) on conflict (bid) do update set bid = 5",
            "imaged (pgbench_branches): this INSERT … ON CONFLICT DO UPDATE…",
        ),
        ("insert into pgbench_branches values (1) on conflict (bid) do update set bid = 5", "keyed 1 group 2"),
        ("insert into pgbench_branches values (1, random())", "captured Insert () bid,bbalance,filler key(0=1)"),
        (
            "insert into pgbench_branches values (1, audit())",
            "imaged (pgbench_branches): the function audit() may write, which followers would not see",
        ),
        (
            "insert into pgbench_branches values (1, lookup(3))",
            "imaged (pgbench_branches): the function lookup() may write…",
        ),
        ("insert into pgbench_branches select 1, pg_advisory_lock(3)", "refused pg_advisory_lock() has effects…"),
        ("with x as (select 1 as a) insert into keyless select a, a from x", "captured Insert () a,b or locked append"),
        (
            "with x as (delete from parent returning id) insert into keyless select id, id from x",
            "imaged (parent,keyless): a WITH query that writes…",
        ),
        ("insert into keyless values (1, 2)", "keyed 1 append"),
        ("insert into doc values ($1, E'a\\'b\\n\\x41\\101\\u0041')", "keyed 1 key(0=$1)"),
        ("insert into doc values ($1, E'n\\x6fw')", "captured Insert () id,body,tags key(0=$1)"),
        ("insert into total (id) values (1)", "unknown relation \"total\""),
        ("insert into secured values (1, 2)", "keyed 1 key(0=1)"),
        ("insert into \"Mixed Case\" (\"Id\") values (1)", "keyed 1 key(0=1)"),
        ("insert into Public.Parent values (E'1', 'x')", "keyed 1 group 10"),
        ("insert into cascading values (1)", "keyed 1 deferred group 31"),
    ]);
}

#[test]
fn updates() {
    check(&[
        ("update parent set name = 'x' where id = 1", "keyed 1 group 10"),
        ("update parent p set name = p.name || 'x' where p.id = 1 and p.name <> 'y'", "keyed 1 group 10"),
        ("update parent as p set name = 'x' where 1 = p.id", "keyed 1 group 10"),
        ("update pgbench_branches set bbalance = 1 where (bid) = (1::int)", "keyed 1 key(0=1)"),
        ("update pgbench_branches set bbalance = 1 where bid = cast($1 as bigint)", "keyed 1 key(0=$1)"),
        ("update pgbench_branches set bbalance = 1 where bid = $1::numeric", "keyed 1 group 2"),
        ("update pgbench_branches set bbalance = $1 where bid = $1", "keyed 1 group 2"),
        (
            "update pgbench_branches set bbalance = 1 where bid = 1 or bid = 2",
            "captured Update (bid) bbalance or locked group 2",
        ),
        (
            "update pgbench_branches set bbalance = 1 where not (bid = 1)",
            "captured Update (bid) bbalance or locked group 2",
        ),
        (
            "update pgbench_branches set bbalance = 1 where bid in (1, 2)",
            "captured Update (bid) bbalance or locked group 2",
        ),
        (
            "update pgbench_branches set bbalance = 1 where bid = bbalance",
            "captured Update (bid) bbalance or locked group 2",
        ),
        (
            "update pgbench_branches set bbalance = 1 where bid = null",
            "captured Update (bid) bbalance or locked group 2",
        ),
        ("update pgbench_branches set bbalance = 1", "captured Update (bid) bbalance or locked group 2"),
        ("update pgbench_branches set bbalance = random() where bid = 1", "captured Update (bid) bbalance key(0=1)"),
        ("update pgbench_branches set (bbalance, filler) = (1, 'x') where bid = 1", "keyed 1 key(0=1)"),
        (
            "update pgbench_branches set (bbalance, filler) = (select 1, 'x') where bid = 1",
            "captured Update (bid) bbalance,filler or locked key(0=1)",
        ),
        (
            "update pgbench_branches set bbalance = 1 where bid = (select max(bid) from pgbench_tellers)",
            "captured Update (bid) bbalance or locked group 2",
        ),
        (
            "update pgbench_branches b set bbalance = t.tbalance from pgbench_tellers t where t.bid = b.bid returning b.*",
            "captured Update (bid) bbalance returning group 2",
        ),
        ("update pgbench_branches set bid = bid + 1", "imaged (pgbench_branches): this UPDATE assigns every key…"),
        ("update pgbench_branches set bid = 5 where bid = 1", "keyed 1 group 2"),
        ("update two set id = id + 1 where v > 3", "captured Update (code) id group 21"),
        ("update two set v = 1 where code = 'x'", "keyed 1 group 21"),
        (
            "update keyless set a = 1 where b = 2",
            "locked LOCK TABLE \"public\".\"keyless\" IN SHARE ROW EXCLUSIVE MODE group 30",
        ),
        ("update keyless set a = random()", "imaged (keyless): table \"keyless\" has no primary key…"),
        (
            "update keyless set a = (select count(*) from parent)",
            "locked LOCK TABLE \"public\".\"keyless\" IN SHARE ROW EXCLUSIVE MODE; LOCK TABLE \"public\".\"parent\" IN SHARE MODE group 30",
        ),
        (
            "update keyless set a = (select sum(id) from parent)",
            "imaged (keyless): table \"keyless\" has no primary key…",
        ),
        (
            "update keyless set a = (select id from parent limit 1)",
            "imaged (keyless): table \"keyless\" has no primary key…",
        ),
        ("update doc set tags[1] = 'x', body = 'y' where id = $1", "keyed 1 key(0=$1)"),
        ("update only parent * set name = 'x' where id = 1", "keyed 1 group 10"),
        ("update stamped set at = now() where id = 1", "captured Update (id) at key(0=1)"),
        ("update stamped set at = default where id = 1", "captured Update (id) at key(0=1)"),
        ("update stamped set sum = default where id = 1", "keyed 1 key(0=1)"),
        ("update stamped set f = default where id = 1", "imaged (stamped): the default of column \"f\" calls…"),
        ("update stamped set n = 1 where id = 1 and at < current_timestamp", "captured Update (id) n key(0=1)"),
        ("update stamped set at = date_trunc('day', at) where id = 1", "keyed 1 key(0=1)"),
        ("update stamped set at = f::timestamptz where id = 1", "captured Update (id) at key(0=1)"),
        ("update stamped set n = 1 where id = 1 and ctid = '(0,1)'", "captured Update (id) n key(0=1)"),
        ("update parent set name = 'x' where current of c", "imaged (parent): WHERE CURRENT OF…"),
        (
            "with x as (select 1 as a) update parent set name = 'x' from x where id = x.a",
            "captured Update (id) name group 10",
        ),
        ("update cascading set id = 2 where id = 1", "imaged (cascading): table \"cascaded\"…"),
        ("update pgbench_branches set nocolumn = 1", "unknown column \"nocolumn\""),
        (
            "update pgbench_branches set bbalance = t.total from keyless t where bid = 1",
            "imaged (pgbench_branches): the function total may write…",
        ),
    ]);
}

#[test]
fn deletes() {
    check(&[
        ("delete from child where id = 5 returning name", "keyed 1 returning group 10"),
        ("delete from pgbench_branches where (bid, bbalance) = (1, 2)", "keyed 1 key(0=1)"),
        ("delete from pgbench_branches where bid = -1", "keyed 1 key(0=-1)"),
        ("delete from pgbench_branches where bid = '5'", "keyed 1 key(0=5)"),
        ("delete from pgbench_branches where bid = 1.5", "keyed 1 key(0=1.5)"),
        ("delete from doc where body = 'x'", "captured Delete (id)  or locked group 28"),
        ("delete from only pgbench_branches", "captured Delete (bid)  or locked group 2"),
        (
            "delete from pgbench_branches b using pgbench_tellers t where t.bid = b.bid",
            "captured Delete (bid)  or locked group 2",
        ),
        (
            "delete from keyless where a = 1",
            "locked LOCK TABLE \"public\".\"keyless\" IN SHARE ROW EXCLUSIVE MODE group 30",
        ),
        (
            "delete from keyless where ctid in (select ctid from keyless limit 1)",
            "imaged (keyless): table \"keyless\" has no primary key…",
        ),
        ("delete from parent where id = (select id from view)", "captured Delete (id)  group 10"),
        ("delete from parent where id = (select id from loud_view)", "imaged (parent): \"loud_view\"…"),
        ("delete from cascading where id = 1", "imaged (cascading): table \"cascaded\"…"),
        ("delete from parent where current of c", "imaged (parent): WHERE CURRENT OF…"),
        ("delete from nosuch where id = 1", "unknown relation \"nosuch\""),
        (
            "delete from pgbench_accounts where aid = 1 and abalance = (select 1 from nosuch)",
            "unknown relation \"nosuch\"",
        ),
    ]);
}

#[test]
fn copies() {
    check(&[
        (
            "copy parent from stdin",
            "copy in LOCK TABLE \"public\".\"child\" IN SHARE ROW EXCLUSIVE MODE; LOCK TABLE \"public\".\"parent\" IN SHARE ROW EXCLUSIVE MODE",
        ),
        (
            "copy public.doc (id, body) from stdin (format binary)",
            "copy in LOCK TABLE \"public\".\"doc\" IN SHARE ROW EXCLUSIVE MODE",
        ),
        ("COPY BINARY doc FROM STDIN", "copy in LOCK TABLE \"public\".\"doc\" IN SHARE ROW EXCLUSIVE MODE"),
        ("copy serial (name) from stdin", "copy in imaged (serial): COPY leaves out column \"id\"…"),
        ("copy serial (name) from stdin (freeze)", "refused COPY with the option FREEZE…"),
        ("copy serial (name) from stdin (freeze off)", "copy in imaged (serial): COPY leaves out…"),
        ("copy doc from stdin (freeze)", "copy in LOCK TABLE…"),
        ("copy doc from stdin (default '-')", "copy in imaged (doc): COPY with the option DEFAULT"),
        ("copy serial from stdin csv header", "copy in LOCK TABLE \"public\".\"serial\" IN SHARE ROW EXCLUSIVE MODE"),
        ("copy triggered from stdin", "copy in imaged (triggered): table \"triggered\" has triggers of users"),
        ("copy triggered from stdin where lo_create(id) > 0", "refused lo_create()…"),
        ("copy ruled from stdin", "copy in imaged (ruled): table \"ruled\" has rewrite rules"),
        ("copy view from stdin", "refused \"view\" is a view"),
        ("copy unlogged from stdin", "refused table \"unlogged\" is unlogged"),
        ("copy calls from stdin", "refused table \"calls\" has a check…"),
        ("copy always from stdin", "refused table \"always\" has triggers or rules that are enabled ALWAYS…"),
        ("copy foreign_table from stdin", "refused \"foreign_table\" is a foreign table…"),
        ("copy doc from stdin where body = now()::text", "copy in imaged (doc): the WHERE of this COPY uses now()"),
        (
            "copy doc from stdin where audit(1) > 0",
            "copy in imaged (doc): the WHERE of this COPY uses the function audit()",
        ),
        ("copy doc from '/tmp/x'", "refused COPY with a file…"),
        ("copy doc to program 'cat'", "refused COPY with a file…"),
        ("copy doc to stdout", "copy out groups 28"),
        ("copy (select * from doc where id = $1) to stdout with csv", "copy out groups 28"),
        ("copy (delete from doc returning *) to stdout", "refused COPY of a statement that writes"),
        ("copy nosuch from stdin", "unknown relation \"nosuch\""),
    ]);
}

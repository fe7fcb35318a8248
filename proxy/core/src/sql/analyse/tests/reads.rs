//! Queries and row locks.

use super::check;

#[test]
fn proven() {
    check(&[
        ("select 1", "read nothing"),
        ("values (1), (2)", "read nothing"),
        ("table parent", "read groups 10"),
        ("(select 1) union (select 2)", "read nothing"),
        ("select * from parent p join child c on c.parent_id = p.id", "read groups 10"),
        ("select * from parent, doc", "read groups 10,28"),
        ("select now(), random(), gen_random_uuid()", "read nothing"),
        ("select pg_sleep(1)", "read lead nothing"),
        ("with t as (select * from doc) select * from t", "read groups 28"),
        (
            "with recursive t(n) as (values (1) union all select n + 1 from t where n < 5) select * from t",
            "read nothing",
        ),
        ("select * from doc where exists (select 1 from parent where name = doc.body)", "read groups 10,28"),
        ("select array(select id from parent)", "read groups 10"),
        ("select * from generate_series(1, 5) as g(n)", "read nothing"),
        ("select extract(year from at) from stamped", "read groups 27"),
        ("select a.* from only parent a", "read groups 10"),
        ("select * from pgbench_accounts where aid = 5 and abalance > 0", "read key(0=5)"),
        ("select * from pgbench_accounts where aid = 5 or aid = 6", "read groups 1"),
        ("select * from parent where id = 5", "read groups 10"),
        ("select * from pg_class", "read lead groups 50"),
        ("select * from pg_catalog.pg_stat_activity", "read lead groups 51"),
        ("select 'parent'::regclass", "read lead nothing"),
        ("select currval('serial_id_seq')", "read lead nothing"),
        ("select nextval('serial_id_seq')", "read lead seq \"public\".\"serial_id_seq\" nothing"),
        ("select nextval('public.\"serial_id_seq\"'::regclass)", "read lead seq \"public\".\"serial_id_seq\" nothing"),
        ("select setval('serial_id_seq', max(id)) from serial", "read lead seq \"public\".\"serial_id_seq\" groups 20"),
        ("select last_value from serial_id_seq", "read lead groups 44"),
        ("select * from materialized", "read groups 42"),
        ("select E'\\'', $$;delete$$, U&'d\\0061t' from doc", "read groups 28"),
        ("show all", "read nothing"),
        ("show transaction isolation level", "read nothing"),
        ("explain delete from parent", "read nothing"),
        ("explain (verbose, costs off) select * from parent", "read nothing"),
        ("explain analyze select * from parent", "read groups 10"),
        ("explain (analyze false) delete from parent", "read nothing"),
        ("explain execute p(1)", "read lead nothing"),
        ("declare c cursor for select * from parent", "read lead groups 10"),
        ("declare c cursor with hold for select * from parent", "read lead groups 10"),
        ("fetch 5 from c", "read lead nothing"),
        ("close c", "read lead nothing"),
        ("select a operator(pg_catalog.+) b from keyless", "read groups 30"),
        ("select a from keyless where a is distinct from b", "read groups 30"),
        ("select count(*) filter (where a > 1) from keyless", "read groups 30"),
        (
            "select sum(a) over (partition by b order by a rows between 1 preceding and current row) from keyless",
            "read groups 30",
        ),
        ("select a from keyless order by a fetch first 3 rows only", "read groups 30"),
        ("select \"V\" from \"Mixed Case\" where \"Id\" = 1", "read key(0=1)"),
    ]);
}

#[test]
fn probed() {
    check(&[
        ("select * from view", "read probe everything"),
        ("select * from foreign_table", "read probe everything"),
        ("select * from secured where id = 1", "read probe everything"),
        ("select audit()", "read probe everything"),
        ("select pure(1)", "read probe everything"),
        ("select * from audit()", "read probe everything"),
        ("select * from rows from (audit(), lookup(1)) x", "read probe everything"),
        ("select k.total from keyless k", "read probe everything"),
        ("select txid_current()", "read probe everything"),
        ("select pg_read_file('x')", "read probe lead everything"),
        ("select query_to_xml('delete from parent', true, true, '')", "read probe everything"),
        ("select delete from (select 1 as delete) x", "read probe everything"),
        ("select ~~~ from", "read probe everything"),
        ("explain select audit()", "read probe nothing"),
    ]);
}

#[test]
fn not_reads() {
    check(&[
        ("select * into x from parent", "fill x from groups…"),
        ("with x as (delete from parent returning *) select * from x", "imaged (parent): a WITH query that writes…"),
        (
            "with x as (insert into parent values (1) returning *) select * from x",
            "imaged (parent): a WITH query that writes…",
        ),
        ("select nextval('serial_id_' || 'seq')", "read probe lead everything"),
        ("select nextval('serial_id_seq'), audit()", "imaged (): nextval or setval together with…"),
        ("select nextval('nosuch')", "unknown sequence \"nosuch\""),
        ("select pg_advisory_lock(1) + 1", "refused pg_advisory_lock() has effects…"),
        ("select upper(pg_notify('a', 'b')::text)", "refused pg_notify() has effects…"),
        ("select lo_create(0)", "refused lo_create() has effects…"),
        ("select dblink_exec('x')", "refused dblink_exec() has effects…"),
        ("select set_config(name, 'x', false) from doc", "refused set_config() has effects…"),
        ("select * from nosuch", "unknown relation \"nosuch\""),
        ("select * from pg_temp.x", "unknown relation \"pg_temp.x\""),
        ("select * from t, (with t as (select 1) select * from t) x", "unknown relation \"t\""),
        ("explain analyze delete from parent", "refused EXPLAIN ANALYZE…"),
        ("explain (analyze, buffers) insert into parent values (1)", "refused EXPLAIN ANALYZE…"),
        ("declare c cursor with hold for select audit()", "refused the cursor's query…"),
        ("declare c cursor with hold for select nextval('serial_id_seq')", "refused the cursor's query…"),
        ("declare c cursor with hold for select * from loud_view", "refused the cursor's query…"),
        ("declare c cursor with hold for select * from parent for update", "refused a cursor that locks rows…"),
        ("declare c cursor for select audit()", "refused the cursor's query…"),
        ("declare c cursor for select * from parent for update", "refused a cursor that locks rows…"),
    ]);
}

#[test]
fn row_locks() {
    check(&[
        ("select * from parent where id = 1 for update", "lock same group 10"),
        ("select * from pgbench_accounts where aid = $1 for no key update", "lock same key(0=$1)"),
        (
            "select * from pgbench_accounts where aid = $1 for update skip locked",
            "lock Update key(0=$1) => select * , (\"pgbench_accounts\".\"aid\")::pg_catalog.text AS \"raidb.captured\" |from pgbench_accounts where aid = $1 for update skip locked",
        ),
        (
            "select a.bid from pgbench_accounts a where bid = 1 order by aid limit 1 for share of a nowait",
            "lock Share group 1 => select a.bid , (\"a\".\"aid\")::pg_catalog.text AS \"raidb.captured\" |from pgbench_accounts a where bid = 1 order by aid limit 1 for share of a nowait",
        ),
        (
            "select * from activemq_acks for key share",
            "lock KeyShare group 6 => select * , (\"activemq_acks\".\"container\")::pg_catalog.text AS \"raidb.captured\", (\"activemq_acks\".\"client_id\")::pg_catalog.text AS \"raidb.captured\", (\"activemq_acks\".\"sub_name\")::pg_catalog.text AS \"raidb.captured\", (\"activemq_acks\".\"priority\")::pg_catalog.text AS \"raidb.captured\" |from activemq_acks for key share",
        ),
        (
            "select from parent for update",
            "lock Update group 10 => select (\"parent\".\"id\")::pg_catalog.text AS \"raidb.captured\" |from parent for update",
        ),
        (
            "select id is distinct from 3, extract(year from now()) from parent for update",
            "lock Update group 10 => select id is distinct from 3, extract(year from now()) , (\"parent\".\"id\")::pg_catalog.text AS \"raidb.captured\" |from parent for update",
        ),
        (
            "select * from parent where id in (select parent_id from child) for update",
            "lock Update group 10 => select * , (\"parent\".\"id\")::pg_catalog.text AS \"raidb.captured\" |from parent where id in (select parent_id from child) for update",
        ),
        ("select * from parent where id = 1 and name = current_user for update", "lock Update group 10 => …"),
        ("select * from keyless for update", "refused table \"keyless\" has no primary key…"),
        ("select * from parent, child for update", "refused rows of a join…"),
        ("select * from parent p join child c on true for update of p", "refused rows of a join…"),
        ("select * from (select * from parent) x for update", "refused rows of a join…"),
        ("select * from view for update", "refused \"view\" is a view"),
        ("select * from (select * from parent for update) x", "refused rows are locked inside a subquery"),
        ("with x as (select * from parent for update) select * from x", "refused rows are locked inside a subquery"),
        ("select distinct name from parent for update", "refused rows of a join…"),
        ("select audit() from parent for update", "refused the function audit() may write"),
        ("select nextval('serial_id_seq') from parent for update", "refused nextval or setval in a locking SELECT"),
        ("lock table parent in access exclusive mode", "lock table exclusive groups 10"),
        ("lock parent in exclusive mode nowait", "lock table groups 10"),
        ("lock table only parent * in access share mode", "lock table groups 10"),
        ("lock parent nowait", "lock table exclusive groups 10"),
        ("lock parent, only doc", "lock table exclusive groups 10,28"),
        ("lock view", "lock table exclusive everything"),
    ]);
}

//! What users make around their tables: functions of every volatility, views, rules, triggers, partitions, inheritance, foreign
//! keys with actions, sequences, operators, casts, aggregates.

/// Made in each topic, behind the plain tables.
pub(super) const OBJECTS: &[&str] = &[
    "create table w(id int primary key, n int, s text)",
    "create table w_log(w_id int, op text, n int)",
    "create function w_note() returns trigger language plpgsql as $$ begin \
     if tg_op = 'DELETE' then insert into w_log values (old.id, tg_op, old.n); return old; end if; \
     insert into w_log values (new.id, tg_op, new.n); return new; end $$",
    "create trigger w_after after insert or update or delete on w for each row execute function w_note()",
    "create table b(id int primary key, n int)",
    "create function b_change() returns trigger language plpgsql as $$ begin new.n := abs(coalesce(new.n, 0)) % 50; return new; end $$",
    "create trigger b_before before insert or update on b for each row execute function b_change()",
    "create table r(id int primary key, n int)",
    "create table r_log(id int, n int)",
    "create rule r_insert as on insert to r do also insert into r_log values (new.id, new.n)",
    "create rule r_delete as on delete to r where old.n = 0 do instead nothing",
    "create table pt(id int, part int, n int, primary key (id, part)) partition by range (part)",
    "create table pt_low partition of pt for values from (0) to (10)",
    "create table pt_high partition of pt for values from (10) to (20)",
    "create table pt_rest partition of pt default",
    "create table ih(id int primary key, n int)",
    "create table ih_child(extra text, primary key (id)) inherits (ih)",
    "create table g1(id int primary key, n int)",
    "create table g2(id int primary key, g1_id int references g1 on delete cascade on update cascade, n int)",
    "create table g3(id int primary key, g2_id int references g2 on delete set null on update cascade deferrable)",
    "create table gx(id int primary key, p int references gx on delete cascade)",
    "create table gn(id int primary key, a int, b int generated always as (a * 2) stored, c text collate \"C\" default 'd')",
    "create sequence v_s",
    "create table v_n(id int default nextval('v_s') primary key, n int)",
    "create table v_i(id int generated always as identity primary key, n int, at timestamptz default now())",
    "create function f_immutable(int) returns int immutable language sql as 'select $1 * 2 + 1'",
    "create function f_stable(int) returns bigint stable language sql as 'select count(*) from k where id < $1'",
    "create function f_volatile(int) returns bigint volatile language sql as 'select count(*) from k where id > $1'",
    "create function f_write(int) returns int language plpgsql as $$ begin insert into w_log values ($1, 'call', 0); return $1; end $$",
    "create function f_behind(int) returns int stable language plpgsql as $$ begin return f_write($1 + 100); end $$",
    "create function f_set(int) returns setof k stable language sql as 'select * from k where id <= $1 order by id'",
    "create function f_row(k) returns int language plpgsql as $$ begin insert into w_log values ($1.id, 'row', 0); return $1.id; end $$",
    "create function f_many(variadic int[]) returns int language plpgsql as $$ begin \
     insert into w_log select g, 'many', 0 from unnest($1) g; return cardinality($1); end $$",
    "create function f_default(int, n int default 3) returns int immutable language sql as 'select $1 + n'",
    "create function f_dynamic(text) returns int language plpgsql as $$ declare c int; begin execute $1; get diagnostics c = row_count; return c; end $$",
    "create procedure pr(int) language plpgsql as $$ begin insert into w_log values ($1, 'pr', 0); update k set a = 3 where id = $1; end $$",
    "create view vw_plain as select id, a, b from k where a is not null",
    "create view vw_function as select id, f_stable(id) as below from k",
    "create view vw_write as select f_write(200 + g) as x from generate_series(1, 2) g",
    "create view vw_over as select x from vw_write",
    "create view vw_join as select k.id, c.note from k join c on c.k_id = k.id",
    "create function vw_instead() returns trigger language plpgsql as $$ begin insert into u values (new.id, new.note, true); return new; end $$",
    "create trigger vw_insert instead of insert on vw_join for each row execute function vw_instead()",
    "insert into w select g, g, 'w' || g from generate_series(1, 12) g",
    "insert into g1 select g, g from generate_series(1, 12) g",
    "insert into g2 select g, g % 12 + 1, g from generate_series(1, 24) g",
    "insert into g3 select g, g % 24 + 1 from generate_series(1, 12) g",
    "insert into gx select g, nullif(g / 2, 0) from generate_series(1, 20) g",
    "insert into pt select g, g, g from generate_series(1, 24) g",
    "insert into ih values (1, 1), (2, 2)",
    "insert into ih_child values (3, 3, 'c'), (4, 4, 'd')",
];

/// Behind these no cast, operator or aggregate is what its name says: made in every fourth topic, since the others are to have
/// reads that can be proven.
pub(super) const MEANINGS: &[&str] = &[
    "create function f_plus(int, int) returns int immutable language sql as 'select $1 + $2 * 10'",
    "create operator ### (leftarg = int, rightarg = int, function = f_plus)",
    "create function f_noting(int, int) returns int language plpgsql as $$ begin insert into w_log values ($1, 'op', $2); return $1; end $$",
    "create operator #!# (leftarg = int, rightarg = int, function = f_noting)",
    "create aggregate agg_sum(int) (sfunc = f_plus, stype = int, initcond = '0')",
    "create aggregate agg_write(int) (sfunc = f_noting, stype = int, initcond = '0')",
    "create type box1 as (n int)",
    "create function f_unbox(box1) returns int language plpgsql as $$ begin insert into w_log values ($1.n, 'cast', 0); return $1.n; end $$",
    "create cast (box1 as int) with function f_unbox(box1) as implicit",
    "create function f_check(int) returns boolean language plpgsql as $$ begin insert into w_log values ($1, 'check', 0); return $1 < 25; end $$",
    "create domain small as int check (f_check(value))",
];

/// A function that keeps errors to itself: what a probe says is no proof any more. Made in every fourth topic.
pub(super) const SWALLOWING: &[&str] = &[
    "create function f_swallow(int) returns int language plpgsql as $$ begin insert into w_log values ($1, 'kept', 0); return 1; \
     exception when others then return 0; end $$",
];

//! Statements on what [`super::objects`] makes. What they print is in order, and none prints a sequence's value.

use super::{Generator, Special};

impl Generator {
    /// One of all kinds.
    pub(super) fn wide(&mut self) -> String {
        match self.number(0, 20) {
            0..=3 => self.calling(),
            4..=6 => self.wide_query(),
            7..=10 => self.reaching(),
            11..=12 => self.through_foreign_keys(),
            13 => self.through_views(),
            14 => self.merging(),
            15 => self.writing_with(),
            16 => self.code(),
            17 => self.sequence(),
            18 => self.copying(),
            19 => self.naming(),
            _ => self.around(),
        }
    }

    /// Queries that call what users made.
    fn calling(&mut self) -> String {
        let (key, other, condition) = (self.key(), self.key(), self.condition());
        let plain = match self.number(0, 17) {
            0 => format!("select id, f_immutable(id), f_default(id) from k where {condition} order by id"),
            1 => format!("select id, f_stable(id) from k where {condition} order by id"),
            2 => format!("select f_volatile({key})"),
            3 => format!("select f_write({key})"),
            4 => format!("select id from k where id = {key} and f_write(id) > 0"),
            5 => format!("select f_behind({key})"),
            6 => format!("select id, a from f_set({key}) order by id"),
            7 => "select k.f_row from k where id < 4 order by 1".to_owned(),
            8 => format!("select f_many({key}, {other})"),
            9 => format!("select f_dynamic('update k set a = {key} where id = {other}')"),
            10 => "select x from vw_write order by x".to_owned(),
            11 => "select count(*) from vw_over".to_owned(),
            12 => format!("select id, below from vw_function where id < {key} order by id"),
            13 => format!("select \"f_write\"({key}), public.f_write({other})"),
            14 => format!("select coalesce((select f_write({key})), 0) union all select f_stable({other}) order by 1"),
            15 => format!("select id from k where {condition} order by f_stable(id), id"),
            16 => format!("select max(f_write(id)) filter (where id < {key}) from k"),
            _ => format!("select x from (select f_volatile({key}) as x) s, lateral (select f_immutable({other})) l"),
        };
        if self.special == Special::Meanings && self.one_in(3) {
            return self.meaning();
        }
        if self.special == Special::Swallowing && self.one_in(4) {
            return format!("select f_swallow({key})");
        }
        plain
    }

    /// Operators, casts and aggregates of users.
    fn meaning(&mut self) -> String {
        let (key, other) = (self.key(), self.key());
        match self.number(0, 8) {
            0 => format!("select {key} ### {other}"),
            1 => format!("select {key} #!# {other}"),
            2 => format!("select id, a operator(###) 2 from k where id < {key} order by id"),
            3 => "select agg_sum(id order by id) from k".to_owned(),
            4 => format!("select agg_write(id order by id) from k where id < {key}"),
            5 => format!("select row({key})::box1::int + 1"),
            6 => format!("select cast(row({key})::box1 as int)"),
            7 => format!("select {key}::small"),
            _ => format!("update k set a = {key} #!# 1 where id = {other}"),
        }
    }

    /// Queries of many shapes that call nothing.
    fn wide_query(&mut self) -> String {
        let (key, other, condition) = (self.key(), self.key(), self.condition());
        match self.number(0, 15) {
            0 => format!("select id, n from pt where part = {key} order by id"),
            1 => "select id, n from ih order by id".to_owned(),
            2 => "select id, n from only ih order by id".to_owned(),
            3 => "select id, a from vw_plain order by id".to_owned(),
            4 => "with recursive t(n) as (values (1) union all select n + 1 from t where n < 9) select sum(n) from t".to_owned(),
            5 => format!("select g1.id, count(g2.id), (select max(g3.id) from g3 join g2 y on y.id = g3.g2_id where y.g1_id = g1.id) from g1 \
                          left join g2 on g2.g1_id = g1.id where g1.id <> {key} group by g1.id order by g1.id"),
            6 => format!("select id from k where id = any (array[{key}, {other}]) union select id from w union select id from b order by 1"),
            7 => "select a, b, count(*) from u group by grouping sets ((a), (b), ()) order by 1 nulls first, 2 nulls first, 3".to_owned(),
            8 => format!("select k.id, l.n from k cross join lateral (select n from w where w.id <= k.id order by w.id desc limit 1) l where {condition} order by 1, 2"),
            9 => "select op, count(*) from w_log group by op order by op".to_owned(),
            10 => "select id, lag(n) over (order by id), sum(n) over (order by id rows 2 preceding) from w order by id".to_owned(),
            11 => format!("values ({key}, 'a'), ({other}, 'b') order by 1, 2"),
            12 => format!("select id, case when exists (select from c where k_id = k.id) then 'c' else '-' end from k where {condition} order by id"),
            13 => format!("select * from (select id, a from k where {condition}) x natural full join (select id, n from w) y order by id nulls last, a, n"),
            14 => format!("select id from k where {condition} for update"),
            _ => format!("select id, n from g1 where id = {key} for share"),
        }
    }

    /// Writes to tables with triggers, rules, partitions, children, generated columns; and with functions in them.
    fn reaching(&mut self) -> String {
        let (key, other) = (self.key(), self.key());
        let (number, condition) = (self.expression(), self.condition());
        match self.number(0, 27) {
            0 => format!("insert into w values ({key}, {number}, 'x') on conflict (id) do update set n = excluded.n"),
            1 => format!("update w set n = coalesce(n, 0) + 1 where id = {key} returning id, n"),
            2 => format!("delete from w where id = {key}"),
            3 => format!("update w set s = 's' where id in (select id from k where {condition})"),
            4 => format!("insert into b values ({key}, {number}) on conflict do nothing returning id, n"),
            5 => format!("update b set n = -{key} where id <= {other}"),
            6 => format!("insert into r values ({key} + {other} * 40, {number})"),
            7 => format!("delete from r where n = {key} or id < {other}"),
            8 => format!("insert into pt values ({key}, {other}, 1) on conflict (id, part) do update set n = pt.n + 1"),
            9 => format!("update pt set n = {number} where id = {key} and part = {other}"),
            10 => format!("update pt set part = part + 7 where id = {key}"),
            11 => format!("delete from pt where part > {key}"),
            12 => format!("update ih set n = n + 1 where id = {key} % 6"),
            13 => format!("delete from only ih where id = {key} % 6"),
            14 => format!("insert into ih_child values ({key}, 1, 'x') on conflict do nothing"),
            15 => format!(
                "insert into gn(id, a) values ({key}, {number}) on conflict (id) do update set a = {other} returning b"
            ),
            16 => format!("update gn set a = a + 1 where b > {key}"),
            17 => format!("insert into u values (f_write({key}), 'w', false)"),
            18 => format!("update k set a = f_immutable({key}) where id = {other}"),
            19 => format!("update k set a = f_stable(id) where {condition}"),
            20 => format!("delete from u where a = f_volatile({key})"),
            21 => format!(
                "insert into gn(id, a) select id, f_immutable(a) from k where {condition} on conflict do nothing"
            ),
            22 => format!("update k set b = w.s from w join b on b.id = w.id where w.id = k.id and k.id > {key}"),
            23 => format!(
                "insert into k(id, a) select id + 5, n from pt_low where id < {key} on conflict (id) do nothing"
            ),
            24 => format!("update k set (a, c) = (select n, n * 2 from w where w.id = k.id) where id = {key}"),
            25 => format!("delete from k using g1, w where g1.id = k.id and w.id = g1.id and k.id = {key}"),
            26 => format!("update only w_log set n = n + 1 where w_id = {key}"),
            _ => format!("insert into v_n(n) values ({number}), (f_write({key}))"),
        }
    }

    fn through_foreign_keys(&mut self) -> String {
        let (key, other) = (self.key() % 13, self.key() % 25);
        match self.number(0, 11) {
            0 => format!("insert into g1 values ({key}, 0) on conflict do nothing"),
            1 => format!(
                "insert into g2 values ({other}, {key}, 1) on conflict (id) do update set g1_id = excluded.g1_id"
            ),
            2 => format!("insert into g3 values ({key}, {other}) on conflict (id) do nothing"),
            3 => format!("delete from g1 where id = {key}"),
            4 => format!("update g1 set id = id + 20 where id = {key}"),
            5 => format!("update g2 set id = {other} + 30 where id = {other}"),
            6 => format!("delete from g2 where g1_id > {key}"),
            7 => format!("delete from gx where id = {other}"),
            8 => format!("insert into gx values ({other}, {key}) on conflict do nothing"),
            9 => "set constraints all deferred".to_owned(),
            10 => format!("delete from g1 where n in (select n from g1 order by n limit 1) and id <> {key}"),
            _ => format!("insert into g1 select g, g from generate_series(1, {key}) g on conflict do nothing"),
        }
    }

    fn through_views(&mut self) -> String {
        let (key, number) = (self.key(), self.expression());
        match self.number(0, 5) {
            0 => format!("update vw_plain set a = {number} where id = {key}"),
            1 => format!("insert into vw_plain(id, a, b) values ({key} + 100, {number}, 'v') on conflict do nothing"),
            2 => format!("delete from vw_plain where id = {key} + 100"),
            3 => format!("insert into vw_join values ({key}, 'through')"),
            4 => format!("update k set a = v.below from vw_function v where v.id = k.id and k.id = {key}"),
            _ => format!("insert into u select x, 'write', true from vw_write where x <> {key}"),
        }
    }

    fn merging(&mut self) -> String {
        let (key, number) = (self.key(), self.number(0, 9));
        match self.number(0, 2) {
            0 => format!(
                "merge into k using w on w.id = k.id when matched and k.a > {number} then delete \
                 when matched then update set a = w.n when not matched then insert (id, a) values (w.id, {number})"
            ),
            1 => format!(
                "merge into w using (values ({key}, 1)) as s(id, n) on s.id = w.id when matched then update set n = s.n \
                          when not matched then insert values (s.id, s.n, 'm')"
            ),
            _ => format!("merge into g1 using g2 on g1.id = g2.id and g2.id = {key} when matched then delete"),
        }
    }

    fn writing_with(&mut self) -> String {
        let (key, other) = (self.key(), self.key());
        match self.number(0, 5) {
            0 => format!(
                "with d as (delete from k where id = {key} returning id, a) insert into gn(id, a) select id, a from d on conflict do nothing"
            ),
            1 => format!(
                "with i as (insert into b values ({key}, {other}) on conflict do nothing returning id) select count(*) from i"
            ),
            2 => format!(
                "with x as (update w set n = {other} where id = {key} returning id), y as (delete from u where a = {key} returning a) \
                          select (select count(*) from x), (select count(*) from y)"
            ),
            3 => format!(
                "with x as (select id from k where id > {key} order by id limit 3) update k set a = 4 from x where x.id = k.id"
            ),
            4 => format!("with x as (select f_write({key}) as n) insert into u select n, 'cte', null from x"),
            _ => format!(
                "with x as materialized (select id, a from k) delete from u using x where x.id = {key} and x.a = u.a"
            ),
        }
    }

    fn code(&mut self) -> String {
        let (key, other) = (self.key(), self.key());
        match self.number(0, 4) {
            0 => format!("call pr({key})"),
            1 => {
                format!("do $$ begin update k set a = {key} where id = {other}; delete from w where id = {key}; end $$")
            }
            2 => format!(
                "do $$ declare r record; begin for r in select id from k order by id limit 2 loop perform f_write(r.id + {key}); end loop; end $$"
            ),
            3 => format!(
                "do $$ begin begin insert into g1 values ({key}, 0); exception when unique_violation then null; end; end $$"
            ),
            _ => format!("do $$ begin perform 1 / ({key} % 3); end $$"),
        }
    }

    /// Sequences: their values are in tables that are not compared, and never printed.
    fn sequence(&mut self) -> String {
        let (key, number) = (self.key(), self.expression());
        match self.number(0, 6) {
            0 => "select nextval('v_s') is not null".to_owned(),
            1 => format!("insert into v_n(n) values ({number})"),
            2 => format!("insert into v_n values (nextval('v_s') + 100000, {number}) on conflict do nothing"),
            3 => format!("insert into v_i(n) select n from w where id < {key}"),
            4 => format!("select setval('v_s', {key} + 1000) is not null"),
            5 => "select nextval(('v' || '_s')::regclass) is not null".to_owned(),
            _ => format!("update v_n set n = {number} where id % 7 = {key} % 7"),
        }
    }

    /// COPY; what stands behind the first line is its data.
    fn copying(&mut self) -> String {
        let (key, other, condition) = (self.key(), self.key(), self.condition());
        match self.number(0, 6) {
            0 => format!("copy (select id, a, b from k where {condition} order by id) to stdout"),
            1 => "copy (select id, f_stable(id) from k order by id) to stdout".to_owned(),
            2 => format!("copy (select f_write({key})) to stdout"),
            3 => format!("copy u from stdin\n{key}\tcopied\tt\n{other}\t\\N\tf\n"),
            4 => format!("copy pt(id, part, n) from stdin with (format csv)\n{key},{other},1\n{other},{key},2\n"),
            5 => format!("copy w from stdin\n{key}\t1\tcopied\n"),
            _ => format!("copy g2(id, g1_id, n) from stdin\n{}\t{}\t1\n", key + 60, other % 12),
        }
    }

    /// Names that mean something else than they seem to.
    fn naming(&mut self) -> String {
        let key = self.key();
        match self.number(0, 7) {
            0 => format!("with k as (select id, n from w) select count(*) from k where id < {key}"),
            1 => format!(
                "with g1 as (select 1 as id) update g2 set n = 9 from g1 where g1.id = g2.g1_id and g2.id = {key}"
            ),
            2 => format!("update k as w set a = 5 where w.id = {key}"),
            3 => format!("delete from w as k where k.id = {key}"),
            4 => "select \"k\".\"id\" from \"k\" order by \"id\" limit 2".to_owned(),
            5 => format!("select id from k update where update.id = {key}"),
            6 => "select f_write from (values (1)) as f_write(f_write)".to_owned(),
            _ => format!(
                "insert into k as \"update\" (id) values ({key}) on conflict (id) do update set a = \"update\".a + 1"
            ),
        }
    }

    /// What is done around tables.
    fn around(&mut self) -> String {
        let key = self.key();
        match self.number(0, 15) {
            0 => "truncate w_log".to_owned(),
            1 => "truncate g1 cascade".to_owned(),
            2 => "create index if not exists gn_a on gn(a)".to_owned(),
            3 => "drop index if exists gn_a".to_owned(),
            4 => "alter table gn add column if not exists x int".to_owned(),
            5 => "alter table gn drop column if exists x".to_owned(),
            6 => "comment on table k is 'a comment'".to_owned(),
            7 => "analyze k".to_owned(),
            8 => "lock table u in share row exclusive mode".to_owned(),
            9 => {
                "create or replace function f_immutable(int) returns int immutable language sql as 'select $1 * 2 + 1'"
                    .to_owned()
            }
            10 => "create or replace view vw_plain as select id, a, b from k where a is not null".to_owned(),
            11 => "create temp table temporary_one(a int)".to_owned(),
            12 => "insert into temporary_one values (1)".to_owned(),
            13 => format!("prepare p{key} as update k set a = $1 where id = $2"),
            14 => format!("execute p{key}({key}, 3)"),
            _ => format!("create table if not exists made_{key}(id int primary key)"),
        }
    }
}

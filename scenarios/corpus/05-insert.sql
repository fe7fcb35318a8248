create table t(id int primary key, a int, b text);
create table s(id int primary key, a int);
create table nokey(a int, b text);
insert into t values (1, 1, 'one');
insert into t(id, b) values (2, 'two'), (3, 'three');
insert into t(b, id) values ('four', 4) returning id, b;
insert into t values (5) returning *;
insert into t as x values (6, 6, 'six') returning x.id, x.a + 1 as more;
insert into s select id, a from t where id < 4;
insert into s select id + 10, a from t where id < 4 order by id returning *;
insert into s(id) table s;
insert into s(id, a) (select 100, 1 union all select 101, 2 order by 1);
insert into s values ((select max(id) + 1 from s), (select count(*) from t));
insert into s select g, g * g from generate_series(200, 205) g;
insert into s select id, count(*) over () from (values (300), (301)) v(id);
insert into s select t.id + 400, s.a from t left join s on s.id = t.id where t.id < 3;
select * from s order by id;
insert into nokey values (1, 'a'), (1, 'a'), (2, 'b');
insert into nokey select * from nokey;
insert into nokey select a, b from nokey limit 2;
insert into nokey values (3, 'c') returning *;
insert into nokey select id, b from t where id = 1 returning a;
select * from nokey order by a, b;
insert into t values (1, 2, 'dup');
insert into t values (7, 1, 'x'), (1, 1, 'dup');
select count(*) from t where id = 7;
insert into t values ('x', 1, 'y');
insert into t values (8, 1, 'a', 'more');
insert into t(id, id) values (8, 8);
insert into t(id, nope) values (8, 8);
insert into nowhere values (1);
insert into t(id, a) values (8, 1/0);
insert into t(a) values (1);
insert into t values (null, 1, 'x');
insert into t values (2147483648, 1, 'big');
insert into t(id, a) values (8, 2147483647 + 1);
insert into t values (8, 1, 'x') returning nope;
insert into t values (9, 1.5, 'rounded') returning a;
insert into t values (10, '11', 12) returning *;
insert into t values (11, '0x1', 'bad');
insert into t values (12, true, 'bad');
insert into t select 13, 13, 'x' where false;
insert into t select 13, 13, 'x' where true returning id;
insert into t values (14, 1, 'x'), (15, 1, 'y') returning (select count(*) from t);
insert into t values (16, 1, 'x') returning t.*, t.id::text || t.b as c;
insert into t values (17, 1, 'x') returning *, 1 as one, now() is not null as n;
insert into t(id, b) values (18, E'line\nbreak'), (19, 'tab' || chr(9)), (20, '');
select id, b from t where id between 18 and 20 order by id;
with v(id, a) as (values (30, 1), (31, 2)) insert into t select id, a, 'cte' from v returning id;
insert into t with v as (select 32 as id) select id, 1, 'inner' from v;
insert into only_nowhere default values;
insert into t values (33, 3, 'a') returning id, case when a > 2 then 'big' else 'small' end;
insert into insert.t values (34, 3, 'schema');
insert into "insert"."t" values (34, 3, 'schema');
insert into "insert"."t"("id", "a") values (35, 3);
insert into T(ID) values (36);
insert into "T"(id) values (37);
insert into t values(38,1,'x');insert into t values(39,1,'y');
insert into t values(40,1,'x');insert into t values(1,1,'y');
select count(*) from t where id = 40;
insert into t(id, a) select 41, a from s where id = 1 for update;
insert into t(id) values (42), (43), (44), (45), (46), (47), (48), (49), (50), (51), (52), (53), (54), (55), (56), (57), (58), (59);
select id, a, b from t order by id;
create table wide(id int primary key, c01 int, c02 int, c03 int, c04 int, c05 int, c06 int, c07 int, c08 int, c09 int, c10 int);
insert into wide values (1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10) returning c10, c01;
insert into wide select 2, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1;
insert into wide(id, c10) values (3, 1);
select * from wide order by id;
--! bind 60|1|param
insert into t values ($1, $2, $3);
--! bind 61|\N|param
insert into t values ($1, $2, $3) returning *;
--! bind 60|1|dup
insert into t values ($1, $2, $3);
--! bind x|1|bad
insert into t values ($1, $2, $3);
--! bind 62|63
insert into t(id) values ($1), ($2) returning id;
--! bind 3
insert into s select id + 1000, a from t where id < $1 returning id;
--! bind 7
insert into nokey values ($1, 'p');
--! bind 1
insert into t values ($1, $2);

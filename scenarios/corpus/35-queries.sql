create table emp(id int primary key, name text, dept int, salary numeric, hired date, boss int);
create table dept(id int primary key, name text);
insert into dept values (1, 'one'), (2, 'two'), (3, 'empty');
insert into emp select g, 'e' || g, case when g % 5 = 0 then null else 1 + g % 2 end, 1000 + g * 10, date '2020-01-01' + g, nullif(g / 3, 0) from generate_series(1, 15) g;
select * from emp where id = 3;
select e.name, d.name from emp e join dept d on d.id = e.dept order by e.id limit 5;
select e.name, d.name from emp e left join dept d on d.id = e.dept where e.id % 5 < 2 order by e.id;
select d.name, count(e.id) from emp e right join dept d on d.id = e.dept group by d.name order by 1;
select d.id, e.id from dept d full join emp e on e.dept = d.id and e.id < 3 where e.id is null or e.id < 4 order by 1 nulls first, 2;
select count(*) from emp cross join dept;
select count(*) from emp natural join dept;
select name from emp join dept using (id) order by emp.name;
select id from emp join lateral (select name as dn from dept where dept.id = emp.dept) x on true order by id limit 3;
select dept, count(*), sum(salary), avg(salary), min(name), max(hired) from emp group by dept order by dept nulls last;
select dept, count(*) from emp group by dept having count(*) > 3 order by 2 desc, 1;
select dept, extract(year from hired) y, count(*) from emp group by grouping sets ((dept), (y), ()) order by 1 nulls last, 2 nulls last, 3;
select dept, boss, count(*), grouping(dept, boss) from emp where id < 8 group by rollup (dept, boss) order by 1 nulls last, 2 nulls last, 4;
select dept, count(*) from emp group by cube (dept) order by 1 nulls last, 2;
select count(*) filter (where salary > 1050), count(distinct dept), bool_and(salary > 0), stddev_pop(salary), percentile_cont(0.5) within group (order by salary), mode() within group (order by dept) from emp;
select id, rank() over w, sum(salary) over w, lag(id) over w, first_value(name) over w from emp window w as (partition by dept order by id) order by id;
select id, sum(id) over (order by id rows between 1 preceding and 1 following), ntile(4) over (order by id), cume_dist() over (order by id) from emp order by id limit 6;
select distinct dept from emp order by dept;
select distinct on (dept) dept, id from emp order by dept, id desc;
select id from emp where id < 4 union select id from dept union all select 99 order by 1;
select id from emp intersect select id from dept order by 1;
select id from dept except select boss from emp order by 1;
(select id from emp order by id limit 2) union all (select id from dept order by id desc limit 1);
select id from emp where dept in (select id from dept where name = 'one') order by id;
select id from emp e where exists (select 1 from emp x where x.boss = e.id) order by id;
select id from emp where salary > all (select salary from emp where dept = 1) order by id;
select id, (select name from dept where dept.id = emp.dept) from emp where id < 4 order by id;
select * from (values (1, 'a'), (2, 'b')) v(n, s) order by n desc;
values (1, 2), (3, 4);
table dept;
select * from generate_series(1, 10, 3);
select * from generate_series(timestamp '2020-01-01', '2020-01-03', '1 day') with ordinality;
select id from emp order by salary desc, id offset 3 limit 2;
select id from emp order by id fetch first 3 rows only;
select id, dept from emp order by dept nulls first fetch first 2 rows with ties;
select id from emp order by id limit null offset 13;
select case dept when 1 then 'first' when 2 then 'second' else 'none' end, id from emp order by id limit 3;
select name like 'e1%', name ilike 'E_', name similar to 'e(1|2)', name ~ '^e[0-9]$' from emp where id < 3 order by id;
select id between 2 and 4, id not in (1, 2), id is distinct from 2, dept is null from emp where id < 6 order by id;
with recursive up(id, boss, depth) as (select id, boss, 0 from emp where id = 15 union all select e.id, e.boss, depth + 1 from emp e join up on up.boss = e.id) select * from up order by depth;
with recursive g(a, b) as (select 0, 1 union all select b, a + b from g where b < 100) select a from g;
with recursive s(n) as (select 1 union all select n + 1 from s where n < 4) search depth first by n set o select n from s order by o;
with recursive c(n) as (select 1 union all select n % 3 + 1 from c) cycle n set looped using path select n, looped from c order by path;
select string_agg(name, ', ' order by id) from emp where id < 5;
select upper(name), initcap('hello world'), lpad(id::text, 3, '0'), concat_ws('-', id, name, null), format('%s is %I: %L', id, name, name) from emp where id = 1;
select regexp_matches('a1b2', '[a-z]\d', 'g');
select split_part('a,b,c', ',', 2), translate('abc', 'ab', 'xy'), overlay('abcdef' placing 'X' from 2 for 3), strpos('abc', 'c'), ascii('a'), trim(both 'x' from 'xxaxx'), quote_literal('it''s'), quote_ident('A b'), encode('abc', 'base64'), sha256('a');
select count(*) from emp, lateral generate_series(1, emp.id) g;
select row(1, 'x', null), row(1, 2) = row(1, 2), (emp).name from emp where id = 2;
select emp from emp where id = 2;
select emp.*, dept.* from emp, dept where emp.dept = dept.id and emp.id = 1;
select id as "Quoted ""Name""", id as "ünï", 1 as "select" from emp where id = 1;
select from emp where id < 3;
select;
select 1 as a, 2 as a, 3;
select all id from only emp where id = 1;
select * from emp tablesample system (100) where id = 1;
select null, true, 'x', 1, 1.5, array[1], row(1), '{}'::json, now() is null;
select * from json_each('{"a": 1}') union all select 'z', '2'::json order by 1;
select (select count(*) from emp) + (select count(*) from dept) as total;
select nullif(dept, 1), coalesce(dept, -1), greatest(id, 5), least(id, 5) from emp order by id limit 3;
select * from emp where (dept, id) > (1, 10) order by id;
select * from rows from (generate_series(1, 2), generate_series(5, 7)) as x(a, b);
select pg_get_keywords() is not null as k limit 1;
select hashtext('a'), md5('a'), crc32c_missing('a');
select 1 as one \gset
;
--! bind 3
select name, salary from emp where id = $1;
--! bind 1|1050
select id from emp where dept = $1 and salary > $2 order by id;
--! bind e%|2
select name from emp where name like $1 order by name limit $2;
--! bind {1,2,3}
select id from emp where id = any ($1) order by id;
--! bind \N
select $1::int is null, coalesce($1, 5);
--! bind x
select $1;
--! bind 1
select $1 as a, $1 + 1 as b;

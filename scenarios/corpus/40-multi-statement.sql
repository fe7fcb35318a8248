create table t(id int primary key, a int);
insert into t values (1, 1); insert into t values (2, 2); select count(*) from t;
insert into t values (3, 3); insert into t values (1, 1); insert into t values (4, 4);
select count(*) from t;
begin; insert into t values (5, 5); savepoint s; insert into t values (1, 1);
select 1;
rollback to s; select count(*) from t; commit;
select id from t order by id;
--! differs COMMIT or ROLLBACK in an implicit transaction lacks its warning 25P01
insert into t values (6, 6); commit; insert into t values (1, 1);
select id from t where id = 6;
--! differs COMMIT or ROLLBACK in an implicit transaction lacks its warning 25P01
insert into t values (7, 7); rollback; insert into t values (8, 8);
select id from t where id in (7, 8) order by id;
begin; insert into t values (9, 9); commit; begin; insert into t values (10, 10); rollback;
select id from t where id in (9, 10);
select 1; select 2; select 3;
select 1; select nope; select 3;
create table u(i int primary key); insert into u values (1); select * from u;
create table w(i int); insert into w values ('x');
select * from w;
drop table u; create table u(j int); insert into u values (5); select j from u;
update t set a = 100 where id = 1; update t set a = a + 1 where id = 1; select a from t where id = 1;
delete from t where id = 1; insert into t values (1, 7); select a from t where id = 1;
set work_mem to '9MB'; show work_mem; reset work_mem; show work_mem;
--! differs SET LOCAL and SET TRANSACTION do not act in an implicit transaction of several statements
set local timezone to 'Asia/Tokyo'; show timezone;
show timezone;
--! differs ParameterStatus of SET LOCAL in a message whose last statement fails: PostgreSQL reports at the end only
begin; set local timezone to 'Asia/Tokyo'; select 1/0;
rollback; show timezone;
insert into t values (20, 20) returning id; update t set a = 21 where id = 20 returning a; delete from t where id = 20 returning *;
--! differs COMMIT or ROLLBACK in an implicit transaction lacks its warning 25P01
insert into t values (21, 1); select * from t where id = 21; rollback;
select count(*) from t where id = 21;
savepoint x; select 1;
begin; savepoint x; release x; rollback;
insert into t values (30, 30); begin; insert into t values (31, 31); rollback;
select id from t where id in (30, 31) order by id;
insert into t values (32, 32); begin; insert into t values (33, 33); commit; insert into t values (34, 34);
select id from t where id between 32 and 34 order by id;
begin; insert into t values (40, 40); commit; select 1/0;
select id from t where id = 40;
; ; select 1; ;
select 1;;select 2
;
create index on t(a); analyze t; select count(*) from t where a = 7;
--! differs VACUUM in a message of several statements runs in place of 25001
vacuum t; select 1;
select 1; vacuum t;
create index concurrently on t(a); select 1;
prepare p as select count(*) from t; execute p; deallocate p;
copy t to stdout; select 1;
insert into t values (50, 1); copy (select id from t where id = 50) to stdout; update t set a = 2 where id = 50;
declare c cursor for select 1; fetch c; close c;
select 'a' as x; select 'b' as y, 'c' as z;
insert into t select g, g from generate_series(60, 62) g; select max(id) from t; update t set a = 0 where id > 60;
--! differs SET LOCAL and SET TRANSACTION do not act in an implicit transaction of several statements
set transaction isolation level serializable; select 1;
begin isolation level serializable; select sum(id) from t; commit;
lock table t; select 1;
truncate t; insert into t values (1, 1); select * from t;
do $$ begin null; end $$; select 1;
notify x; select 1;
--! differs a syntax error in a later statement: the earlier ones are answered, and a warning of the proxy's own ROLLBACK comes through
selec 1; insert into t values (70, 1);
--! differs a syntax error in a later statement: the earlier ones are answered, and a warning of the proxy's own ROLLBACK comes through
insert into t values (70, 1); selec 1;
select count(*) from t where id = 70;

create table q(id int primary key, state text default 'new', n int);
create table w(id int primary key, q_id int);
create table nokey(a int);
insert into q select g, 'new', g from generate_series(1, 10) g;
insert into w values (1, 1), (2, 2);
insert into nokey values (1), (2);
begin;
select * from q where id = 1 for update;
update q set state = 'taken' where id = 1;
commit;
begin;
select id from q order by id limit 2 for update;
--! session 2
begin;
select id from q order by id limit 2 for update skip locked;
select id from q where id = 1 for update nowait;
rollback;
select id from q where id = 1 for update nowait;
select id from q where id = 1 for share skip locked;
set lock_timeout to '50ms';
update q set n = 0 where id = 1;
delete from q where id = 2;
select id from q where id = 2 for no key update;
reset lock_timeout;
--! session 1
update q set state = 'done' where id in (1, 2);
commit;
--! session 2
select id, state from q where id < 4 order by id for update;
select * from q where id = 3 for share;
select * from q where id = 3 for key share;
select * from q where id = 3 for no key update;
select q.id from q join w on w.q_id = q.id order by q.id for update of q;
select q.id from q join w on w.q_id = q.id order by q.id for update;
select q.id from q, w where w.q_id = q.id order by 1 for share of q for update of w;
select id from (select id from q where id < 3 for update) s order by id;
select a from nokey for update;
select count(*) from q for update;
select id from q where id = 999 for update;
select id from nowhere for update;
--! session 1
with next as (select id from q where state = 'new' order by id limit 1 for update skip locked) update q set state = 'run' from next where next.id = q.id returning q.id;
update q set state = 'run' where id = (select id from q where state = 'new' order by id limit 1 for update skip locked) returning id;
delete from q where id = (select id from q where state = 'run' order by id for update skip locked limit 1) returning id;
delete from q using (select id from q where state = 'done' for update skip locked) d where d.id = q.id returning q.id;
begin;
lock table q in exclusive mode;
--! session 2
begin;
lock table q in share mode nowait;
rollback;
begin;
lock q in access share mode nowait;
select count(*) from q;
rollback;
--! session 1
insert into q values (50, 'locked', 1);
commit;
lock table q;
begin;
lock table q, w in share row exclusive mode;
lock table only q in row share mode;
lock table nowhere;
rollback;
select pg_advisory_lock(1);
select pg_try_advisory_lock(1), pg_try_advisory_lock(2, 3);
--! session 2
select pg_try_advisory_lock(1), pg_try_advisory_lock(2, 3), pg_try_advisory_lock_shared(7);
select pg_advisory_unlock(1);
--! session 1
select pg_advisory_unlock(1), pg_advisory_unlock(1), pg_advisory_unlock(1);
select pg_advisory_unlock_all();
begin;
select pg_advisory_xact_lock(5);
--! session 2
select pg_try_advisory_xact_lock(5);
--! session 1
commit;
--! session 2
select pg_try_advisory_xact_lock(5);
select pg_advisory_unlock_all();
select mode, granted from pg_locks where relation = 'q'::regclass;
--! session 1
begin;
select id from q where id = 5 for update;
savepoint s;
select id from q where id = 6 for update;
rollback to s;
--! session 2
select id from q where id in (5, 6) order by id for update skip locked;
--! session 1
rollback;
--! bind 7
select id from q where id = $1 for update;
--! bind 2
select id from q where state = 'new' order by id limit $1 for update skip locked;

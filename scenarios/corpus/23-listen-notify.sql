listen a;
notify a;
notify a, 'payload';
select pg_notify('a', 'by function');
notify b, 'nobody listens';
listen "Quoted Channel";
notify "Quoted Channel", 'x';
begin;
notify a, 'in a transaction';
notify a, 'in a transaction';
notify a, 'another';
select 1;
commit;
begin;
notify a, 'never';
rollback;
select pg_listening_channels();
--! session 2
listen a;
listen b;
--! session 1
notify b, 'to the other';
notify a, 'to both';
create table t(id int primary key);
create function tell() returns trigger language plpgsql as $$ begin perform pg_notify('a', new.id::text); return new; end $$;
create trigger tell after insert on t for each row execute function tell();
insert into t values (1), (2);
--! session 2
select 1;
unlisten b;
--! session 1
notify b, 'not any more';
unlisten a;
notify a, 'only to two';
unlisten *;
select pg_listening_channels();
notify a, 'last';
select pg_notification_queue_usage();
select pg_notify(null, 'x');
select pg_notify('', 'x');
--! session 2
unlisten *;

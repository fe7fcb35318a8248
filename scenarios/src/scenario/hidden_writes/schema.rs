//! Tables with triggers, rules and functions as applications have them.

/// One statement each: the proxy sees them as a client's migration sends them.
pub(super) const STATEMENTS: &[&str] = &[
    "create table audit(id bigserial primary key, what text, who text default current_user, at timestamptz default clock_timestamp())",
    "create table account(id int primary key, balance numeric not null check (balance >= 0), updated_at timestamptz, note text)",
    "create function stamp() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$",
    "create function note_it() returns trigger language plpgsql as $$ begin
       insert into audit(what) values (tg_table_name || ' ' || tg_op || ' ' || coalesce(new::text, old::text)); return null; end $$",
    "create function no_debt() returns trigger language plpgsql as $$ begin
       if new.balance > 1000 then raise exception 'too rich' using errcode = 'P0001'; end if; return new; end $$",
    "create trigger account_stamp before insert or update on account for each row execute function stamp()",
    "create trigger account_limit before insert or update on account for each row execute function no_debt()",
    "create trigger account_audit after insert or update or delete on account for each row execute function note_it()",
    // A cascade into a table with a trigger.
    "create table line(id serial primary key, account_id int references account(id) on delete cascade on update cascade, v json)",
    "create trigger line_audit after insert or update or delete on line for each row execute function note_it()",
    // A trigger that writes to the very table that fired it, before the image of the row is taken.
    "create table chain(id int primary key, n int unique, total int)",
    "create function renumber() returns trigger language plpgsql as $$ begin
       if pg_trigger_depth() = 1 then update chain set total = total + 1 where id <> new.id; end if; return null; end $$",
    "create trigger a_renumber after insert or update on chain for each row execute function renumber()",
    "create function make_room() returns trigger language plpgsql as $$ begin
       delete from chain where n = new.n and id <> new.id; return new; end $$",
    "create trigger make_room before insert on chain for each row execute function make_room()",
    // Rules.
    "create table archive(id int, note text)",
    "create table current(id int primary key, note text)",
    "create rule keep as on delete to current do also insert into archive values (old.id, old.note)",
    "create table sink(id int primary key, note text)",
    "create view entry as select id, note from sink",
    "create rule entry_in as on insert to entry do instead insert into sink values (new.id, new.note || '!')",
    "create view plain as select id, note from sink where id > 100",
    // Functions and procedures.
    "create table counter(name text primary key, n bigint not null)",
    "create table log(at timestamptz, line text)",
    "create sequence ticket",
    "create function bump(what text) returns bigint language plpgsql as $$ declare r bigint; begin
       insert into counter values (what, 1) on conflict (name) do update set n = counter.n + 1 returning n into r;
       insert into log values (clock_timestamp(), what); perform nextval('ticket'); return r; end $$",
    "create procedure transfer(a int, b int, amount numeric) language plpgsql as $$ begin
       update account set balance = balance - amount where id = a; update account set balance = balance + amount where id = b; end $$",
    "create procedure commits() language plpgsql as $$ begin insert into log values (now(), 'x'); commit; end $$",
    "create function empties() returns void language plpgsql as $$ begin truncate log, archive; insert into log values (now(), 'first'); end $$",
    "create function makes_table() returns void language plpgsql as $$ begin create table made(a int); end $$",
    "create function makes_temp() returns void language plpgsql as $$ begin create temp table made(a int); end $$",
    "create function makes_object() returns oid language plpgsql as $$ begin perform bump('object'); return lo_create(0); end $$",
    "create function locks() returns void language plpgsql as $$ begin perform pg_advisory_xact_lock(5); perform bump('locks'); end $$",
    "create function sets() returns void language plpgsql as $$ begin perform set_config('datestyle', 'German', false); perform bump('sets'); end $$",
    // Without a key; with an identity and a generated column; with a partition.
    "create table heap(a int, b json, c text)",
    "create trigger heap_audit after insert or update or delete on heap for each row execute function note_it()",
    "create table made_up(id int generated always as identity primary key, a int, twice int generated always as (a * 2) stored,
       r real default random(), i interval, b bytea)",
    "create trigger made_up_audit after insert or update or delete on made_up for each row execute function note_it()",
    "create table part(k int, v text, primary key (k)) partition by range (k)",
    "create table part_low partition of part for values from (0) to (100)",
    "create table part_high partition of part for values from (100) to (200)",
    "create trigger part_audit after insert or update or delete on part for each row execute function note_it()",
    // A trigger that waits for COMMIT.
    "create table late(id int primary key, v int)",
    "create function late_note() returns trigger language plpgsql as $$ begin
       insert into log values (clock_timestamp(), 'late ' || new.id); return null; end $$",
    "create constraint trigger late_one after insert on late deferrable initially deferred for each row execute function late_note()",
    "insert into account select g, 100 from generate_series(1, 20) g",
    "insert into current select g, 'n' || g from generate_series(1, 9) g",
];

/// Functions that handle errors: from here on, SELECTs of functions are not tried as reads first.
pub(super) const HANDLERS: &[&str] = &[
    "create function try_twice(what text) returns text language plpgsql as $$ begin
       begin insert into log values (now(), 'taken back'); insert into counter values (what, 0); return 'new';
       exception when unique_violation then update counter set n = n + 100 where name = what; return 'old'; end; end $$",
    // It keeps it to itself if it cannot write.
    "create function quiet(what text) returns text language plpgsql as $$ begin
       insert into log values (now(), what); return 'written'; exception when others then return 'not written'; end $$",
];

"""A small application on psycopg 3: what frameworks do with it. Usage: psycopg_app.py URL. Prints OK and a count."""
import datetime
import decimal
import sys
import uuid

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

CHECKS = 0


def check(condition, what):
    """Counts a check; the first that fails ends the program."""
    global CHECKS
    CHECKS += 1
    if not condition:
        sys.exit(f"FAILED: {what}")


def types(conn):
    """Values of many types go in and come out, in text and in binary form."""
    conn.execute("create table py_types(id int primary key, t text, b bytea, n numeric, ts timestamptz, j jsonb, u uuid, a int[])")
    row = (1, "žluťoučký 🐎 '\\", bytes(range(256)), decimal.Decimal("12345.678900"),
           datetime.datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=datetime.timezone.utc),
           psycopg.types.json.Jsonb({"a": [1, None]}), uuid.UUID(int=7), [1, 2, 3])
    conn.execute("insert into py_types values (%s,%s,%s,%s,%s,%s,%s,%s)", row)
    for binary in (False, True):
        found = conn.cursor(binary=binary).execute("select * from py_types where id = %s", (1,)).fetchone()
        check(found[:5] == row[:5], f"values, binary={binary}: {found}")
        check(found[5] == {"a": [1, None]} and found[6:] == row[6:], f"json, uuid, array, binary={binary}: {found}")


def transactions(conn):
    """Commit, rollback, nested blocks (savepoints), and an error inside one."""
    conn.execute("create table py_tx(id int primary key, v int)")
    with conn.transaction():
        conn.execute("insert into py_tx values (1, 1)")
        try:
            with conn.transaction():
                conn.execute("insert into py_tx values (2, 2)")
                conn.execute("insert into py_tx values (1, 3)")
        except errors.UniqueViolation as error:
            check(error.diag.constraint_name == "py_tx_pkey", "name of the constraint")
        conn.execute("insert into py_tx values (4, 4)")
    check([r[0] for r in conn.execute("select id from py_tx order by 1")] == [1, 4], "savepoint was undone")
    try:
        with conn.transaction():
            conn.execute("delete from py_tx")
            raise KeyError("changed my mind")
    except KeyError:
        pass
    check(conn.execute("select count(*) from py_tx").fetchone()[0] == 2, "rollback")


def batches(conn):
    """executemany (pipelined), prepared statements, pipeline mode with an error inside."""
    conn.execute("create table py_batch(id int primary key, v text)")
    with conn.cursor() as cur:
        cur.executemany("insert into py_batch values (%s, %s)", [(i, f"v{i}") for i in range(200)])
        check(cur.rowcount == 200, f"executemany counts {cur.rowcount}")
    for i in range(20):
        got = conn.execute("update py_batch set v = v || 'x' where id = %s", (i,), prepare=True)
        check(got.rowcount == 1, "prepared update")
    with conn.pipeline():
        cursors = [conn.execute("select v from py_batch where id = %s", (i,)) for i in range(20)]
        conn.execute("update py_batch set v = 'piped' where id = 100")
    check([c.fetchone()[0] for c in cursors] == [f"v{i}x" for i in range(20)], "pipeline results")
    try:
        with conn.pipeline() as pipe:
            conn.execute("insert into py_batch values (1000, 'a')")
            conn.execute("insert into py_batch values (1, 'duplicate')")
            conn.execute("insert into py_batch values (1001, 'b')")
            pipe.sync()
    except errors.UniqueViolation:
        pass
    left = conn.execute("select count(*) from py_batch where id >= 1000").fetchone()[0]
    check(left == 0, f"a pipeline without BEGIN is one transaction up to its sync: {left}")


def copy(conn):
    """COPY in and out, text and binary, and one that the client gives up."""
    conn.execute("create table py_copy(id int primary key, v text)")
    with conn.cursor() as cur:
        with cur.copy("copy py_copy from stdin") as out:
            for i in range(1000):
                out.write_row((i, None if i % 10 == 0 else f"row\t{i}\n"))
        with cur.copy("copy (select id, v from py_copy order by id) to stdout") as rows:
            found = list(rows.rows())
        check(len(found) == 1000 and found[11][1] == "row\t11\n" and found[10][1] is None, "copy round trip")
        try:
            with cur.copy("copy py_copy from stdin") as out:
                out.write_row((5000, "x"))
                raise KeyError("gave up")
        except KeyError:
            pass
    check(conn.execute("select count(*) from py_copy").fetchone()[0] == 1000, "a copy that was given up left nothing")


def tokens(conn):
    """Outcome by token: named in a transaction, asked for by statements with and without a parameter."""
    conn.execute("create table py_token(id int primary key)")
    token = str(uuid.uuid4())
    with conn.transaction():
        conn.execute("set local raidb.token = %s", (token,))
        conn.execute("insert into py_token values (1)")
    for binary in (False, True):
        asked = conn.cursor(binary=binary).execute("select raidb.outcome(%s)", (token,))
        check(asked.description[0].name == "outcome", "name of the column")
        check(asked.fetchone() == ("committed",), f"outcome, binary={binary}")
    check(psycopg.ClientCursor(conn).execute("show raidb.outcome(%s)", (token,)).fetchone() == ("committed",), "show")
    told = conn.execute("select raidb.outcome(%s)", (str(uuid.uuid4()),), prepare=True).fetchone()[0]
    check(told.startswith("unknown, tokens are kept since "), f"unknown: {told}")
    try:
        conn.execute("set raidb.token = %s", (token,))
        check(False, "a token was used twice")
    except errors.DuplicateObject:
        pass


def notifications(conn, url):
    """notifies(): those of another connection, with the process id that the sender knows as its own; and its own."""
    conn.execute("listen py_news")
    with psycopg.connect(url) as other:
        other.execute("select pg_notify('py_news', %s)", ("one",))
        other.execute("notify py_news, 'two'")
        check(list(conn.notifies(timeout=0.1)) == [], "nothing is told before COMMIT")
        other.commit()
        told = list(conn.notifies(timeout=10, stop_after=2))
        check([n.payload for n in told] == ["one", "two"], f"payloads: {told}")
        check({n.pid for n in told} == {other.info.backend_pid}, f"sender: {told}")
        other.execute("select pg_notify('py_news', 'never')")
        other.rollback()
    conn.execute("notify py_news")
    own = list(conn.notifies(timeout=10, stop_after=1))
    check([(n.pid, n.payload) for n in own] == [(conn.info.backend_pid, "")], f"its own: {own}")
    conn.execute("unlisten py_news")
    conn.execute("notify py_news")
    check(list(conn.notifies(timeout=0.1)) == [], "nothing behind UNLISTEN")


def advisory_locks(conn, url):
    """Session and transaction locks by parameters of several types, binary and text."""
    with psycopg.connect(url, autocommit=True) as other:
        for key in (1, -70000, 2**40):
            for binary in (False, True):
                conn.execute("select pg_advisory_lock(%s)", (key,))
                got = other.cursor(binary=binary).execute("select pg_try_advisory_lock(%s)", (key,)).fetchone()
                check(got == (False,), f"lock {key} is held: {got}")
                check(conn.execute("select pg_advisory_unlock(%s)", (key,), binary=binary).fetchone() == (True,), "given back")
        with conn.transaction():
            conn.execute("select pg_advisory_xact_lock(%s, %s)", (1, 2))
            check(other.execute("select pg_try_advisory_lock(1, 2)").fetchone() == (False,), "lock of a transaction")
        check(other.execute("select pg_try_advisory_lock(1, 2)").fetchone() == (True,), "given back by COMMIT")


def cursors(url):
    """Server-side cursor, dict rows, notices, LISTEN's absence of harm, error positions."""
    with psycopg.connect(url, row_factory=dict_row) as conn:
        with conn.cursor(name="big") as cur:
            cur.execute("select g as n from generate_series(1, 1000) g")
            cur.itersize = 100
            check(sum(row["n"] for row in cur) == 500500, "server-side cursor")
        notices = []
        conn.add_notice_handler(lambda diag: notices.append(diag.message_primary))
        conn.execute("drop table if exists not_there")
        check(notices == ['table "not_there" does not exist, skipping'], f"notice: {notices}")
        conn.commit()
        try:
            conn.execute("select 1 from py_tx where nope = 1")
        except errors.UndefinedColumn as error:
            check(error.diag.statement_position == "27", f"position {error.diag.statement_position}")
        conn.rollback()


def main():
    """Runs everything on one connection in autocommit mode, then cursors on one that is not."""
    url = sys.argv[1]
    with psycopg.connect(url, autocommit=True) as conn:
        check(conn.info.server_version >= 150000, "server version")
        check(conn.info.parameter_status("server_encoding") == "UTF8", "parameter status")
        for part in (types, transactions, batches, copy, tokens):
            part(conn)
        notifications(conn, url)
        advisory_locks(conn, url)
    cursors(url)
    print("OK", CHECKS)


main()

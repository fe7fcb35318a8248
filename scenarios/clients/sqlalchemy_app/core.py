"""The shop by SQLAlchemy Core: expressions, upserts, bulk load, cursors, reflection, events."""

import io

from extras import Extras
from models import Base, Book, Stock
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    inspect,
    literal,
    select,
    text,
    tuple_,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateTable, DropTable
from transcript import expect_error, feature, say

STOCK = Stock.__table__


class Core:
    """The parts, on connections of one engine."""

    def __init__(self, engine):
        self.engine = engine

    def parts(self):
        """In the order in which they build on each other."""
        before = [
            self.rows,
            self.upserts,
            self.expressions,
            self.bulk_load,
            self.transactions,
            self.schema,
            self.reflection,
        ]
        return [*before, *Extras(self.engine).parts(), self.pools, self.drop]

    def rows(self):
        """executemany in its forms, RETURNING, row counts."""
        with self.engine.begin() as connection:
            done = connection.execute(
                insert(STOCK), [{"shelf": f"s{n % 7}", "item": n, "amount": n * 2} for n in range(500)]
            )
            say("executemany", done.rowcount)
            made = connection.execute(
                insert(STOCK)
                .values([{"shelf": "r", "item": n} for n in range(3)])
                .returning(STOCK.c.item, STOCK.c.amount)
            )
            say("returning", made.all())
            done = connection.execute(
                update(STOCK)
                .where(STOCK.c.shelf == bindparam("s"), STOCK.c.item == bindparam("i"))
                .values(amount=bindparam("a")),
                [{"s": "s1", "i": 1, "a": 77}, {"s": "s1", "i": 2, "a": 78}, {"s": "s3", "i": 3, "a": 79}],
            )
            say("update by keys", done.rowcount)
            done = connection.execute(update(STOCK).where(STOCK.c.shelf == "s2").values(note=func.upper(STOCK.c.shelf)))
            say("update by condition", done.rowcount)
            done = connection.execute(delete(STOCK).where(STOCK.c.item.between(400, 449)).returning(STOCK.c.item))
            say("delete returning", sorted(done.scalars()))
            expanding = (
                select(STOCK.c.item).where(STOCK.c.item.in_([1, 5, 900]), STOCK.c.shelf != "r").order_by(STOCK.c.item)
            )
            say("in", connection.scalars(expanding).all())
            pairs = (
                select(STOCK.c.amount)
                .where(tuple_(STOCK.c.shelf, STOCK.c.item).in_([("s1", 1), ("s3", 3)]))
                .order_by(STOCK.c.item)
            )
            say("tuple in", connection.scalars(pairs).all())

    def upserts(self):
        """INSERT … ON CONFLICT in both forms, one row and many, with a condition and RETURNING."""
        with self.engine.begin() as connection:
            base = insert(STOCK)
            add = base.on_conflict_do_update(
                index_elements=["shelf", "item"], set_={"amount": STOCK.c.amount + base.excluded.amount}
            )
            for _ in range(3):
                connection.execute(add, {"shelf": "up", "item": 1, "amount": 5})
            say("counter", connection.scalar(select(STOCK.c.amount).where(STOCK.c.shelf == "up")))
            many = connection.execute(
                add.returning(STOCK.c.item, STOCK.c.amount), [{"shelf": "up", "item": n, "amount": n} for n in range(4)]
            )
            say("many", sorted(map(tuple, many)))
            nothing = base.on_conflict_do_nothing().returning(STOCK.c.item)
            say("nothing", connection.execute(nothing, [{"shelf": "up", "item": n, "amount": 0} for n in (3, 4)]).all())
            where = base.on_conflict_do_update(
                index_elements=["shelf", "item"], set_={"note": "big"}, where=STOCK.c.amount > 5
            )
            say(
                "where",
                connection.execute(where, {"shelf": "up", "item": 1, "amount": 1}).rowcount,
                connection.execute(where, {"shelf": "up", "item": 0, "amount": 1}).rowcount,
            )
            named = (
                insert(Book).values(author_id=1, title="mine", version=1).on_conflict_do_nothing(constraint="book_once")
            )
            say("by constraint", connection.execute(named).rowcount)

    def expressions(self):
        """CASE, casts, VALUES, LATERAL, set operations, GROUPING SETS, subqueries in writes."""
        with self.engine.begin() as connection:
            kind = case((STOCK.c.amount > 500, "much"), else_="little")
            say("case", connection.execute(select(kind, func.count()).group_by(kind).order_by(kind)).all())
            rows = values(Column("a", Integer), Column("b", String), name="v").data([(1, "x"), (2, "y")])
            say("values", connection.execute(select(rows).order_by(rows.c.a)).all())
            lateral = select(func.max(STOCK.c.amount).label("most")).where(STOCK.c.item < rows.c.a * 10).lateral("l")
            say(
                "lateral",
                connection.execute(
                    select(rows.c.b, lateral.c.most).join(lateral, literal(True)).order_by(rows.c.b)
                ).all(),
            )
            union = select(literal("a").label("x")).union(select(literal("b"))).order_by("x")
            say("union", connection.scalars(union).all())
            cube = (
                select(STOCK.c.shelf, func.sum(STOCK.c.amount))
                .where(STOCK.c.item < 20, STOCK.c.shelf.like("s%"))
                .group_by(func.rollup(STOCK.c.shelf))
                .order_by(STOCK.c.shelf)
            )
            say("rollup", connection.execute(cube).all())
            best = select(func.max(STOCK.c.amount)).scalar_subquery()
            say(
                "update with subquery",
                connection.execute(update(STOCK).where(STOCK.c.amount == best).values(note="best")).rowcount,
            )
            other = STOCK.alias("other")
            say(
                "update from",
                connection.execute(
                    update(STOCK)
                    .where(STOCK.c.item == other.c.item, other.c.shelf == "up", STOCK.c.shelf != "up")
                    .values(note="twin")
                ).rowcount,
            )
            say(
                "delete exists",
                connection.execute(
                    delete(STOCK).where(and_(STOCK.c.shelf == "r", exists().where(other.c.note == "best")))
                ).rowcount,
            )
            say(
                "cast",
                connection.execute(select(cast("12", Integer), cast(3.7, String), func.coalesce(None, "z"))).all(),
            )
            say(
                "aggregate",
                connection.scalar(select(func.string_agg(STOCK.c.shelf.distinct(), ","))),
                connection.scalar(text("select array_agg(i order by i desc) from generate_series(1, 4) i")),
            )

    def bulk_load(self):
        """COPY by the driver's own connection, in and out, with an error in the middle; server-side cursors."""
        with self.engine.begin() as connection:
            driver = connection.connection.driver_connection
            with driver.cursor() as cursor, cursor.copy("copy stock (shelf, item, amount, note) from stdin") as copy:
                for n in range(5000):
                    copy.write_row(("copied", n, n % 100, None if n % 3 else f"tab\t{n}\\"))
        with self.engine.connect() as connection:
            say(
                "copied",
                connection.execute(
                    text("select count(*), sum(amount), count(note) from stock where shelf = 'copied'")
                ).all(),
            )
            out = io.BytesIO()
            with connection.connection.driver_connection.cursor() as cursor, cursor.copy(
                "copy (select item, note from stock where shelf = 'copied' and item < 10 order by item) to stdout (format csv, header)"
            ) as copy:
                for piece in copy:
                    out.write(piece)
            say("copied out", out.getvalue())
            streamed = connection.execution_options(stream_results=True, max_row_buffer=100).execute(
                select(STOCK.c.item).where(STOCK.c.shelf == "copied").order_by(STOCK.c.item)
            )
            say("streamed", sum(streamed.scalars()))
        for what, lines in (
            ("duplicate", b"bad\t1\t1\t\\N\nbad\t1\t1\t\\N\n"),
            ("bad value", b"bad\tx\t1\t\\N\n"),
            ("too few columns", b"bad\t1\n"),
        ):

            def load(lines=lines):
                with self.engine.begin() as connection, connection.connection.driver_connection.cursor() as cursor:
                    with cursor.copy("copy stock from stdin") as copy:
                        copy.write(lines)

            expect_error(f"copy, {what}", load)

    def transactions(self):
        """begin, begin_nested, rollback, read-only transactions, settings of one transaction."""
        with self.engine.connect() as connection:
            with connection.begin():
                connection.execute(text("update stock set note = 'outer' where shelf = 'up' and item = 1"))
                nested = connection.begin_nested()
                connection.execute(text("update stock set note = 'inner' where shelf = 'up' and item = 1"))
                nested.rollback()
                inner = connection.begin_nested()
                connection.execute(text("update stock set note = note || '+' where shelf = 'up' and item = 1"))
                inner.commit()
            say("nested", connection.execute(text("select note from stock where shelf = 'up' and item = 1")).scalar())
            connection.rollback()
            with connection.begin():
                connection.execute(text("set transaction read only"))
                expect_error("read only", lambda: connection.execute(text("delete from stock")))
        readonly = self.engine.execution_options(
            postgresql_readonly=True, isolation_level="SERIALIZABLE", postgresql_deferrable=True
        )
        with readonly.connect() as connection:
            say(
                "read-only engine",
                connection.scalar(text("show transaction_read_only")),
                connection.scalar(text("show transaction_deferrable")),
                connection.scalar(select(func.count()).select_from(STOCK)),
            )
        with self.engine.begin() as connection:
            connection.execute(text("set local search_path to pg_catalog, public; set local timezone to 'Asia/Tokyo'"))
            say(
                "settings",
                connection.scalar(text("show search_path")),
                connection.scalar(text("select '2026-01-01 00:00+00'::timestamptz::text")),
            )
        with self.engine.connect() as connection:
            say(
                "settings are gone",
                connection.scalar(text("show search_path")),
                connection.scalar(text("show timezone")),
            )

    def schema(self):
        """Tables in another schema, created and dropped by expressions; a transaction that undoes its DDL."""
        meta = MetaData(schema="depot")
        place = Table(
            "place",
            meta,
            Column("id", Integer, primary_key=True),
            Column("name", String(20), nullable=False, comment="as written"),
            comment="where things are",
        )
        Table("box", meta, Column("id", Integer, primary_key=True), Column("place_id", ForeignKey("depot.place.id")))
        with self.engine.begin() as connection:
            connection.execute(text("create schema depot"))
            meta.create_all(connection)
            connection.execute(insert(place).returning(place.c.id), [{"name": "north"}, {"name": "south"}])
        with self.engine.connect() as connection:
            connection.execute(CreateTable(Table("gone", MetaData(), Column("id", Integer, primary_key=True))))
            connection.execute(text("insert into gone values (1)"))
            connection.rollback()
            say("undone", inspect(connection).has_table("gone"))
            translated = connection.execution_options(schema_translate_map={None: "depot"})
            local = Table("place", MetaData(), Column("id", Integer), Column("name", String))
            say("translated", translated.execute(select(local.c.name).order_by(local.c.id)).scalars().all())
        with self.engine.begin() as connection:
            connection.execute(DropTable(meta.tables["depot.box"]))
            connection.execute(text("drop schema depot cascade"))

    def reflection(self):
        """All that the inspector finds of the application's tables."""
        with self.engine.connect() as connection:
            look = inspect(connection)
            say(
                "tables",
                sorted(look.get_table_names()),
                look.get_view_names(),
                sorted(look.get_sequence_names()),
                # The proxy's own schema is there for all to see.
                [name for name in look.get_schema_names() if name != "raidb"],
            )
            for table in ("author", "book", "category", "asset", "booking"):
                say(
                    f"{table} columns",
                    [
                        (c["name"], str(c["type"]), c["nullable"], c["default"], c.get("identity"), c.get("computed"))
                        for c in look.get_columns(table)
                    ],
                )
                say(
                    f"{table} keys",
                    look.get_pk_constraint(table),
                    look.get_foreign_keys(table),
                    look.get_unique_constraints(table),
                    look.get_check_constraints(table),
                )
                say(f"{table} indexes", sorted(look.get_indexes(table), key=lambda index: index["name"]))
            say("enums", look.get_enums())
            found = MetaData()
            found.reflect(connection)
            say("reflected", [table.name for table in found.sorted_tables])

    def pools(self):
        """What a pool does when a connection comes back: rollback, ping, and a statement that timed out."""
        with self.engine.connect() as connection:
            connection.execute(text("delete from stock"))
        with self.engine.connect() as connection:
            say(
                "a connection that comes back is rolled back",
                connection.scalar(select(func.count()).select_from(STOCK)) > 5000,
            )
            connection.execute(text("set statement_timeout = '50ms'"))
            expect_error("time-out", lambda: connection.execute(text("select pg_sleep(10)")))
            connection.rollback()
            connection.execute(text("reset statement_timeout"))
            connection.commit()

    def drop(self):
        """Some of it goes; the rest stays, for the comparison of the members."""
        with self.engine.begin() as connection:
            connection.execute(text("drop view totals"))
            if feature("materialized_views"):
                connection.execute(text("drop materialized view kept"))
        for name in ("booking", "category"):
            Base.metadata.tables[name].drop(self.engine)
        say("left", sorted(inspect(self.engine).get_table_names()))

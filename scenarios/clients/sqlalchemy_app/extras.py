"""What the proxy may still refuse, as an application on SQLAlchemy sends it: each behind its feature."""

from models import Stock
from sqlalchemy import Column, Integer, MetaData, Table, delete, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from transcript import feature, say

STOCK = Stock.__table__


class Extras:
    """The parts, on connections of one engine."""

    def __init__(self, engine):
        self.engine = engine

    def parts(self):
        """In the order in which they build on each other."""
        return [
            self.temporary,
            self.create_table_as,
            self.views,
            self.advisory,
            self.listen,
            self.two_phase,
            self.hold,
            self.writing_cte,
            self.procedural,
        ]

    def temporary(self):
        """A temporary table to load into, then an upsert from it."""
        if not feature("temporary_tables"):
            return
        with self.engine.begin() as connection:
            meta = MetaData()
            staged = Table(
                "staged",
                meta,
                Column("item", Integer, primary_key=True),
                Column("amount", Integer),
                prefixes=["TEMPORARY"],
                postgresql_on_commit="DROP",
            )
            meta.create_all(connection)
            connection.execute(insert(staged), [{"item": n, "amount": n} for n in range(50)])
            into = insert(STOCK).from_select(
                ["shelf", "item", "amount"], select(literal("staged"), staged.c.item, staged.c.amount)
            )
            connection.execute(into.on_conflict_do_nothing())
            say("staged", connection.scalar(select(func.count()).where(STOCK.c.shelf == "staged")))

    def create_table_as(self):
        """CREATE TABLE AS and SELECT INTO, for an archive."""
        if not feature("create_table_as"):
            return
        with self.engine.begin() as connection:
            connection.execute(text("create table archive as select * from stock where item < 10"))
            connection.execute(text("select item, amount into archive_small from stock where item < 3"))
            say(
                "archived",
                connection.scalar(text("select count(*) from archive")),
                connection.scalar(text("select count(*) from archive_small")),
            )

    def views(self):
        """A view, and a materialized one that is refreshed."""
        with self.engine.begin() as connection:
            connection.execute(
                text("create view totals as select shelf, sum(amount) as amount from stock group by shelf")
            )
            say("view", connection.execute(text("select * from totals where shelf like 's%' order by 1 limit 2")).all())
        if feature("materialized_views"):
            with self.engine.begin() as connection:
                connection.execute(
                    text("create materialized view kept as select shelf, count(*) as n from stock group by shelf")
                )
                connection.execute(text("create unique index kept_shelf on kept(shelf)"))
            with self.engine.begin() as connection:
                connection.execute(text("refresh materialized view kept"))
                say(
                    "materialized",
                    connection.execute(text("select * from kept where shelf like 's%' order by 1 limit 2")).all(),
                )

    def advisory(self):
        """The locks that migration tools take."""
        if not feature("advisory_locks"):
            return
        with self.engine.begin() as first, self.engine.begin() as second:
            first.execute(select(func.pg_advisory_xact_lock(42)))
            say(
                "advisory",
                second.scalar(select(func.pg_try_advisory_xact_lock(42))),
                second.scalar(select(func.pg_try_advisory_xact_lock(43))),
            )

    def listen(self):
        """LISTEN on one connection, NOTIFY in a transaction on another."""
        if not feature("listen"):
            return
        auto = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with auto.connect() as listening, self.engine.connect() as telling:
            listening.execute(text("listen news"))
            for action in (telling.rollback, telling.commit):
                telling.execute(text("notify news, 'first'"))
                telling.execute(select(func.pg_notify("news", "second")))
                action()
            driver = listening.connection.driver_connection
            heard = driver.notifies(timeout=10, stop_after=2)
            say("heard", [(one.channel, one.payload) for one in heard])
            listening.execute(text("unlisten *"))

    def two_phase(self):
        """PREPARE TRANSACTION as SQLAlchemy does it."""
        if not feature("two_phase"):
            return
        with self.engine.connect() as connection:
            transaction = connection.begin_twophase("scenario-1")
            connection.execute(text("insert into stock values ('two', 1, 1)"))
            transaction.prepare()
            transaction.commit()
            say("two-phase", connection.scalar(text("select count(*) from stock where shelf = 'two'")))

    def hold(self):
        """A cursor that outlives its transaction."""
        if not feature("hold_cursors"):
            return
        with self.engine.connect() as connection:
            with connection.begin():
                connection.execute(
                    text(
                        "declare kept cursor with hold for select item from stock where shelf = 'copied' order by item"
                    )
                )
            say("held", connection.execute(text("fetch 3 from kept")).all())
            connection.execute(text("close kept"))

    def writing_cte(self):
        """WITH … that writes, as Core builds it."""
        if not feature("writing_cte"):
            return
        with self.engine.begin() as connection:
            moved = delete(STOCK).where(STOCK.c.shelf == "up").returning(STOCK.c.item, STOCK.c.amount).cte("moved")
            connection.execute(
                insert(STOCK)
                .from_select(["shelf", "item", "amount"], select(literal("moved"), moved.c.item, moved.c.amount))
                .add_cte(moved)
            )
            say("moved", connection.scalar(select(func.count()).where(STOCK.c.shelf == "moved")))

    def procedural(self):
        """DO, CALL, functions that write, triggers."""
        if feature("procedural"):
            with self.engine.begin() as connection:
                connection.execute(
                    text("do $$ begin update stock set note = 'done' where shelf = 's0' and item = 0; end $$")
                )
                connection.execute(
                    text(
                        "create procedure restock(i int) language sql as 'update stock set amount = amount + 1 where item = i'"
                    )
                )
                connection.execute(text("call restock(0)"))
                connection.execute(
                    text(
                        "create function taken(i int) returns int language sql as 'update stock set amount = amount - 1 where item = i returning amount'"
                    )
                )
                say("function", connection.scalar(text("select taken(0)")))
        if feature("triggers"):
            with self.engine.begin() as connection:
                connection.execute(
                    text(
                        "create function noted() returns trigger language plpgsql as $$ begin new.note := 'by trigger'; return new; end $$"
                    )
                )
                connection.execute(
                    text("create trigger stock_noted before update on stock for each row execute function noted()")
                )
                connection.execute(text("update stock set amount = 1 where shelf = 's0' and item = 0"))
                say("trigger", connection.scalar(text("select note from stock where shelf = 's0' and item = 0")))

"""Alembic: up and down, step by step and at once, as SQL text, and the comparison of models with a database."""

import contextlib
import io
from pathlib import Path

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from models import Base
from sqlalchemy import inspect, text
from transcript import expect_error, say

VERSIONS = Path(__file__).parent / "migrations"


class Migrate:
    """The parts."""

    def __init__(self, engine):
        self.engine = engine
        self.config = Config()
        self.config.set_main_option("script_location", str(VERSIONS))
        self.config.attributes["engine"] = engine

    def parts(self):
        """In the order in which they build on each other."""
        return [self.up, self.down_and_up, self.broken, self.as_text, self.autogenerate, self.base]

    def state(self, what):
        """The version that the database has, and its tables."""
        with self.engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_heads()
            tables = sorted(inspect(connection).get_table_names())
            say(what, current, tables)

    def up(self):
        """From nothing to the newest version, step by step."""
        for script in reversed(list(ScriptDirectory.from_config(self.config).walk_revisions())):
            if script.revision != "broken":
                command.upgrade(self.config, script.revision)
                self.state(script.revision)
        with self.engine.connect() as connection:
            rows = connection.execute(
                text("select id, full_name, kind::text, score, tags, extra from customer order by id")
            ).all()
            say("customers", rows)
            say("orders", connection.execute(text("select count(*), sum(total) from purchase")).all())

    def down_and_up(self):
        """One step back and forth; then a relative step."""
        command.downgrade(self.config, "-1")
        self.state("one down")
        command.upgrade(self.config, "+1")
        self.state("one up")
        command.downgrade(self.config, "0001")
        self.state("down to the first")
        command.upgrade(self.config, "0005")
        self.state("up again")

    def broken(self):
        """A migration that fails half-way leaves nothing."""
        expect_error("broken", lambda: command.upgrade(self.config, "broken"))
        self.state("after the broken one")

    def as_text(self):
        """The same as a text that somebody else runs."""
        command.downgrade(self.config, "base")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            command.upgrade(self.config, "0003", sql=True)
        # The whole text is one message with several statements, on a connection of its own.
        url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("drop table alembic_version")
            connection.execute(printed.getvalue())
        self.state("from text")
        command.upgrade(self.config, "0005")

    def autogenerate(self):
        """What Alembic would have to do to get from this database to the models."""
        with self.engine.connect() as connection:
            found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)
            flat = [step for steps in found for step in (steps if isinstance(steps, list) else [steps])]
            say("differences", sorted({(step[0], getattr(step[1], "name", None) or str(step[1])) for step in flat}))

    def base(self):
        """All the way down."""
        command.downgrade(self.config, "base")
        self.state("base")
        command.stamp(self.config, "0002")
        self.state("stamped")
        command.stamp(self.config, "base")

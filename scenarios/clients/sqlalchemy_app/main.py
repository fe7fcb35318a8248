"""A book shop on SQLAlchemy: Alembic's migrations up and down, the mapper, Core. Usage: main.py URL. Prints a transcript."""

import sys

from core import Core
from migrate import Migrate
from orm import Orm
from sqlalchemy import create_engine
from transcript import run_parts


def main():
    """Migrations first, on an empty database."""
    url = sys.argv[1].replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, pool_size=3, pool_pre_ping=True)
    parts = [part for group in (Migrate(engine), Orm(engine), Core(engine)) for part in group.parts()]
    run_parts(*parts)
    engine.dispose()


main()

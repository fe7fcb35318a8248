"""How Alembic reaches the database: by the application's engine, or as text."""

from alembic import context
from models import Base
from sqlalchemy import text
from transcript import feature

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with context.config.attributes["engine"].connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
        with context.begin_transaction():
            if feature("advisory_locks"):
                connection.execute(text("select pg_advisory_xact_lock(7382104)"))
            context.run_migrations()

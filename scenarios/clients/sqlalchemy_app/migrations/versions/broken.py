"""A migration that fails after it has changed much."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "broken", "0005"


def upgrade():
    op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("DELETE FROM purchase WHERE total > 3")
    op.add_column("customer", sa.Column("late", sa.Integer))
    op.execute("INSERT INTO customer (full_name, mail, extra) VALUES ('again', '1@example.org', '{}')")


def downgrade():
    raise NotImplementedError

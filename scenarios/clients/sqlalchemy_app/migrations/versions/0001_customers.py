"""Customers, with an index and rows."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    table = op.create_table(
        "customer",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("mail", sa.Text, nullable=True),
        sa.Column("made", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("score", sa.String(10), server_default="1"),
    )
    op.create_index("customer_name", "customer", ["name"])
    op.bulk_insert(table, [{"name": f"customer {n}", "mail": f"{n}@example.org"} for n in range(8)])


def downgrade():
    op.drop_index("customer_name", table_name="customer")
    op.drop_table("customer")

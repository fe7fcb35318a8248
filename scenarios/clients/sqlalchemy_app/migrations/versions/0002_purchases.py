"""Purchases with a foreign key, rows made by a query, a unique and a check constraint added later."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.create_table(
        "purchase",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column(
            "customer_id", sa.Integer, sa.ForeignKey("customer.id", name="purchase_customer", ondelete="CASCADE")
        ),
        sa.Column("total", sa.Numeric(10, 2), nullable=False),
    )
    op.execute("INSERT INTO purchase (customer_id, total) SELECT id, id * 1.5 FROM customer ORDER BY id")
    op.create_unique_constraint("customer_mail", "customer", ["mail"])
    op.create_check_constraint("purchase_total", "purchase", "total >= 0")
    op.create_index("purchase_big", "purchase", [sa.text("total DESC")], postgresql_where=sa.text("total > 5"))


def downgrade():
    op.drop_constraint("customer_mail", "customer")
    op.drop_table("purchase")

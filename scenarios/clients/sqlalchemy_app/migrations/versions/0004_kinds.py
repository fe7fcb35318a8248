"""An enumeration, a column of it, a value added outside a transaction, an index built beside writers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from transcript import feature

revision, down_revision = "0004", "0003"
KIND = postgresql.ENUM("person", "company", name="customer_kind", create_type=False)


def upgrade():
    KIND.create(op.get_bind(), checkfirst=True)
    op.add_column("customer", sa.Column("kind", KIND, server_default="person", nullable=False))
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE customer_kind ADD VALUE 'club'")
        op.create_index(
            "customer_kind_name", "customer", ["kind", "full_name"], postgresql_concurrently=feature("concurrently")
        )
    op.execute("UPDATE customer SET kind = 'club' WHERE id % 4 = 0")


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("customer_kind_name", table_name="customer", postgresql_concurrently=feature("concurrently"))
    op.drop_column("customer", "kind")
    KIND.drop(op.get_bind(), checkfirst=True)

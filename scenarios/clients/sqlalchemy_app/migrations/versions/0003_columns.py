"""Columns added, renamed, retyped with USING, filled and then made NOT NULL."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision, down_revision = "0003", "0002"


def upgrade():
    op.alter_column("customer", "name", new_column_name="full_name")
    op.alter_column("customer", "score", server_default=None)
    op.alter_column("customer", "score", type_=sa.Integer, postgresql_using="score::integer")
    op.add_column("customer", sa.Column("tags", postgresql.ARRAY(sa.Text), server_default="{}", nullable=False))
    op.add_column("customer", sa.Column("extra", postgresql.JSONB, nullable=True))
    op.execute("UPDATE customer SET extra = jsonb_build_object('id', id), tags = ARRAY['old', full_name]")
    op.alter_column("customer", "extra", nullable=False)
    op.create_table_comment("customer", "who buys")


def downgrade():
    op.drop_table_comment("customer")
    op.drop_column("customer", "extra")
    op.drop_column("customer", "tags")
    op.alter_column("customer", "score", type_=sa.String(10), postgresql_using="score::varchar", server_default="1")
    op.alter_column("customer", "full_name", new_column_name="name")

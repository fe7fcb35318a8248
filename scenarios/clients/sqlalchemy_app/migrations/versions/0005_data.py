"""Rows moved by Python code between tables; a view; a sequence; a table renamed and back; grants and a function."""

import sqlalchemy as sa
from alembic import op
from transcript import feature

revision, down_revision = "0005", "0004"


def upgrade():
    bind = op.get_bind()
    op.create_table(
        "mailbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("address", sa.Text, unique=True),
        sa.Column("customer_id", sa.Integer),
    )
    mailbox = sa.table("mailbox", sa.column("address"), sa.column("customer_id"))
    found = bind.execute(sa.text("SELECT id, mail FROM customer ORDER BY id")).all()
    bind.execute(mailbox.insert(), [{"address": row.mail, "customer_id": row.id} for row in found])
    op.execute("DELETE FROM mailbox m USING customer c WHERE c.id = m.customer_id AND c.kind = 'club'")
    op.create_foreign_key("mailbox_customer", "mailbox", "customer", ["customer_id"], ["id"], ondelete="CASCADE")
    op.execute(
        "CREATE VIEW big AS SELECT c.full_name, p.total FROM customer c JOIN purchase p ON p.customer_id = c.id WHERE p.total > 5"
    )
    op.execute("CREATE SEQUENCE bill_numbers START 5000")
    op.execute("SELECT setval('purchase_id_seq', 500)")
    op.rename_table("mailbox", "box")
    op.rename_table("box", "mailbox")
    op.execute("CREATE FUNCTION doubled(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 2'")
    op.execute("GRANT SELECT ON customer TO PUBLIC")
    if feature("procedural"):
        op.execute(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_class WHERE relname = 'by_do') THEN CREATE TABLE by_do(id int primary key); END IF; END $$"
        )


def downgrade():
    if feature("procedural"):
        op.execute("DROP TABLE by_do")
    op.execute("REVOKE SELECT ON customer FROM PUBLIC")
    op.execute("DROP FUNCTION doubled(int)")
    op.execute("DROP SEQUENCE bill_numbers")
    op.execute("DROP VIEW big")
    op.drop_table("mailbox")

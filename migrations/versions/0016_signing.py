"""Keys of signed URLs, and versions whose SHA-256 is to be computed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "signing_key",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("secret", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_signing_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "checksum_due",
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("node_id", "seq", name="pk_checksum_due"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("there is no way back but the copy that was kept before the migration")

"""How long the past is kept: which states of a tree can be opened, and versions that somebody has named."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tree", sa.Column("retention", sa.Text()))
    op.add_column("tree", sa.Column("kept_since", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tree", sa.Column("forgotten", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tree", sa.Column("expiring", sa.SmallInteger(), nullable=False, server_default="0"))
    op.create_table(
        "kept",
        sa.Column("tree_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("tree_id", "seq", name="pk_kept"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "named_version",
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("named_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "seq", name="pk_named_version"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("there is no way back but the copy that was kept before the migration")

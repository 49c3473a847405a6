"""How long the past of single folders is kept, and how the bytes of each user change over time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "folder_rule",
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tree_id", sa.BigInteger(), nullable=False),
        sa.Column("retention", sa.Text(), nullable=True),
        sa.Column("kept_since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_folder_rule"),
    )
    op.create_index("ix_folder_rule_tree_id", "folder_rule", ["tree_id"])
    op.create_table(
        "folder_kept",
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "seq", name="pk_folder_kept"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_point",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("logical", sa.BigInteger(), nullable=False),
        sa.Column("alone", sa.BigInteger(), nullable=False),
        sa.Column("shared", sa.BigInteger(), nullable=False),
        sa.Column("history", sa.BigInteger(), nullable=False),
        sa.Column("trash", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "at", name="pk_usage_point"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("there is no way back but the copy that was kept before the migration")

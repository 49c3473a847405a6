"""What prune needs: packs that are dropped before their blobs go, and reasons to look for garbage.

Two indexes go that only purging a user asked for: each PUT paid for one of them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pack", sa.Column("dropped_at", sa.BigInteger(), nullable=True))
    dropped = sa.text("dropped_at IS NOT NULL")
    op.create_index("ix_pack_dropped", "pack", ["id"], sqlite_where=dropped, postgresql_where=dropped)

    op.drop_index("ix_node_tree", "node")
    op.drop_index("ix_placement_tree", "placement")

    garbage = op.create_table(
        "garbage",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("writer_id", sa.BigInteger(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_garbage"),
        sqlite_autoincrement=True,
    )
    # Uploads that broke off and trees that were purged before this revision left no row.
    store = sa.table("store", sa.column("prune_epoch", sa.BigInteger()))
    op.get_bind().execute(garbage.insert().from_select(["epoch"], sa.select(store.c.prune_epoch)))


def downgrade() -> None:
    raise NotImplementedError("there is no way back but the copy that was kept before the migration")

"""Fewer bytes for the same: tables that are their own index, and no columns and indexes that tell nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Their keys are no row numbers, so SQLite kept each beside its table once more.
_OWN_INDEX = ("data_key", "scrub", "trash", "folder_rule", "lock", "lease", "job")


def upgrade() -> None:
    op.drop_index("ix_lock_node_id", "lock")
    # Who had no user was the system.
    op.execute(sa.text("ALTER TABLE journal DROP COLUMN principal"))
    if op.get_bind().dialect.name == "sqlite":
        for name in _OWN_INDEX:
            with op.batch_alter_table(name, recreate="always", table_kwargs={"sqlite_with_rowid": False}):
                pass


def downgrade() -> None:
    raise NotImplementedError("there is no way back but the copy that was kept before the migration")

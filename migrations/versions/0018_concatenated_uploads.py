"""Of each upload, what its client noted about it, and whether it becomes a file, part of one, or was made of parts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("metadata", "concat"):
        op.add_column("upload", sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    raise NotImplementedError("there is no way back but the copy that was kept before the migration")

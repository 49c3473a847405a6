"""Of each writer, how much of the blobs' moves it has heard of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("generation", "opened"):
        op.add_column("writer", sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("1")))


def downgrade() -> None:
    raise NotImplementedError("there is no way back but the copy that was kept before the migration")

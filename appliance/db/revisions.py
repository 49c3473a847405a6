"""The revisions of the schema, known by the names of their files: most starts have nothing to migrate, and do not load
what would do it (``appliance.db.migrate``).
"""

from __future__ import annotations

from pathlib import Path

import migrations
from appliance.db.database import Database
from appliance.db.failing import if_there
from appliance.db.sql import Session, Sql
from appliance.errors import SchemaTooNew

SCRIPTS = Path(migrations.__file__).parent
"""Alembic's folder; a file of ``versions`` is named NNNN_verb_noun.py, NNNN being its revision."""

_REVISION = Sql("SELECT version_num FROM alembic_version")


def known() -> list[str]:
    """All that this program has, the oldest first."""
    return sorted(path.name.partition("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*.py"))


def head() -> str:
    """The revision that this program needs."""
    return known()[-1]


def require_known(revision: str) -> None:
    """Raises:
    SchemaTooNew: this program has no such revision.
    """
    if revision not in known():
        raise SchemaTooNew(revision=revision)


def revision_of(database: Database) -> str | None:
    """The database's revision; None for an empty one.

    Raises:
        SchemaTooNew: this program does not know it.
    """

    def found(session: Session) -> str | None:
        row = session.row(_REVISION)
        return None if row is None else str(row[0])

    revision = if_there(database, found)
    if revision is not None:
        require_known(revision)
    return revision

"""Sums over the whole store that take long to compute: a job keeps them, so that pages and metrics need not.

They are for people. What decides anything (quotas, prune) never asks them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from appliance.accounts import usage
from appliance.accounts.usage import Kept
from appliance.db.database import Database
from appliance.db.sql import Session, Sql

EVERY_S = 300
"""How often the job looks whether anything changed."""

NAME = "measure"
"""Of the job; its last run is when the sums held."""


class Measured(NamedTuple):
    """``stored_bytes`` of all blobs and small content; what users keep besides their files, by user id."""

    stored_bytes: int
    kept: dict[int, Kept]


_CLEAR = Sql("DELETE FROM measure")
_INSERT = Sql("INSERT INTO measure (name, user_id, bytes) VALUES (:name, :user_id, :bytes)")
_LAST = Sql("SELECT name, user_id, bytes FROM measure")
_PACKS = Sql("SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM pack")
_SMALL = Sql("SELECT CAST(COALESCE(SUM(LENGTH(data)), 0) AS BIGINT) FROM small")
_SMALL_ROWS = Sql("SELECT COUNT(*), COALESCE(MAX(id), 0) FROM small")
_TREES = Sql("SELECT COUNT(*), COALESCE(MAX(id), 0), CAST(COALESCE(SUM(seq), 0) AS BIGINT) FROM tree")


class Measuring:
    """The job: measures when something may have changed since it did the last time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: Any = None

    def __call__(self) -> str:
        """What was done, in words."""
        with self._database.snapshot() as session:
            now = [session.row(sql) for sql in (_TREES, _PACKS, _SMALL_ROWS)]
        if now == self._seen:
            return "nothing changed"
        measured = measure(self._database)
        self._seen = now
        return f"stored {measured.stored_bytes} bytes"


def measure(database: Database) -> Measured:
    """Compute the sums, and keep them in place of the last ones. Reads every version's row."""
    kept = usage.kept(database)
    with database.read() as session:
        packs = session.row(_PACKS)
        assert packs is not None
        stored = packs[1] + session.value(_SMALL)
    rows = [{"name": "stored", "user_id": 0, "bytes": stored}]
    for user_id, each in kept.items():
        rows.append({"name": "trash", "user_id": user_id, "bytes": each.trash_bytes})
        rows.append({"name": "history", "user_id": user_id, "bytes": each.history_bytes})

    def replace(session: Session) -> None:
        session.run(_CLEAR)
        session.run_many(_INSERT, rows)

    database.write(replace)
    return Measured(stored, kept)


def last(database: Database) -> Measured | None:
    """What was measured last; None if nothing ever was."""
    with database.read() as session:
        found: dict[tuple[str, int], int] = {(name, user_id): size for name, user_id, size in session.rows(_LAST)}
    if not found:
        return None
    users = {user_id for _, user_id in found if user_id}
    kept = {user: Kept(found.get(("trash", user), 0), found.get(("history", user), 0)) for user in users}
    return Measured(found.get(("stored", 0), 0), kept)

"""Reasons to look for garbage: chunks, segments and small content that no manifest names.

What no manifest names can only be found by reading all manifests, so it is looked for only where there is a reason.
Whoever may leave something behind says so beforehand, in the transaction that makes it possible: an upload with the
first rows that it commits ahead of its manifest, and whatever deletes manifests together with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from appliance.chunks.writers import Write
from appliance.db.database import Database, Work
from appliance.db.sql import Session, Sql

T = TypeVar("T")

_BEGIN = Sql("INSERT INTO garbage (writer_id, epoch) VALUES (:writer_id, :epoch) RETURNING id")
_CLEAR = Sql("DELETE FROM garbage WHERE id IN (:ids*)")
# The epoch is read after the manifests are gone: nothing that they named is wanted in a later one.
_LEAVE = Sql("INSERT INTO garbage (epoch) SELECT prune_epoch FROM store WHERE id = 1")
# Older than any epoch.
_LOOK = Sql("INSERT INTO garbage (epoch) SELECT -1 WHERE NOT EXISTS (SELECT 1 FROM garbage WHERE epoch = -1)")
_LEFT = Sql("SELECT 1 FROM garbage WHERE writer_id IS NULL AND epoch >= 0 LIMIT 1")
_ANY = Sql("SELECT 1 FROM garbage LIMIT 1")
_RAISE = Sql("""
    UPDATE store SET prune_epoch = prune_epoch + 1 WHERE id = 1 AND prune_epoch <= (SELECT MAX(epoch) FROM garbage)
""")
# A writer keeps the epoch of its oldest unfinished write. Once it is past an upload's, that upload has ended; had it
# come to its manifest, the row would be gone.
_REASONS = Sql("""
    SELECT g.id, g.epoch
    FROM garbage g LEFT JOIN writer w ON w.id = g.writer_id AND w.state = 'alive' AND w.epoch <= g.epoch
    WHERE w.id IS NULL ORDER BY g.id LIMIT 10000
""")

_UNRIPE = Sql("SELECT 1 FROM garbage g JOIN writer w ON w.state = 'alive' AND w.epoch <= g.epoch LIMIT 1")


class Reason(NamedTuple):
    """What it speaks of is wanted in this epoch at most."""

    id: int
    epoch: int


class Ahead:
    """What a write commits ahead of its manifest; found by its rows if the write does not come to its end."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._ids: list[int] = []

    def commit(self, database: Database, work: Work[T]) -> T:
        """Run ``work`` in a transaction of its own; whoever looks for garbage knows of it from then on. Any thread."""
        if self._ids:
            return database.write(work)

        def noted(session: Session) -> tuple[int, T]:
            row_id: int = session.value(_BEGIN, writer_id=self._write.writer_id, epoch=self._write.epoch)
            return row_id, work(session)

        row_id, result = database.write(noted)
        self._ids.append(row_id)
        return result

    def end(self, session: Session) -> None:
        """The manifest is written in this transaction: nothing is left behind."""
        session.run_by(_CLEAR, self._ids)


def leave(session: Session) -> None:
    """Manifests were deleted in this transaction. Call it behind that."""
    session.run(_LEAVE)


def look(session: Session) -> None:
    """Packs may be empty, or mostly: a reason to look that nobody's epoch holds up."""
    session.run(_LOOK)


def was_left(session: Session) -> bool:
    """Whether manifests were deleted; else all that no manifest names is of uploads that broke off."""
    return session.row(_LEFT) is not None


def exists(session: Session) -> bool:
    """Whether anything may be, or become, a reason."""
    return session.row(_ANY) is not None


def raise_epoch(session: Session) -> None:
    """Begin an epoch that none of the rows is of, so that writers come to be past theirs."""
    session.run(_RAISE)


def reasons(session: Session) -> list[Reason]:
    """Those that no unfinished upload stands behind, the first of them."""
    return [Reason._make(row) for row in session.rows(_REASONS)]


def is_ripe(session: Session) -> bool:
    """Whether living writers are past all of them, or there are none."""
    return session.row(_UNRIPE) is None


def clear(session: Session, done: Sequence[Reason]) -> None:
    """What these speak of was looked for."""
    session.run_by(_CLEAR, [reason.id for reason in done])

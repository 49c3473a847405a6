"""Sums over the whole store that take long to compute: a job keeps them, so that pages and metrics need not.

They are for people. What decides anything (quotas, prune) never asks them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from appliance import clock
from appliance.accounts.usage import Kept
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.upkeep import usage
from appliance.upkeep.turn import Turn
from appliance.upkeep.usage import Disk, OfAll, Stored

EVERY_S = 300
"""How often the job looks whether anything changed."""

NAME = "measure"
"""Of the job."""

_REST = 10
_HOUR = 3600 * clock.SECOND
_HOURLY_FOR = 14 * clock.DAY


class Measured(NamedTuple):
    """``stored_bytes`` of all blobs and small content, and what they are for; what users keep besides their files, by
    user id; ``at`` what time it was so.
    """

    stored_bytes: int
    kept: dict[int, Kept]
    disk: Disk
    at: int


class Point(NamedTuple):
    """What somebody had at a time: as in ``usage.OfUser``."""

    at: int
    logical: int
    stored: Stored


_CLEAR = Sql("DELETE FROM measure")
_INSERT = Sql("INSERT INTO measure (name, user_id, bytes) VALUES (:name, :user_id, :bytes)")
_LAST = Sql("SELECT name, user_id, bytes FROM measure")
_PACKS = Sql("SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM pack")
_SMALL_ROWS = Sql("SELECT COUNT(*), COALESCE(MAX(id), 0) FROM small")
_TREES = Sql("""
    SELECT COUNT(*), COALESCE(MAX(id), 0), CAST(COALESCE(SUM(seq + kept_since + expiring), 0) AS BIGINT),
        (SELECT COUNT(*) FROM trash) FROM tree
""")
# What lets go of versions changes which states are kept.
_KEPT = Sql("SELECT COUNT(*), CAST(COALESCE(SUM(seq), 0) AS BIGINT) FROM kept")
_FOLDERS = Sql("SELECT COUNT(*), CAST(COALESCE(SUM(kept_since), 0) AS BIGINT) FROM folder_rule")
_FOLDERS_KEPT = Sql("SELECT COUNT(*), CAST(COALESCE(SUM(seq), 0) AS BIGINT) FROM folder_kept")

_SIGNS = (_TREES, _KEPT, _FOLDERS, _FOLDERS_KEPT, _PACKS, _SMALL_ROWS)

# Of an hour, or a day, the last one stays.
_REPLACE = Sql("DELETE FROM usage_point WHERE at >= :begin")
_OLDER = Sql("""
    DELETE FROM usage_point WHERE at < :before AND EXISTS (
        SELECT 1 FROM usage_point later
        WHERE later.user_id = usage_point.user_id AND later.at > usage_point.at AND later.at < :before
            AND later.at / :day = usage_point.at / :day
    )
""")
_POINT = Sql("""
    INSERT INTO usage_point (user_id, at, logical, alone, shared, history, trash)
    VALUES (:user_id, :at, :logical, :alone, :shared, :history, :trash)
""")
_FORGET = Sql("DELETE FROM usage_point WHERE user_id <> 0 AND user_id NOT IN (SELECT owner_id FROM tree)")
_POINTS = Sql("""
    SELECT at, logical, alone, shared, history, trash FROM usage_point
    WHERE user_id = :user_id AND at >= :since ORDER BY at
""")


class _Lost(Exception):
    """Another process may be at it."""


class Measuring:
    """The job: measures when something may have changed since it did the last time, and then rests ten times as long
    as that took.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._seen: Any = None
        self._rests_until = -math.inf

    def __call__(self, turn: Turn) -> str | None:
        """What was done, in words; None: nothing had changed, or it rests."""
        with self._database.snapshot() as session:
            now = [session.row(sql) for sql in _SIGNS]
        if now == self._seen and not turn.is_asked:
            return None
        began = self._monotonic()
        if began < self._rests_until and not turn.is_asked:
            return None

        def pause() -> None:
            if turn.is_lost():
                raise _Lost

        try:
            measured = measure(self._database, pause)
        except _Lost:
            return None
        finally:
            ended = self._monotonic()
            self._rests_until = ended + _REST * (ended - began)
        self._seen = now
        return f"stored {measured.stored_bytes} bytes"


def measure(database: Database, pause: Callable[[], None] = lambda: None) -> Measured:
    """Compute the sums, and keep them in place of the last ones. Reads every manifest. ``pause`` is called now and
    then, and before anything is kept; it may raise.
    """
    at = clock.now()
    found = usage.of_all(database, pause=pause)
    pause()
    measured = Measured(
        found.disk.stored, {user.user_id: user.kept for user in found.users if any(user.kept)}, found.disk, at
    )
    rows = [
        {"name": "at", "user_id": 0, "bytes": at},
        {"name": "stored", "user_id": 0, "bytes": found.disk.stored},
        {"name": "free", "user_id": 0, "bytes": found.disk.free},
        {"name": "held", "user_id": 0, "bytes": found.disk.held},
    ]
    for user_id, each in measured.kept.items():
        rows.append({"name": "trash", "user_id": user_id, "bytes": each.trash_bytes})
        rows.append({"name": "history", "user_id": user_id, "bytes": each.history_bytes})

    def replace(session: Session) -> None:
        session.run(_CLEAR)
        session.run_many(_INSERT, rows)
        _add_points(session, found, at)

    database.write(replace)
    return measured


def _add_points(session: Session, found: OfAll, at: int) -> None:
    session.run(_REPLACE, begin=at - at % _HOUR)
    session.run(_OLDER, before=at - _HOURLY_FOR, day=clock.DAY)
    session.run(_FORGET)
    everybody = [(0, found.logical, found.total), *((each.user_id, each.logical, each.stored) for each in found.users)]
    session.run_many(
        _POINT,
        [
            {
                "user_id": user_id,
                "at": at,
                "logical": logical,
                "alone": stored.unique,
                "shared": stored.shared,
                "history": stored.history,
                "trash": stored.trash,
            }
            for user_id, logical, stored in everybody
        ],
    )


def last(database: Database) -> Measured | None:
    """What was measured last; None if nothing ever was."""
    with database.read() as session:
        found: dict[tuple[str, int], int] = {(name, user_id): size for name, user_id, size in session.rows(_LAST)}
    if not found:
        return None
    users = {user_id for _, user_id in found if user_id}
    kept = {user: Kept(found.get(("trash", user), 0), found.get(("history", user), 0)) for user in users}
    stored, free, held, at = (found.get((name, 0), 0) for name in ("stored", "free", "held", "at"))
    return Measured(stored, kept, Disk(stored - free - held, free, held), at)


def points(database: Database, user_id: int, since: int) -> list[Point]:
    """What a user, or everybody (0), had since a time, the oldest first."""
    with database.read() as session:
        rows = session.rows(_POINTS, user_id=user_id, since=since)
    return [Point(row[0], row[1], Stored(*row[2:])) for row in rows]

"""Uploads that nobody goes on with end after a time; what is left of ended ones is removed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from appliance import clock, faults
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.uploads import rows

EVERY_S = 300

_AT_ONCE = 500
_EXPIRED = Sql("SELECT id FROM upload WHERE expires_at <= :now AND state = 'open' ORDER BY expires_at LIMIT 100")
_ENDED = Sql("""
    SELECT id FROM upload WHERE state = 'over' OR state = 'done' AND (
        expires_at <= :now OR EXISTS (SELECT 1 FROM upload_part p WHERE p.upload_id = upload.id)
    ) ORDER BY id LIMIT 100
""")


class Swept(NamedTuple):
    """How many uploads a run has ended."""

    expired: int

    def __str__(self) -> str:
        return f"{self.expired} unfinished uploads expired" if self.expired else ""


def sweep(
    database: Database, *, now: Callable[[], int] = clock.now, stopping: Callable[[], bool] = lambda: False
) -> Swept:
    """End what has expired, and remove what is left of what has ended; in small transactions, until ``stopping``."""
    until, expired = now(), 0
    while not stopping() and (ids := _ids(database, _EXPIRED, until)):
        for upload_id in ids:
            expired += database.write(partial(rows.expire, upload_id=upload_id, now=until))
    while not stopping() and (ids := _ids(database, _ENDED, until)):
        for upload_id in ids:
            clear(database, upload_id, until=until, stopping=stopping)
    return Swept(expired)


def clear(database: Database, upload_id: int, *, until: int, stopping: Callable[[], bool] = lambda: False) -> None:
    """Remove the parts of an upload that has ended; and itself, unless it is to be told of after ``until``."""
    while not stopping():
        faults.point("upload.clearing")
        if database.write(lambda session: rows.delete_parts(session, upload_id, _AT_ONCE)) < _AT_ONCE:
            database.write(lambda session: rows.delete_ended(session, upload_id, until))
            return


def _ids(database: Database, select: Sql, until: int) -> list[int]:
    with database.read() as session:
        return [row[0] for row in session.rows(select, now=until)]

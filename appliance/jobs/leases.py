"""Leases: a row that one process holds for a while, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Sql

_TAKE = Sql("""
    INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, :expires_at)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE lease.holder = excluded.holder OR lease.expires_at < :now
""")
_RELEASE = Sql("DELETE FROM lease WHERE name = :name AND holder = :holder")


@contextmanager
def lease(database: Database, name: str, holder: str, seconds: int) -> Iterator[bool]:
    """Whether the lease could be taken; it is given back at the end, or free for others after ``seconds``."""
    now = clock.now()
    expires_at = now + seconds * clock.SECOND
    taken = database.write(
        lambda session: session.run(_TAKE, name=name, holder=holder, expires_at=expires_at, now=now) == 1
    )
    try:
        yield taken
    finally:
        if taken:
            database.write(lambda session: session.run(_RELEASE, name=name, holder=holder))

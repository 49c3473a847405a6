"""Leases: a row that one process holds for a while, by name."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Session, Sql

_TAKE = Sql("""
    INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, :expires_at)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE lease.expires_at < :now
""")
_RELEASE = Sql("DELETE FROM lease WHERE name = :name AND holder = :holder")
_RELEASE_ALL = Sql("DELETE FROM lease")


@contextmanager
def lease(
    database: Database, name: str, holder: str, seconds: int, *, noting: Callable[[Session], None] | None = None
) -> Iterator[bool]:
    """Whether the lease could be taken; it is given back at the end, or free for others after ``seconds``.

    What ``noting`` writes is written in the transaction that gives it back.

    Held is held, whoever asks: also its holder cannot take it a second time.
    """
    # Each claim has a name of its own, so that one that was overtaken gives nothing away at its end.
    holder = f"{holder}/{secrets.token_hex(4)}"
    now = clock.now()
    expires_at = now + seconds * clock.SECOND
    taken = database.write(
        lambda session: session.run(_TAKE, name=name, holder=holder, expires_at=expires_at, now=now) == 1
    )

    def release(session: Session) -> None:
        session.run(_RELEASE, name=name, holder=holder)
        if noting is not None:
            noting(session)

    try:
        yield taken
    finally:
        if taken:
            database.write(release)


def release_all(database: Database) -> int:
    """Free every lease; for a caller who knows that no holder runs. Returns how many there were."""
    return database.write(lambda session: session.run(_RELEASE_ALL))

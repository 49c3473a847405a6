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
_RENEW = Sql("UPDATE lease SET expires_at = :expires_at WHERE name = :name AND holder = :holder")
_RELEASE = Sql("DELETE FROM lease WHERE name = :name AND holder = :holder")
_RELEASE_ALL = Sql("DELETE FROM lease")


class Lease:
    """A claim; ``taken`` says whether it was granted. Any thread."""

    def __init__(self, database: Database, name: str, holder: str, seconds: float) -> None:
        self._database = database
        self._name = name
        # Each claim has a name of its own, so that one that was overtaken gives nothing away at its end.
        self._holder = f"{holder}/{secrets.token_hex(4)}"
        self._seconds = seconds
        now = clock.now()
        self.taken = database.write(
            lambda session: session.run(_TAKE, name=name, holder=self._holder, expires_at=self._until(), now=now) == 1
        )

    def _until(self) -> int:
        return clock.now() + int(self._seconds * clock.SECOND)

    def renew(self) -> bool:
        """Hold it for as long again from now; False: it was overtaken."""
        return self._database.write(
            lambda session: session.run(_RENEW, name=self._name, holder=self._holder, expires_at=self._until()) == 1
        )

    def release(self, session: Session) -> None:
        """Others may take it."""
        session.run(_RELEASE, name=self._name, holder=self._holder)


@contextmanager
def lease(
    database: Database, name: str, holder: str, seconds: float, *, noting: Callable[[Session], None] | None = None
) -> Iterator[Lease]:
    """Claim a lease; it is given back at the end, or free for others after ``seconds`` without a renewal.

    What ``noting`` writes is written in the transaction that gives it back.

    Held is held, whoever asks: also its holder cannot take it a second time.
    """
    held = Lease(database, name, holder, seconds)

    def release(session: Session) -> None:
        held.release(session)
        if noting is not None:
            noting(session)

    try:
        yield held
    finally:
        if held.taken:
            database.write(release)


def release_all(database: Database) -> int:
    """Free every lease; for a caller who knows that no holder runs. Returns how many there were."""
    return database.write(lambda session: session.run(_RELEASE_ALL))

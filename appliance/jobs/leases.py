"""Leases: a row that one process holds for a while, by name."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Session, Sql

_log = logging.getLogger(__name__)

_TAKE = Sql("""
    INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, :expires_at)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE lease.expires_at < :now
""")
_RENEW = Sql("UPDATE lease SET expires_at = :expires_at WHERE name = :name AND holder = :holder")
_RELEASE = Sql("DELETE FROM lease WHERE name = :name AND holder = :holder")
_RELEASE_ALL = Sql("DELETE FROM lease")


class Lease:
    """A claim; ``taken`` says whether it was granted. Any thread.

    ``beginning`` runs in the transaction that takes it, and may refuse what was granted: it returns False then.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        holder: str,
        seconds: float,
        *,
        beginning: Callable[[Session], bool] | None = None,
    ) -> None:
        self._database = database
        self._name = name
        # Each claim has a name of its own, so that one that was overtaken gives nothing away at its end.
        self._holder = f"{holder}/{secrets.token_hex(4)}"
        self._seconds = seconds
        self.taken = database.write(lambda session: self._take(session, beginning))

    def _take(self, session: Session, beginning: Callable[[Session], bool] | None) -> bool:
        now = clock.now()
        if not session.run(_TAKE, name=self._name, holder=self._holder, expires_at=self._until(), now=now):
            return False
        if beginning is None or beginning(session):
            return True
        self.release(session)
        return False

    def _until(self) -> int:
        return clock.now() + int(self._seconds * clock.SECOND)

    def renew(self) -> bool:
        """Hold it for as long again from now; False: it was overtaken."""
        return self._database.write(
            lambda session: session.run(_RENEW, name=self._name, holder=self._holder, expires_at=self._until()) == 1
        )

    def release(self, session: Session) -> bool:
        """Others may take it; False: it was overtaken, and is somebody else's."""
        return session.run(_RELEASE, name=self._name, holder=self._holder) == 1


@contextmanager
def lease(
    database: Database,
    name: str,
    holder: str,
    seconds: float,
    *,
    beginning: Callable[[Session], bool] | None = None,
    noting: Callable[[Session], None] | None = None,
) -> Iterator[Lease]:
    """Claim a lease; it is given back at the end, or free for others after ``seconds`` without a renewal.

    ``beginning`` as for ``Lease``. What ``noting`` writes is written in the transaction that gives it back; who was
    overtaken has nothing to give back, and nothing to note.

    Held is held, whoever asks: also its holder cannot take it a second time.
    """
    held = Lease(database, name, holder, seconds, beginning=beginning)

    def release(session: Session) -> bool:
        if not held.release(session):
            return False
        if noting is not None:
            noting(session)
        return True

    try:
        yield held
    finally:
        if held.taken and not database.write(release):
            _log.warning("%s was overtaken: another process holds its lease, or did", name)


def release_all(database: Database) -> int:
    """Free every lease; for a caller who knows that no holder runs. Returns how many there were."""
    return database.write(lambda session: session.run(_RELEASE_ALL))

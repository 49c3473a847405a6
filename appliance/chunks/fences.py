"""Fences: while one stands, no blob of a dropped pack is removed.

Who copies blobs raises a fence first and asks for the rows then: whatever they name was not dropped yet, and whoever
wants to remove it later meets the fence. Prune takes away a fence whose time is over before it removes anything, and
the holder's last step is to find its row. So clocks decide only how long a killed holder is waited for.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import HoldfastError, Unavailable

_log = logging.getLogger(__name__)

EXPIRES_S = 120
"""A fence whose holder was silent for so long may be taken away."""

RENEW_S = 20
"""Holders renew their fence this often."""

_RAISE = Sql("INSERT INTO fence (holder, expires_at, raised_at) VALUES (:holder, :expires_at, :now) RETURNING id")
_RENEW = Sql("UPDATE fence SET expires_at = :expires_at WHERE id = :id")
_LOWER = Sql("DELETE FROM fence WHERE id = :id")
_ANY = Sql("SELECT 1 FROM fence LIMIT 1")
_EXPIRED = Sql("SELECT 1 FROM fence WHERE expires_at < :now LIMIT 1")
_TAKE_AWAY = Sql("DELETE FROM fence WHERE expires_at < :now")


class Fence:
    """One that was raised. Any thread."""

    def __init__(self, database: Database, fence_id: int) -> None:
        self._database = database
        self._id = fence_id

    def renew(self) -> None:
        """Prolong it.

        Raises:
            Unavailable: it was taken away, and blobs may have been removed since.
        """
        expires_at = clock.now() + EXPIRES_S * clock.SECOND
        if not self._database.write(lambda session: session.run(_RENEW, id=self._id, expires_at=expires_at)):
            raise Unavailable(reason="this process was silent for too long, and what it was to copy may be gone")

    def lower(self) -> None:
        """Prune goes on."""
        self._database.write(lambda session: session.run(_LOWER, id=self._id))


@contextmanager
def fence(database: Database) -> Iterator[Fence]:
    """A fence, renewed by a thread of its own as long as this context lasts."""
    now = clock.now()
    holder = f"{socket.gethostname()}/{os.getpid()}"
    fence_id: int = database.write(
        lambda session: session.value(_RAISE, holder=holder, expires_at=now + EXPIRES_S * clock.SECOND, now=now)
    )
    raised, done = Fence(database, fence_id), threading.Event()
    renewing = threading.Thread(target=_keep, args=(raised, done), name="fence", daemon=True)
    renewing.start()
    try:
        yield raised
    finally:
        done.set()
        renewing.join()
        try:
            raised.lower()
        except HoldfastError as error:
            _log.warning("a fence could not be lowered, and ends by itself in %d s: %s", EXPIRES_S, error)


def _keep(raised: Fence, done: threading.Event) -> None:
    while not done.wait(RENEW_S):
        try:
            raised.renew()
        except HoldfastError as error:
            # The holder finds out by itself, with its own last renewal.
            _log.warning("a fence could not be renewed: %s", error)


def any_stands(database: Database) -> bool:
    """Whether somebody copies blobs, or has died doing so a moment ago."""
    with database.read() as session:
        return session.row(_ANY) is not None


def take_away_expired(database: Database) -> None:
    """Of those who were killed. For who removes blobs, right before that."""
    now = clock.now()
    with database.read() as session:
        any_expired = session.row(_EXPIRED, now=now) is not None
    if any_expired:
        database.write(lambda session: session.run(_TAKE_AWAY, now=now))

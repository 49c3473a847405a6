"""Connections of SQLite that read, lent for one use at a time, last in, first out.

The one that was used last has its pages and its prepared statements at hand; with one for each thread most requests
would meet a cold one. Few threads read at the same moment, so few connections are made.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from appliance.db.sql import SQLITE, Session

# Those beyond are closed when they come back.
_KEPT = 4


class Readers:
    """Any number of connections, made by ``connect`` when none is idle. ``translate`` says what an error means."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], translate: Callable[[sqlite3.Error], Exception]
    ) -> None:
        self._connect = connect
        self.translate = translate
        self._idle: deque[Session] = deque()
        self._mutex = threading.Lock()
        # Who was lent one before a close() does not bring it back into use.
        self.generation = 0

    def lend(self) -> Loan:
        """A session for one ``with``, in which each statement sees the newest committed state."""
        return Loan(self)

    def take(self) -> Session:
        """An idle session, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return Session(self._connect(), SQLITE)

    def give_back(self, session: Session, generation: int) -> None:
        """To be lent to the next who asks."""
        with self._mutex:
            if generation == self.generation and len(self._idle) < _KEPT:
                self._idle.append(session)
                return
        session.connection.close()

    def close(self) -> None:
        """Close what is idle, now, and what is lent when it comes back."""
        with self._mutex:
            self.generation += 1
            idle, self._idle = self._idle, deque()
        for session in idle:
            session.connection.close()


class Loan(AbstractContextManager[Session]):
    """One use of a session; SQLite's errors leave it translated."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def __enter__(self) -> Session:
        self._generation = self._readers.generation
        self._session = self._readers.take()
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readers.give_back(self._session, self._generation)
        if isinstance(error, sqlite3.Error):
            raise self._readers.translate(error) from error

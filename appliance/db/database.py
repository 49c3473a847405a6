"""The databases: where sessions come from, and how writes of many threads and processes take turns.

Threads: every method may be called from any thread. Processes: make a ``Database`` after a fork, never before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import TypeVar

from appliance.db.guard import Guard
from appliance.db.sql import Dialect, Seen, Session

T = TypeVar("T")
Work = Callable[[Session], T]


class Database(ABC):
    """One SQL database."""

    dialect: Dialect
    # Of this process.
    guard: Guard

    @abstractmethod
    def read(self, seen: Seen | None = None) -> AbstractContextManager[Session]:
        """A session in which each statement sees the newest committed state. Never held over socket or blob work.

        ``seen``: what was read for it a moment ago, each to be asked for once.
        """

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Session]:
        """A session in which all statements see one committed state. Never held over socket or blob work."""

    @abstractmethod
    def write(self, work: Work[T], *, line: Hashable = None) -> T:
        """Run ``work`` in a transaction; when this returns, it is committed, and durable as configured.

        ``work`` may run more than once and in another thread: it changes nothing but the database. An exception
        from it rolls back its own changes only and is raised here. Works of one ``line`` lock the same row first, so
        that each waits for the one before it: they may share a transaction.

        Raises:
            ReadOnly: the store is frozen; ``work`` was not run, or nothing of it stays.
            Moved: it is elsewhere, or something of it is, by now; likewise.
            OutcomeUnknown: the database went away while it was to commit; it has all of the changes, or none.
            Unavailable: any other of these: nothing was changed, and nothing will be.
        """

    @abstractmethod
    def maintain(self, work: Work[T]) -> T:
        """The same, also if the store is frozen or elsewhere: for what makes it so, and for what makes databases."""

    def compact(self) -> bool:
        """Give back the room that deleted rows have left, where that takes but a moment; whether it was done."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Close every connection. Nobody may be using one; later use opens new ones."""

"""Writes that would only wait for each other, several in one transaction of PostgreSQL.

Changes of one tree follow each other (its row is locked), so each would wait for the one before it to reach the disk.
Those that wait in one process run in the transaction of the first instead, a savepoint each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import psycopg

from appliance.db.commits import CommitQueue, Pending
from appliance.db.database import Work
from appliance.db.loan import Loan, LoanSession
from appliance.errors import HoldfastError, OutcomeUnknown

T = TypeVar("T")
Group = list[Pending[Any]]
Take = Callable[[], Group]


class Alone(Exception):
    """Nothing was changed; the work is to be run in a transaction of its own, which says what is wrong with it."""


class Groups:
    """The lines in which works of this process wait. Any thread."""

    def __init__(self, lend: Callable[[], Loan]) -> None:
        """``lend`` begins a transaction."""
        self._lend = lend
        self._mutex = threading.Lock()
        self._queues: WeakValueDictionary[Hashable, CommitQueue] = WeakValueDictionary()

    def run(self, line: Hashable, work: Work[T]) -> T:
        """Run ``work`` with those that wait in the same line.

        Raises:
            Alone: it has to be run by itself.
        """
        with self._mutex:
            queue = self._queues.get(line)
            if queue is None:
                queue = self._queues[line] = CommitQueue(self._run)
        return queue.submit(work)

    def _run(self, take: Take) -> Group:
        group = take()
        done = 0
        while done < len(group):
            loan = self._lend()
            try:
                done = _Transaction(loan, group, take).run(done)
            except BaseException as error:
                loan.end(error)
                raise
            loan.end()
        return group


class _Transaction:
    def __init__(self, loan: Loan, group: Group, take: Take) -> None:
        self._loan = loan
        self._group = group
        self._take = take

    def run(self, first: int) -> int:
        """Run from this one on whatever is there and comes meanwhile; how many have an outcome by then."""
        group, loan = self._group, self._loan
        number = first
        try:
            if not self._begin(group[first]):
                return first + 1
            while (number := number + 1) < len(group) or number < len(self._take()):
                self._join(group[number])
            loan.commit()
        except OutcomeUnknown as error:
            for pending in group[first:]:
                pending.error = pending.error or error
        except psycopg.Error as error:
            loan.roll_back()
            self._part(first, error)
        except HoldfastError:
            # Refused, which those that asked nothing yet hear of only now.
            loan.roll_back()
            self._part(first, None)
        return len(group)

    def _begin(self, pending: Pending[Any]) -> bool:
        """The first one; whether there is a transaction now that others can join."""
        try:
            pending.result = pending.work(LoanSession(self._loan))
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - raised again in the thread that submitted it
            pending.error = error
            self._loan.roll_back()
            return False
        return True

    def _join(self, pending: Pending[Any]) -> None:
        loan = self._loan
        loan.start_anew()
        loan.send("SAVEPOINT work")
        try:
            pending.result = pending.work(LoanSession(loan))
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - raised again in the thread that submitted it
            pending.error = error
            loan.send("ROLLBACK TO SAVEPOINT work")
        loan.send("RELEASE SAVEPOINT work")

    def _part(self, first: int, error: psycopg.Error | None) -> None:
        """Which of them it hits is found out one by one, each in its own thread."""
        for pending in self._group[first:]:
            pending.result = None
            pending.error = Alone()
            pending.error.__cause__ = error

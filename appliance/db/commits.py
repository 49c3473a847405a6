"""Group commit: transactions that wait in one process join one.

The first thread that comes leads: it takes the lock that all processes share, runs everything that has gathered
meanwhile, commits once and wakes the others. With no one waiting there is no hand-over at all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

GROUP_LIMIT = 64
"""So many at most join one transaction, so that the first of them does not wait for a crowd."""


class Pending(Generic[T]):
    """One piece of work in the queue, and later its outcome."""

    __slots__ = ("_woken", "error", "is_guarded", "leads", "result", "work")

    def __init__(self, work: Callable[[Any], T], *, is_guarded: bool = True) -> None:
        self.work = work
        self.is_guarded = is_guarded
        self.result: T | None = None
        self.error: BaseException | None = None
        self.leads = False
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self) -> None:
        """Until it is done, or has to lead."""
        self._woken.acquire()

    def wake(self) -> None:
        self._woken.release()

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


class CommitQueue:
    """Lets one thread at a time run a group of pending works."""

    def __init__(self, run_group: Callable[[Callable[[], list[Pending[Any]]]], list[Pending[Any]]]) -> None:
        """``run_group(take)`` gets the transaction going, calls ``take`` for the group, and gives every
        member of it a result or an error; it returns the group.
        """
        self._run_group = run_group
        self._mutex = threading.Lock()
        self._waiting: deque[Pending[Any]] = deque()
        self._led = False

    def submit(self, work: Callable[[Any], T], *, is_guarded: bool = True) -> T:
        """Run ``work`` in some group; returns after its transaction was committed."""
        pending = Pending(work, is_guarded=is_guarded)
        with self._mutex:
            self._waiting.append(pending)
            leads = not self._led
            self._led = True
        if not leads:
            pending.wait()
            if not pending.leads:
                return pending.outcome()
        self._lead(pending)
        return pending.outcome()

    def _lead(self, leader: Pending[Any]) -> None:
        group: list[Pending[Any]] = []
        try:
            group = self._run_group(lambda: self._take(group))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of each member
            for pending in group or [self._only(leader)]:
                pending.error = error
            group = group or [leader]
        finally:
            with self._mutex:
                successor = self._waiting[0] if self._waiting else None
                self._led = successor is not None
            for pending in group:
                if pending is not leader:
                    pending.wake()
            if successor is not None:
                successor.leads = True
                successor.wake()

    def _only(self, leader: Pending[Any]) -> Pending[Any]:
        """The transaction never began: take the leader out, so that its successor does not run it."""
        with self._mutex:
            self._waiting.remove(leader)
        return leader

    def _take(self, group: list[Pending[Any]]) -> list[Pending[Any]]:
        with self._mutex:
            while self._waiting and len(group) < GROUP_LIMIT:
                group.append(self._waiting.popleft())
        return group

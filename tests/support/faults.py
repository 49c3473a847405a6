"""Faults at the borders of the product: backends and databases that fail on demand, and waiting with a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TypeVar

from appliance.backends.base import Backend, Blob, Buffer
from appliance.db.database import Database, Work
from appliance.db.sql import Seen, Session
from appliance.errors import Unavailable

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises; fails if that takes longer: it hangs, and is left behind in its thread."""
    return in_threads(1, lambda _: work(), seconds=seconds)[0]


def in_threads(count: int, work: Callable[[int], T], *, seconds: float = 60) -> list[T]:
    """``work(0)``, ``work(1)``, … at the same time; their results in this order, or the first error among them.

    Fails if one of them takes longer than ``seconds``.
    """
    together = threading.Barrier(count)
    outcomes: list[Future[T]] = [Future() for _ in range(count)]

    def run(number: int) -> None:
        try:
            together.wait(seconds)
            outcomes[number].set_result(work(number))
        except BaseException as error:  # noqa: BLE001 (it comes out of the future)
            outcomes[number].set_exception(error)

    until = time.monotonic() + seconds
    for number in range(count):
        threading.Thread(target=run, args=(number,), daemon=True, name=f"at once {number}").start()
    for number, outcome in enumerate(outcomes):
        try:
            outcome.exception(max(until - time.monotonic(), 0))
        except TimeoutError:
            raise AssertionError(f"number {number} hangs: nothing came of it in {seconds} s") from None
    return [outcome.result() for outcome in outcomes]


def busy_threads() -> set[str]:
    """The names of threads that put packs or write their rows; nobody's work, nobody's threads."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(("put ", "pack rows"))}


class BackendProxy(Backend):
    """Passes everything on to another backend; tests override what they disturb."""

    def __init__(self, inner: Backend) -> None:
        self.habits = inner.habits
        self.inner = inner

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        return self.inner.put(key, blocks)

    def get(self, key: str, start: int, length: int) -> bytes:
        return self.inner.get(key, start, length)

    def head(self, key: str) -> int | None:
        return self.inner.head(key)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def list(self, prefix: str) -> Iterator[Blob]:
        return self.inner.list(prefix)


class FailingBackend(BackendProxy):
    """Raises ``error`` in the put of number ``fails_on`` (from 1; 0: never), after ``after_blocks`` of its blocks."""

    def __init__(self, inner: Backend, error: Exception, *, fails_on: int = 0, after_blocks: int = 0) -> None:
        super().__init__(inner)
        self.error = error
        self.fails_on = fails_on
        self.after_blocks = after_blocks
        self.puts = 0
        self._mutex = threading.Lock()

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        with self._mutex:
            self.puts += 1
            fails = self.puts == self.fails_on
        return self.inner.put(key, self._until_failure(blocks) if fails else blocks)

    def _until_failure(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]:
        for number, block in enumerate(blocks):
            if number == self.after_blocks:
                break
            yield block
        raise self.error


class DatabaseProxy(Database):
    """Passes everything on to another database; ``before_write`` runs ahead of each write and may raise."""

    def __init__(self, inner: Database, before_write: Callable[[], None]) -> None:
        self.inner = inner
        self.dialect = inner.dialect
        self.guard = inner.guard
        self.before_write = before_write

    def read(self, seen: Seen | None = None) -> AbstractContextManager[Session]:
        return self.inner.read(seen)

    def snapshot(self) -> AbstractContextManager[Session]:
        return self.inner.snapshot()

    def write(self, work: Work[T], *, line: Hashable = None) -> T:
        self.before_write()
        return self.inner.write(work, line=line)

    def maintain(self, work: Work[T]) -> T:
        return self.inner.maintain(work)

    def close(self) -> None:
        self.inner.close()


class CountingDatabase(DatabaseProxy):
    """Counts readings, and fails from the one of number ``fails_from`` on (0: never)."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner, lambda: None)
        self.reads = 0
        self.fails_from = 0

    def read(self, seen: Seen | None = None) -> AbstractContextManager[Session]:
        self.reads += 1
        if self.fails_from and self.reads >= self.fails_from:
            raise Unavailable(reason="the database is away")
        return super().read(seen)

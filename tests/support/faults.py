"""Faults at the borders of the product: backends and databases that fail on demand, and waiting with a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

from appliance.backends.base import Backend, Blob, Buffer
from appliance.db.database import Database, Work
from appliance.db.sql import Session

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises; fails if that takes longer: it hangs, and is left behind in its thread."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="within", daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"hangs: nothing came of it in {seconds} s"
    if errors:
        raise errors[0]
    return results[0]


def busy_threads() -> set[str]:
    """The names of threads that put packs or write their rows; nobody's work, nobody's threads."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(("put ", "pack rows"))}


class BackendProxy(Backend):
    """Passes everything on to another backend; tests override what they disturb."""

    def __init__(self, inner: Backend) -> None:
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
        self.before_write = before_write

    def read(self) -> AbstractContextManager[Session]:
        return self.inner.read()

    def snapshot(self) -> AbstractContextManager[Session]:
        return self.inner.snapshot()

    def write(self, work: Work[T]) -> T:
        self.before_write()
        return self.inner.write(work)

    def close(self) -> None:
        self.inner.close()

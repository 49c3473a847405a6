"""Uploads that break off or wait, and runs of prune around them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance import faults
from appliance.files import write
from appliance.tree.paths import parse
from appliance.upkeep.prune import AT_ONCE, Policy, Pruned, prune
from tests.files.person import Person
from tests.support.content import MIB, Body, noise

NOTHING = Pruned(0, 0, 0, 0, 0, 0, looked=False)
LARGE = noise(8 * MIB)
OTHER = noise(7 * MIB, seed=2)
PART = LARGE[: 5 * MIB // 2]


def cut(who: Person, path: str, content: bytes = LARGE, *, at: int | None = None) -> None:
    """An upload whose connection breaks, by default near its end."""
    body = Body(content, fail_at=len(content) - 1000 if at is None else at)
    with pytest.raises(ConnectionResetError):
        write.put_file(who.files, who.principal, parse(path), body, length=len(content))


class HeldUp:
    """An upload that waits after ``at`` bytes."""

    def __init__(self, who: Person, path: str, content: bytes, at: int, pool: ThreadPoolExecutor) -> None:
        self.waits = threading.Event()
        self._go_on = threading.Event()
        outer = self

        class Slow(Body):
            """Comes to a halt."""

            sent = 0

            def readinto(self, buffer: memoryview, /) -> int:
                if self.sent >= at and not outer._go_on.is_set():
                    outer.waits.set()
                    assert outer._go_on.wait(60)
                read = super().readinto(buffer)
                self.sent += read
                return read

        self.result = pool.submit(
            write.put_file, who.files, who.principal, parse(path), Slow(content), length=len(content)
        ).result

    def finish(self) -> None:
        """Let it go on, to its end."""
        self._go_on.set()
        self.result(60)


@contextlib.contextmanager
def held_up(who: Person, path: str, content: bytes, *, at: int = 7 * MIB) -> Iterator[HeldUp]:
    """An upload that waits while what is within happens, if that does not let it finish."""
    with ThreadPoolExecutor(1) as pool:
        put = HeldUp(who, path, content, at, pool)
        assert put.waits.wait(60)
        yield put
        put.finish()


def prune_of(who: Person, policy: Policy = AT_ONCE) -> Pruned:
    """One run."""
    return prune(who.files.database, who.files.chunks.backend, policy)


def prune_ripe(who: Person, policy: Policy = AT_ONCE) -> Pruned:
    """The run that raises the epoch, the renewal of the writers' leases that follows it, and the run after."""
    prune_of(who, policy)
    who.files.chunks.writers.renew()
    return prune_of(who, policy)


def count(who: Person, table: str) -> int:
    """The rows of a table."""
    return int(who.rows(f"SELECT COUNT(*) FROM {table}")[0][0])


def stored(who: Person) -> int:
    """All rows of content."""
    return sum(count(who, table) for table in ("chunk", "segment", "small"))


def blobs(who: Person) -> int:
    """The packs that the backend holds."""
    return sum(1 for _ in who.files.chunks.backend.list("packs/"))


@contextlib.contextmanager
def at_point(name: str, work: Callable[[], object]) -> Iterator[list[str]]:
    """Do ``work`` when this fault point is passed for the first time; the list tells that it was."""
    passed: list[str] = []

    def hook(passing: str) -> None:
        if passing == name and not passed:
            passed.append(passing)
            work()

    with faults.hooked(hook):
        yield passed

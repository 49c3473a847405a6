"""Two people who work in trees of their own, and a clock that a test sets."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from appliance import clock
from appliance.backends.disk import DiskBackend
from appliance.files.context import Files
from appliance.principal import Principal
from appliance.upkeep.check import check
from appliance.upkeep.prune import prune
from tests.files.person import Person


@pytest.fixture
def alice(files: Files, principal: Principal) -> Person:
    """A member with an empty tree."""
    return Person(files, principal)


@pytest.fixture
def bob(files: Files) -> Person:
    """Another one."""
    return Person.new(files, "bob")


@pytest.fixture
def newcomer(alice: Person) -> Callable[[], Person]:
    """Makes one more user with an empty tree: for tests of many cases that each begin anew."""
    numbers = itertools.count(1)
    return lambda: alice.newcomer(f"newcomer{next(numbers)}")


class Clock:
    """The wall clock as a test wants it; it stands still in between."""

    def __init__(self) -> None:
        self.at = clock.now()

    def advance(self, seconds: float) -> None:
        """Forwards or backwards."""
        self.at += int(seconds * clock.SECOND)

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch, alice: Person) -> Clock:
    """Replaces the wall clock once the store is there and alice has her tree."""
    replacement = Clock()
    monkeypatch.setattr(clock, "now", replacement)
    return replacement


@pytest.fixture
def require_clean(alice: Person, backend: DiskBackend) -> Callable[[], None]:
    """Checks the store, also after what was let go is pruned: every version that is left has its bytes."""

    def work() -> None:
        for _ in range(2):
            report = check(alice.files.database, backend, read_data=True)
            assert report.clean, report.findings
            prune(alice.files.database, backend)
            # As the server's processes do every few seconds: nothing unfinished holds prune off.
            alice.files.chunks.writers.renew()
            prune(alice.files.database, backend)

    return work

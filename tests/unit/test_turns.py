"""Turns: one after the other, but nobody waits for one who takes long, nor for one whom a fork has left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from appliance import turns
from tests.support.faults import in_threads


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So long that what waits in vain is noticed."""
    monkeypatch.setattr(turns, "PATIENCE_S", 2.0)
    yield
    turns.let_go()


def test_one_computes_at_a_time() -> None:
    """The next one begins when the one before lets go, however often it does."""
    inside, most = 0, 0
    count = threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        for _ in range(20):
            turns.take()
            with count:
                inside += 1
                most = max(most, inside)
            time.sleep(0.0005)
            with count:
                inside -= 1
            turns.let_go()
            turns.let_go()

    in_threads(4, work)
    assert (inside, most) == (0, 1)


def test_who_takes_long_holds_up_one_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others do not wait at all then, until it has let go; afterwards there are turns as before."""
    monkeypatch.setattr(turns, "PATIENCE_S", 0.2)
    turns.take()

    def ask(times: int) -> float:
        began = time.monotonic()
        for _ in range(times):
            turns.take()
            turns.let_go()
        return time.monotonic() - began

    assert 0.2 <= in_threads(1, lambda _: ask(1))[0] < 2
    assert in_threads(1, lambda _: ask(100))[0] < 2
    turns.let_go()
    in_threads(1, lambda _: ask(1))
    turns.take()
    assert in_threads(1, lambda _: ask(1))[0] >= 0.2


def test_forked_process_has_turns_of_its_own() -> None:
    """The thread that has one is not there."""
    turns.take()
    pid = os.fork()
    if not pid:
        began = time.monotonic()
        turns.take()
        os._exit(0 if time.monotonic() - began < 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

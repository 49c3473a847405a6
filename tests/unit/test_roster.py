"""Processes tell each other that they live, in memory."""

from __future__ import annotations

import os

from appliance import clock
from appliance.roster import SILENT_S, Roster


def test_seat_that_nobody_took_is_empty() -> None:
    """Before the first start."""
    roster = Roster(["worker 1", "scheduler"])
    assert [tuple(each) for each in roster.processes()] == [("worker 1", 0, 0, 0), ("scheduler", 0, 0, 0)]


def test_child_is_seen_by_its_parent() -> None:
    """And the other seats stay what they are."""
    roster = Roster(["one", "two", "three"])
    before = clock.now()
    pid = os.fork()
    if pid == 0:
        seat = roster.seat(1)
        seat.beat()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    one, two, three = roster.processes()
    assert (one.pid, three.pid) == (0, 0)
    assert two.pid == pid
    assert before <= two.started_at <= two.seen_at <= clock.now()
    assert not two.is_silent(clock.now())
    assert two.is_silent(two.seen_at + (SILENT_S + 1) * clock.SECOND)


def test_successor_takes_the_seat_anew() -> None:
    """With its own number and beginning."""
    roster = Roster(["one"])
    first = roster.seat(0)
    (before,) = roster.processes()
    roster.seat(0)
    first.beat()
    (after,) = roster.processes()
    assert after.pid == os.getpid()
    assert after.started_at >= before.started_at

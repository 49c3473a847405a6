"""The queue that lets one thread commit for many: every work is run once, and everybody gets their own outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from appliance.db.commits import GROUP_LIMIT, CommitQueue, Pending
from tests.support.faults import in_threads, within

Group = list[Pending[Any]]


class Runner:
    """Runs groups as a database would, one after the other, and notes them. ``gate`` holds them up."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        self.running = 0

    def __call__(self, take: Callable[[], Group]) -> Group:
        self.running += 1
        assert self.running == 1, "two threads lead at once"
        self.entered.set()
        assert self.gate.wait(20)
        group = take()
        self.sizes.append(len(group))
        for pending in group:
            try:
                pending.result = pending.work(None)
            except ValueError as error:
                pending.error = error
        self.running -= 1
        return group


def submit_behind(queue: CommitQueue, runner: Runner, count: int) -> list[int]:
    """Submit ``count`` works that all wait while the first one's group is held up."""
    runner.gate.clear()
    runner.entered.clear()
    ready = threading.Semaphore(0)

    def work(number: int) -> int:
        if number:
            assert runner.entered.wait(20)
            ready.release()
        result: int = queue.submit(lambda _: number)
        return result

    def open_gate() -> list[int]:
        for _ in range(count - 1):
            assert ready.acquire(timeout=20)
        # All have been released and are in the queue, or a moment before it.
        threading.Timer(0.05, runner.gate.set).start()
        return []

    return [
        number
        for each in in_threads(count + 1, lambda number: open_gate() if number == count else [work(number)])
        for number in each
    ]


def test_single_work_is_run_by_its_own_thread() -> None:
    """With nobody waiting there is no hand-over."""
    queue = CommitQueue(Runner())
    assert queue.submit(lambda _: threading.current_thread()) is threading.current_thread()


@pytest.mark.parametrize("count", [2, 10, GROUP_LIMIT, GROUP_LIMIT + 1, 3 * GROUP_LIMIT + 5])
def test_everybody_gets_the_own_result_whatever_the_crowd(count: int) -> None:
    """Groups stay within their limit, none is left waiting, and few groups are needed."""
    runner = Runner()
    queue = CommitQueue(runner)
    assert submit_behind(queue, runner, count) == list(range(count))
    assert sum(runner.sizes) == count
    assert max(runner.sizes) <= GROUP_LIMIT
    assert len(runner.sizes) <= count // GROUP_LIMIT + 3
    # And the queue is free again.
    assert within(5, lambda: queue.submit(lambda _: "free")) == "free"


def test_error_of_a_work_is_raised_to_its_caller_alone() -> None:
    """The others of its group get their results."""
    queue = CommitQueue(Runner())

    def work(number: int) -> int:
        def run(_: object) -> int:
            if number % 3 == 0:
                raise ValueError(number)
            return number

        try:
            return queue.submit(run)
        except ValueError as error:
            assert error.args == (number,)
            return -number

    assert in_threads(40, work) == [-number if number % 3 == 0 else number for number in range(40)]


def test_failure_before_the_group_is_taken_hits_the_leader_alone() -> None:
    """The transaction never began: whoever waits leads the next one."""
    fails = [OSError("no lock"), OSError("no lock")]
    runner = Runner()

    def run_group(take: Callable[[], Group]) -> Group:
        if fails:
            raise fails.pop()
        return runner(take)

    queue = CommitQueue(run_group)

    def work(number: int) -> str:
        try:
            queue.submit(lambda _: number)
        except OSError:
            return "failed"
        return "done"

    assert sorted(in_threads(8, work)) == ["done"] * 6 + ["failed"] * 2


def test_failure_of_a_whole_group_hits_all_of_it() -> None:
    """Nobody of it waits for ever, nobody believes in a commit, and the queue goes on."""
    runner = Runner()
    broken = True

    def run_group(take: Callable[[], Group]) -> Group:
        runner.entered.set()
        assert runner.gate.wait(20)
        group = take()
        if broken:
            raise OSError("disk gone")
        for pending in group:
            pending.result = pending.work(None)
        return group

    queue = CommitQueue(run_group)

    def work(_: int) -> bool:
        with pytest.raises(OSError, match="disk gone"):
            queue.submit(lambda _: None)
        return True

    assert all(in_threads(20, work))
    broken = False
    assert within(5, lambda: queue.submit(lambda _: 7)) == 7

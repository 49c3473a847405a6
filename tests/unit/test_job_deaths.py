"""Schedulers that are killed, or put to sleep, in the middle of a run: what the next one finds, and what wakes up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.db.database import Database
from appliance.jobs import runs, steering
from appliance.jobs.runs import Run
from appliance.jobs.steering import JobState
from tests.support.at_work import JOB, place_of

REPOSITORY = Path(__file__).parents[2]


class Schedulers:
    """Processes over one database."""

    def __init__(self, database: Database, folder: Path, closing: ExitStack) -> None:
        self.database = database
        self.folder = folder
        self._closing = closing

    def start(self) -> subprocess.Popen[bytes]:
        """One more; it is gone after the test."""
        program = [sys.executable, "-m", "tests.support.at_work", place_of(self.database), str(self.folder)]
        process = subprocess.Popen(program, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
        self._closing.callback(process.wait)
        self._closing.callback(process.kill)
        return process

    def noted(self, process: subprocess.Popen[bytes]) -> list[str]:
        """What became of its runs."""
        diary = self.folder / "diary"
        lines = diary.read_text().splitlines() if diary.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{process.pid} ")]

    def begins(self, process: subprocess.Popen[bytes], *, tells: bool = False) -> None:
        """Wait until it is at work, and, if it ``tells``, until all can read how far."""
        until(lambda: any(line.startswith("begun") for line in self.noted(process)))
        if tells:
            (self.folder / "tell").touch()
            until(lambda: any(run.progress is not None for run in self.runs()))

    def let_end(self, process: subprocess.Popen[bytes]) -> None:
        """What it is at has been done."""
        (self.folder / f"end-{process.pid}").touch()

    def runs(self) -> list[Run]:
        """The newest first."""
        return runs.history(self.database, JOB)

    def outcomes(self) -> list[tuple[int, str | None]]:
        """The process and the outcome of each run, the newest first."""
        return [(int(run.holder.rpartition("/")[2]), run.outcome) for run in self.runs()]

    def state(self) -> JobState:
        """As people see it."""
        (found,) = [each for each in steering.listing(self.database) if each.name == JOB]
        return found


def until(condition: Callable[[], bool]) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def schedulers(database: Database, tmp_path: Path) -> Iterator[Schedulers]:
    """None yet."""
    with ExitStack() as closing:
        yield Schedulers(database, tmp_path, closing)


@pytest.mark.parametrize("tells", [False, True])
def test_run_of_a_process_that_was_killed_is_told_and_what_was_asked_of_it_is_done(
    schedulers: Schedulers, tells: bool
) -> None:
    """However early it died; a job that rests is run by the next process only because it was asked for."""
    database = schedulers.database
    steering.pause(database, JOB, None)
    steering.ask(database, JOB)
    first = schedulers.start()
    schedulers.begins(first, tells=tells)
    first.kill()
    first.wait()
    second = schedulers.start()
    schedulers.begins(second)
    assert schedulers.noted(second) == ["begun, asked"]
    assert schedulers.outcomes() == [(second.pid, None), (first.pid, "died")]
    assert steering.is_asked(database, JOB)
    schedulers.let_end(second)
    until(lambda: not steering.is_asked(database, JOB))
    assert schedulers.outcomes() == [(second.pid, "done"), (first.pid, "died")]
    second.terminate()
    assert second.wait(20) == 0
    assert schedulers.noted(second) == ["begun, asked", "ended"], "once"


@pytest.mark.parametrize("tells", [False, True])
@pytest.mark.parametrize("ends", [False, True])
def test_process_that_slept_writes_nothing_over_what_the_next_one_is_at(
    schedulers: Schedulers, tells: bool, ends: bool
) -> None:
    """It wakes up to go on, and stops; or to find that it was at its end (``ends``)."""
    database = schedulers.database
    steering.ask(database, JOB)
    first = schedulers.start()
    schedulers.begins(first, tells=tells)
    first.send_signal(signal.SIGSTOP)
    before = schedulers.state()
    second = schedulers.start()
    schedulers.begins(second)
    steering.ask(database, JOB)
    asked_at = schedulers.state().asked_at
    if ends:
        schedulers.let_end(first)
    first.send_signal(signal.SIGCONT)
    until(lambda: schedulers.noted(first)[-1] in ("ended", "lost"))
    # It ends when nothing of it goes on any more.
    first.terminate()
    assert first.wait(20) == 0
    assert schedulers.noted(first)[-1] == ("ended" if ends else "lost")
    state = schedulers.state()
    assert schedulers.outcomes() == [(second.pid, None), (first.pid, "died")]
    assert (state.state, state.ended_at, state.next_at) == ("running", before.ended_at, before.next_at)
    assert state.asked_at == asked_at is not None
    schedulers.let_end(second)
    until(lambda: schedulers.outcomes()[-2:] == [(second.pid, "done"), (first.pid, "died")])
    assert schedulers.state().ended_at > before.ended_at

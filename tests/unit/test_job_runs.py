"""What is kept of a job's last run: its result, what it said, and when it comes again."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest

from appliance import clock
from appliance.db.database import Database
from appliance.errors import Unavailable
from appliance.jobs import runs
from appliance.jobs.runs import Run, told
from appliance.jobs.scheduler import Job, Scheduler
from tests.support.databases import on_sqlite


class Result(NamedTuple):
    """As jobs return it."""

    rows: int
    blobs_left: int
    failed: int


def fail() -> None:
    """An error that is expected now and then."""
    raise Unavailable(reason="the store does not answer")


def crash() -> None:
    """One that nobody has thought of."""
    raise ZeroDivisionError


def run_all(database: Database, *jobs: Job) -> dict[str, Run]:
    """The last run of each, by name."""
    scheduler = Scheduler(database, list(jobs))
    scheduler.start()
    deadline = time.monotonic() + 20
    while len(runs.listing(database)) < len(jobs) and time.monotonic() < deadline:
        time.sleep(0.02)
    scheduler.stop()
    return {run.name: run for run in runs.listing(database)}


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(None, ""), (0, ""), (7, "7"), ("nothing changed", "nothing changed"), (Result(0, 0, 0), ""),
     (Result(3, 20, 0), "rows 3, blobs left 20")],
)  # fmt: skip
def test_told_says_what_was_done(outcome: object, words: str) -> None:
    """Nothing of what was not."""
    assert told(outcome) == words


def test_last_run_is_kept_with_its_result(database: Database) -> None:
    """Done, failed and crashed are told apart."""
    before = clock.now()
    found = run_all(
        database,
        Job("done", 3600, 60, lambda: Result(3, 0, 0)),
        Job("failing", 3600, 60, fail),
    )
    assert (found["done"].outcome, found["done"].said) == ("done", "rows 3")
    assert (found["failing"].outcome, found["failing"].said) == ("failed", "the store does not answer")
    for run in found.values():
        assert before <= run.began_at <= run.ended_at <= clock.now()
        assert 3590 < (run.next_at - run.ended_at) / clock.SECOND <= 3600
        assert run.holder


@on_sqlite
def test_job_that_crashes_is_told_as_failed(database: Database) -> None:
    """Nobody shall read "done" of the run before."""
    found = run_all(database, Job("crashing", 3600, 60, crash))
    assert found["crashing"].outcome == "failed"
    assert "log" in found["crashing"].said


@on_sqlite
def test_run_replaces_the_one_before(database: Database) -> None:
    """A row a job."""
    for number in range(3):
        run = Run("job", "nas/1", number, number, "done", "x" * 1000, number)
        database.write(lambda session, run=run: runs.note(session, run))
    (found,) = runs.listing(database)
    assert (found.began_at, len(found.said)) == (2, 300)

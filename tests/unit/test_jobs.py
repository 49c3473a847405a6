"""The scheduler's clock and its leases: one run of a job at a time, whoever asks."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.jobs.leases import lease, release_all
from appliance.jobs.performing import Job
from appliance.jobs.scheduler import Scheduler
from appliance.upkeep.turn import Turn
from tests.support.databases import on_sqlite


def test_lease_that_is_held_is_held_for_its_holder_too(database: Database) -> None:
    """A second run in the same process is a second run."""
    with lease(database, "job", "me", 60) as first:
        with lease(database, "job", "me", 60) as second:
            assert (first.taken, second.taken) == (True, False)
        with lease(database, "job", "me", 60) as third, lease(database, "other job", "me", 60) as other:
            assert (third.taken, other.taken) == (False, True)
    with lease(database, "job", "somebody else", 60) as again:
        assert again.taken


def test_lease_that_was_overtaken_gives_nothing_away(database: Database) -> None:
    """The run that overtook keeps it, also when both are of one process."""
    with lease(database, "job", "me", -1) as first:
        second = lease(database, "job", "me", 60)
        assert (first.taken, second.__enter__().taken) == (True, True)
    with lease(database, "job", "me", 60) as third:
        assert not third.taken
    second.__exit__(None, None, None)
    with lease(database, "job", "me", 60) as again:
        assert again.taken


def test_release_all_frees_what_the_dead_held(database: Database) -> None:
    """As a server does at its start."""
    of_the_dead = lease(database, "job", "dead", 3600)
    assert of_the_dead.__enter__().taken
    assert release_all(database) == 1
    with lease(database, "job", "me", 60) as again:
        assert again.taken


class Work:
    """Notes how many runs there were, and how many at once."""

    def __init__(self, seconds: float) -> None:
        self.started = self.now = self.most = 0
        self._seconds = seconds
        self._mutex = threading.Lock()

    def __call__(self, turn: Turn) -> None:
        with self._mutex:
            self.started += 1
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self._seconds)
        with self._mutex:
            self.now -= 1


@on_sqlite
def test_job_that_takes_longer_than_its_interval_never_runs_twice_at_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The turns that it misses are made up for, and nobody is warned of them."""
    caplog.set_level(logging.INFO)
    work = Work(0.4)
    scheduler = Scheduler(database, [Job("slow", 0.1, work)])
    scheduler.start()
    time.sleep(1.5)
    scheduler.stop()
    assert work.most == 1
    assert work.started >= 2
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@on_sqlite
def test_job_runs_at_once_and_then_at_its_times(database: Database) -> None:
    """Nobody waits an hour for the first sweep; nothing runs after the end, and no lease is left."""
    hourly, often = Work(0.0), Work(0.0)
    scheduler = Scheduler(database, [Job("hourly", 3600, hourly), Job("often", 0.2, often)])
    scheduler.start()
    time.sleep(0.9)
    scheduler.stop()
    assert hourly.started == 1
    assert 3 <= often.started <= 6
    with database.read() as session:
        assert session.rows(Sql("SELECT * FROM lease")) == []

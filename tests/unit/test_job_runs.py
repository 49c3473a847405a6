"""What is kept of jobs and their runs, and how people steer them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import Unavailable
from appliance.jobs import performing, runs, steering
from appliance.jobs.leases import Lease
from appliance.jobs.performing import Job, perform
from appliance.jobs.runs import told
from appliance.jobs.scheduler import Scheduler
from appliance.jobs.steering import JobState
from appliance.upkeep.check_report import Progress
from appliance.upkeep.turn import Turn
from tests.support.databases import on_sqlite

HOUR = 3600 * clock.SECOND


class Result(NamedTuple):
    """As jobs return it."""

    rows: int
    blobs_left: int
    failed: int


def fail(turn: Turn) -> None:
    """An error that is expected now and then."""
    raise Unavailable(reason="the store does not answer")


def crash(turn: Turn) -> None:
    """One that nobody has thought of."""
    raise ZeroDivisionError


def done(database: Database, job: Job, *, is_asked: bool = False) -> bool:
    """One run by this process; asked for if it ``is_asked``."""
    if is_asked:
        steering.ask(database, job.name)
    return perform(database, job, "nas/1", next_at=lambda: clock.now() + HOUR, is_asked=is_asked)


def states(database: Database) -> dict[str, JobState]:
    """By name."""
    return {each.name: each for each in steering.listing(database)}


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(None, ""), (0, ""), (7, "7"), ("nothing changed", "nothing changed"), (Result(0, 0, 0), ""),
     (Result(3, 20, 0), "rows 3, blobs left 20")],
)  # fmt: skip
def test_told_says_what_was_done(outcome: object, words: str) -> None:
    """Nothing of what was not."""
    assert told(outcome) == words


def test_run_is_kept_with_its_result(database: Database) -> None:
    """Done and failed are told apart, and the next one is foretold."""
    before = clock.now()
    assert done(database, Job("done", 3600, lambda turn: Result(3, 0, 0)))
    assert done(database, Job("failing", 3600, fail))
    found = states(database)
    last, bad = found["done"].last, found["failing"].bad
    assert last is not None
    assert bad is not None
    assert (last.outcome, last.said, found["done"].bad) == ("done", "rows 3", None)
    assert (bad.outcome, bad.said, bad.holder) == ("failed", "the store does not answer", "nas/1")
    for each in found.values():
        assert before <= each.ended_at <= clock.now()
        assert each.next_at >= before + HOUR
        assert each.state == "idle"


def test_error_is_still_known_when_a_later_run_went_well(database: Database) -> None:
    """Until so many runs have come behind it that it is forgotten."""
    done(database, Job("job", 3600, fail))
    done(database, Job("job", 3600, lambda turn: 1))
    found = states(database)["job"]
    assert found.last is not None
    assert found.bad is not None
    assert (found.last.outcome, found.bad.said) == ("done", "the store does not answer")
    for _ in range(runs.KEPT + 5):
        done(database, Job("job", 3600, lambda turn: 1))
    assert len(runs.history(database, "job", most=1000)) == runs.KEPT
    assert states(database)["job"].bad is None


def test_run_that_had_nothing_to_do_leaves_no_row(database: Database) -> None:
    """But it is known that it was there; and one that was asked for is told in any case."""
    done(database, Job("idle", 3600, lambda turn: None))
    assert runs.history(database) == []
    assert states(database)["idle"].ended_at > 0
    done(database, Job("idle", 3600, lambda turn: None), is_asked=True)
    assert [run.outcome for run in runs.history(database, "idle")] == ["done"]


@on_sqlite
def test_job_that_crashes_is_told_as_failed(database: Database) -> None:
    """Nobody shall read "done" of the run before; the error is the caller's."""
    with pytest.raises(ZeroDivisionError):
        done(database, Job("crashing", 3600, crash))
    (run,) = runs.history(database)
    assert (run.outcome, "log" in run.said) == ("failed", True)
    assert done(database, Job("crashing", 3600, lambda turn: None)), "the lease was given back"


def test_how_far_a_run_is_can_be_read_while_it_goes_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By anybody who reads the rows."""
    monkeypatch.setattr(performing, "_LOOK_S", 0.02)
    go_on = threading.Event()

    def work(turn: Turn) -> int:
        turn.tell(Progress("counting", 3, 10, "sheep"))
        assert go_on.wait(20)
        return 10

    thread = threading.Thread(target=done, args=(database, Job("slow", 3600, work)))
    thread.start()
    until(lambda: "slow" not in states(database) or True)
    until(lambda: any(run.progress is not None for run in runs.history(database)))
    (run,) = runs.history(database)
    assert (str(run.progress), run.outcome, run.ended_at) == ("counting: 3 of 10 sheep (30 %)", None, None)
    assert not done(database, Job("slow", 3600, work)), "another one beside it"
    go_on.set()
    thread.join()
    (run,) = runs.history(database)
    assert (run.outcome, run.said, run.done) == ("done", "10", 3)


def test_run_of_a_process_that_died_is_taken_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its lease has run out, and not before; what it was at is told as that."""
    dead = Lease(database, "job", "dead/7", 0.3)
    assert dead.taken
    database.write(lambda session: runs.begin(session, "job", "dead/7", clock.now()))
    assert not done(database, Job("job", 3600, lambda turn: 1))
    until(lambda: done(database, Job("job", 3600, lambda turn: 1)))
    assert [(run.holder, run.outcome) for run in runs.history(database)] == [("nas/1", "done"), ("dead/7", "died")]
    found = states(database)["job"]
    assert found.bad is not None
    assert (found.bad.outcome, found.running) == ("died", None)


def test_lease_is_renewed_while_a_run_goes_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes; and a run that was overtaken is told, and stops."""
    monkeypatch.setattr(performing, "_LOOK_S", 0.02)
    monkeypatch.setattr(performing, "_RENEW_S", 0.05)
    monkeypatch.setattr(performing, "LEASE_S", 0.4)
    seen: list[bool] = []

    def work(turn: Turn) -> int:
        time.sleep(1)
        seen.append(done(database, Job("long", 3600, lambda turn: 1)))
        database.write(lambda session: session.run(Sql("UPDATE lease SET holder = 'another'")))
        until(turn.is_lost)
        return 1

    assert done(database, Job("long", 3600, work))
    assert seen == [False]


def test_paused_job_rests_until_it_is_resumed_or_asked_for(database: Database) -> None:
    """Or its time is over."""
    job = Job("job", 3600, lambda turn: 1)
    steering.pause(database, "job", None)
    assert states(database)["job"].state == "paused"
    assert not done(database, job)
    assert done(database, job, is_asked=True)
    assert not done(database, job)
    assert steering.resume(database, "job")
    assert not steering.resume(database, "job")
    assert done(database, job)
    steering.pause(database, "job", clock.now() + clock.SECOND // 5)
    assert not done(database, job)
    until(lambda: done(database, job))
    assert states(database)["job"].state == "idle"


@on_sqlite
def test_scheduler_does_what_it_is_asked_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is not due."""
    monkeypatch.setattr("appliance.jobs.scheduler.ASKED_S", 0.05)
    asked: list[bool] = []
    scheduler = Scheduler(database, [Job("job", 3600, lambda turn: asked.append(turn.is_asked))])
    scheduler.start()
    until(lambda: asked == [False])
    steering.ask(database, "job")
    until(lambda: asked == [False, True])
    scheduler.stop()
    assert not steering.is_asked(database, "job")


@on_sqlite
def test_what_is_not_due_waits_over_a_restart_and_what_was_missed_is_made_up_for_once(database: Database) -> None:
    """But for what has to run at every start."""
    count = dict.fromkeys(("hourly", "always", "missed"), 0)

    def work(name: str) -> Callable[[Turn], None]:
        def run(turn: Turn) -> None:
            count[name] += 1

        return run

    jobs = [
        Job("hourly", 3600, work("hourly")),
        Job("always", 3600, work("always"), at_start=True),
        Job("missed", 3600, work("missed")),
    ]
    for number in range(3):
        if number == 2:
            database.write(lambda session: session.run(Sql("UPDATE job SET next_at = 1 WHERE name = 'missed'")))
        scheduler = Scheduler(database, jobs)
        scheduler.start()
        time.sleep(0.5)
        scheduler.stop()
    assert count == {"hourly": 1, "always": 3, "missed": 2}


@on_sqlite
def test_of_two_schedulers_one_runs_it(database: Database) -> None:
    """As of two nodes."""
    now = [0]
    most = [0]
    mutex = threading.Lock()

    def work(turn: Turn) -> int:
        with mutex:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with mutex:
            now[0] -= 1
        return 1

    schedulers = [Scheduler(database, [Job("job", 0.06, work, at_start=True)]) for _ in range(2)]
    for each in schedulers:
        each.start()
    time.sleep(1.5)
    for each in schedulers:
        each.stop()
    assert most == [1]
    assert len(runs.history(database, "job")) > 5

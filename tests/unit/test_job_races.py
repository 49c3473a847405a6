"""Jobs that are steered in the middle of their end, on PostgreSQL: nothing that somebody wanted is lost."""

from __future__ import annotations

from appliance import clock
from appliance.db.database import Database
from appliance.jobs import runs, steering
from appliance.jobs.performing import Job, perform
from appliance.upkeep.turn import Turn
from tests.support.databases import on_postgresql
from tests.support.faults import in_threads
from tests.support.interleaving import interleaved

pytestmark = on_postgresql


def run(database: Database, *, is_asked: bool = False) -> bool:
    """By this process."""
    return perform(database, Job("job", 60, lambda turn: 1), "nas/1", next_at=lambda: 7, is_asked=is_asked)


def test_question_at_the_end_of_the_run_that_answers_another_is_kept(database: Database) -> None:
    """The run had begun by then."""
    steering.ask(database, "job")
    done, _ = interleaved(
        database, "SET asked_at = NULL", lambda slow: run(slow, is_asked=True), lambda: steering.ask(database, "job")
    )
    assert done
    assert steering.is_asked(database, "job")
    assert run(database, is_asked=True)
    assert not steering.is_asked(database, "job")


def test_pause_at_the_end_of_a_run_holds(database: Database) -> None:
    """And so does what the end notes."""
    interleaved(database, "INSERT INTO job (", run, lambda: steering.pause(database, "job", None))
    (state,) = steering.listing(database)
    assert state.is_paused
    assert (state.next_at, state.ended_at > 0) == (7, True)
    assert not run(database)


def test_of_many_that_take_a_job_at_once_one_has_it(database: Database) -> None:
    """Also where there was no lease, or one whose time is over."""
    first, second = interleaved(database, "INSERT INTO lease", run, lambda: run(database))
    assert sorted([first, second]) in ([False, True], [True, True])
    assert [each.outcome for each in runs.history(database)] == ["done"] * (int(first) + int(second))


def test_what_was_asked_for_once_is_done_once(database: Database) -> None:
    """By one of the schedulers that have seen it."""
    for _ in range(10):
        steering.ask(database, "job")
        assert sum(in_threads(4, lambda _: run(database, is_asked=True))) == 1
        assert not steering.is_asked(database, "job")
    assert len(runs.history(database)) == 10


def test_two_that_find_a_dead_run_bury_it_once(database: Database) -> None:
    """The one that has the lease."""
    database.write(lambda session: runs.begin(session, "job", "dead/1", clock.now()))

    def work(turn: Turn) -> int:
        return 1

    job = Job("job", 60, work)
    in_threads(4, lambda _: perform(database, job, "nas/1", next_at=lambda: 7))
    outcomes = [each.outcome for each in runs.history(database)]
    assert outcomes[-1] == "died"
    assert set(outcomes[:-1]) == {"done"}

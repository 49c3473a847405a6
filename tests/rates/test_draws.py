"""Workers that draw blocks of one bucket: together they answer what the limit says, and seldom ask SQL."""

from __future__ import annotations

import random
import time as real_time

import pytest

from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import ReadOnly, Unavailable
from appliance.rates.allowance import Allowance
from appliance.rates.buckets import Buckets, forget_full
from appliance.rates.limit import RateLimit
from tests.accounts.guessing import Writes
from tests.rates.counting import Crowd, Time
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads

MOST = 600


def requests(workers: int, most: int = MOST) -> RateLimit:
    """So many requests a minute."""
    return RateLimit.of("user", "requests", most, workers=workers)


@pytest.fixture
def time() -> Time:
    """In the hands of the test."""
    return Time()


def rows(database: Database) -> int:
    """How many buckets are not full, as far as SQL has been told."""
    with database.read() as session:
        return int(session.value(Sql("SELECT COUNT(*) FROM rate_bucket")))


def test_one_worker_answers_exactly_the_limit_and_then_what_comes_back(database: Database, time: Time) -> None:
    """Six hundred at once; then ten a second, which is what the wait is for."""
    alone = Crowd(database, requests(1), time, workers=1)
    assert alone.ask(MOST + 50) == MOST
    assert alone.wait_s() == pytest.approx(1.0, abs=0.01)
    time.pass_s(0.5)
    assert alone.wait_s() == pytest.approx(0.5, abs=0.01)
    time.pass_s(0.51)
    assert alone.ask(50) == 10
    for _ in range(3):
        time.pass_s(1.01)
        assert alone.ask(50) in (10, 11)
    time.pass_s(120)
    assert alone.ask(MOST + 50) == MOST


@pytest.mark.parametrize("count", [2, 8])
def test_several_workers_answer_the_limit_but_for_what_they_hold(database: Database, time: Time, count: int) -> None:
    """No more than a block each beyond it, and no less: blocks get smaller where little is left."""
    limit = requests(count)
    crowd = Crowd(database, limit, time, workers=count)
    answered = crowd.ask(3 * MOST)
    assert MOST <= answered <= MOST + count * limit.block
    assert all(crowd.wait_s(worker) > 0 for worker in range(count))


def test_no_minute_has_more_than_a_full_bucket_what_came_back_and_what_was_held(database: Database, time: Time) -> None:
    """Whenever requests come, and to whichever worker."""
    limit, chance = requests(3), random.Random(7)
    crowd = Crowd(database, limit, time, workers=3)
    answered: list[tuple[float, int]] = []
    for _ in range(400):
        time.pass_s(chance.choice((0.01, 0.2, 1.5, 20.0)))
        answered.append((time.s, crowd.ask(chance.randrange(120), chance.randrange(3))))
    for begins, _ in answered:
        within = sum(count for at, count in answered if begins <= at < begins + 60)
        assert within <= 2 * MOST + 3 * 2 * limit.block
    # It did refuse: otherwise nothing was shown.
    assert sum(count for _, count in answered) < 400 * 55


def test_threads_of_several_workers_answer_no_more_together(database: Database) -> None:
    """Two that draw at once do it one after the other; so do two that spend the same block."""
    limit = requests(4, 2000)
    workers = [Allowance(limit, "7", Buckets(database)) for _ in range(4)]

    def ask(worker: Allowance) -> int:
        return sum(worker.admit(1, real_time.monotonic()) == 0.0 for _ in range(700))

    began = real_time.monotonic()
    answered = in_threads(8, lambda number: ask(workers[number % 4]))
    came_back = (real_time.monotonic() - began) * limit.most / 60
    # A worker that has asked its last may hold some still.
    assert 2000 - 4 * limit.block <= sum(answered) <= 2000 + came_back + 4 * limit.block + 1


def test_request_costs_no_write_but_where_a_block_begins(database: Database, time: Time) -> None:
    """Some sixteen a minute, and one a second while somebody is refused however often that is."""
    writes = Writes(database)
    alone = Crowd(writes, requests(1), time, workers=1)
    alone.ask(MOST)
    assert 10 <= writes.count <= 17
    before = writes.count
    assert alone.ask(1000) == 0
    assert writes.count - before == 1


def test_who_asks_seldom_is_never_told_to_sql(database: Database, time: Time) -> None:
    """Less than a worker's block in a minute is given on credit."""
    writes = Writes(database)
    alone = Crowd(writes, requests(1), time, workers=1)
    for _ in range(20):
        assert alone.ask(30) == 30
        time.pass_s(61)
    assert writes.count == 0
    assert rows(database) == 0


def test_block_that_was_not_spent_in_its_minute_is_lost(database: Database, time: Time) -> None:
    """It cannot be saved up; what was drawn is drawn."""
    limit = requests(1)
    crowd = Crowd(database, limit, time, workers=2)
    for _ in range(limit.block + 1):
        assert crowd.wait_s() == 0.0
    # The other one takes all that is there. What the first one holds is missing.
    other = [crowd.workers[1].admit(1, time.s) for _ in range(2 * MOST)]
    assert other.count(0.0) == MOST - 2 * limit.block
    for _ in range(70):
        time.pass_s(1.0)
        while crowd.workers[1].admit(1, time.s) == 0.0:
            pass
    # What it held is gone: all it has is on credit.
    held = [crowd.workers[0].admit(1, time.s) for _ in range(MOST)]
    assert held.count(0.0) <= limit.block + 11


def test_clock_that_is_set_back_far_locks_nobody_out(database: Database, time: Time) -> None:
    """A bucket of an hour ahead counts as full; nobody waits for an hour."""
    alone = Crowd(database, requests(1), time, workers=1)
    alone.ask(2 * MOST)
    time.pass_s(2)
    time.wall -= 3600 * 1_000_000
    assert alone.ask(2 * MOST) == MOST


def test_clock_that_is_set_back_a_little_costs_that_time(database: Database, time: Time) -> None:
    """As far as clocks of nodes may differ: nothing comes back until it is as late as it was."""
    alone = Crowd(database, requests(1), time, workers=1)
    alone.ask(2 * MOST)
    time.pass_s(1.01)
    time.wall -= 5 * 1_000_000
    assert alone.ask(50) == 0
    assert 2 < alone.wait_s() < 8
    time.pass_s(8)
    assert alone.ask(5) == 5


@pytest.mark.parametrize("error", [Unavailable(reason="away"), ReadOnly()])
@on_sqlite
def test_worker_without_a_database_counts_alone(database: Database, time: Time, error: Exception) -> None:
    """A limit refuses nothing because it cannot be written, and does not end either."""
    writes = Writes(database)
    writes.error = error
    alone = Crowd(writes, requests(1), time, workers=1)
    assert alone.ask(2 * MOST) == MOST
    writes.error = None
    time.pass_s(1.1)
    assert alone.ask(5) == 5


@pytest.mark.parametrize("most", [1, 7, 99_999, 1_000_000, 10**14])
def test_any_limit_is_kept_in_the_long_run(database: Database, time: Time, most: int) -> None:
    """However coarse SQL counts: within a hundredth and a block, over ten minutes."""
    limit = requests(1, most)
    worker = Crowd(database, limit, time, workers=1).workers[0]
    answered, at_once = 0, max(1, most // 500)
    for _ in range(600):
        while worker.admit(at_once, time.s) == 0.0:
            answered += at_once
        time.pass_s(1.0)
    assert 10.7 * most - 2 <= answered <= 11 * most + limit.block * limit.unit + 60 * at_once


def test_full_buckets_are_forgotten_and_those_of_a_clock_that_was_set_back(database: Database, time: Time) -> None:
    """What is drawn from stays."""
    Crowd(database, requests(1), time, workers=1).ask(100)
    assert forget_full(database, now=time.wall) == 0
    assert rows(database) == 1
    assert forget_full(database, now=time.wall - 2 * 3600 * 1_000_000) == 1
    Crowd(database, requests(1), time, workers=1).ask(100)
    time.pass_s(61)
    assert forget_full(database, now=time.wall) == 1
    assert rows(database) == 0

"""Bytes are counted when they have passed: they refuse what comes next, for as long as it takes to pay for them."""

from __future__ import annotations

import pytest

from appliance.db.database import Database
from appliance.rates.limit import RateLimit
from tests.accounts.guessing import Writes
from tests.rates.counting import Crowd, Time

MB = 1_000_000
MOST = 600 * MB


@pytest.fixture
def time() -> Time:
    """In the hands of the test."""
    return Time()


def crowd(database: Database, time: Time, workers: int = 1) -> Crowd:
    """Six hundred megabytes a minute: ten a second."""
    return Crowd(database, RateLimit.of("token", "bytes", MOST, workers=workers), time, workers=workers)


def test_transfer_within_the_limit_refuses_nothing(database: Database, time: Time) -> None:
    """Until the limit is reached, and again when some have come back."""
    (worker,) = crowd(database, time).workers
    count = 0
    while not (wait_s := worker.admit(0, time.s)):
        worker.charge(10 * MB, time.s)
        time.pass_s(0.1)
        count += 1
    # Sixty, and what came back in the six seconds that they took.
    assert 66 <= count <= 68
    assert wait_s <= 2.1
    time.pass_s(wait_s + 0.01)
    assert worker.admit(0, time.s) == 0.0


def test_long_transfer_is_paid_before_the_next_request(database: Database, time: Time) -> None:
    """Two minutes' worth more than there was: two minutes."""
    (worker,) = crowd(database, time).workers
    assert worker.admit(0, time.s) == 0.0
    worker.charge(3 * MOST, time.s)
    assert worker.admit(0, time.s) == pytest.approx(121, abs=0.5)
    assert worker.told(time.s)[1:] == (0, 121)
    time.pass_s(115)
    assert worker.admit(0, time.s) > 0
    time.pass_s(7)
    assert worker.admit(0, time.s) == 0.0


def test_no_more_than_ten_minutes_are_owed(database: Database, time: Time) -> None:
    """Whoever took a terabyte in one go is let in again before the next week."""
    (worker,) = crowd(database, time).workers
    worker.charge(10_000 * MOST, time.s)
    assert worker.admit(0, time.s) == pytest.approx(601, abs=1)


def test_all_workers_hear_of_what_is_owed(database: Database, time: Time) -> None:
    """One that has not heard gives a block of credit, and then refuses as well."""
    several = crowd(database, time, workers=2)
    first, second = several.workers
    first.charge(2 * MOST, time.s)
    assert second.admit(0, time.s) == 0.0
    second.charge(several.limit.block * several.limit.unit, time.s)
    assert second.admit(0, time.s) == pytest.approx(61 + 60 / 32, abs=1)


def test_transfer_that_goes_on_writes_once_a_second(database: Database, time: Time) -> None:
    """However small its pieces are, and however much is owed."""
    writes = Writes(database)
    (worker,) = crowd(writes, time).workers
    for _ in range(10_000):
        worker.charge(MB, time.s)
        time.pass_s(0.001)
    assert writes.count <= 11
    assert worker.admit(0, time.s) > 600

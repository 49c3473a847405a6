"""What failed sign-ins cost: few writes, no hashes, bounded tables; and how blocks are lifted."""

from __future__ import annotations

import threading
import time

import pytest

from appliance import clock
from appliance.accounts import app_passwords, failures, passwords, throttle, users
from appliance.accounts.failures import Pair
from appliance.accounts.signin import SignIn
from appliance.accounts.throttle import pair_of
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import NotFound, StorageFull
from tests.accounts.guessing import HERE, KEY, THERE, Clock, Writes, attempt, fill, rows
from tests.conftest import PASSWORD
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads


def test_flood_is_written_once_a_second(database: Database, user: User, now: Clock, hashes: list[str]) -> None:
    """The first few at once; and all of it counts in this process meanwhile."""
    writes = Writes(database)
    worker = SignIn(writes, guess_key=KEY, now=now)
    for second in range(10):
        for number in range(30):
            assert attempt(worker, "wrong", name=f"user{second}-{number}") == -1
        worker.flush()
        now.pass_s(1)
    assert len(hashes) == 300
    assert writes.count <= 33 + 10
    other = SignIn(database, guess_key=KEY, now=now)
    assert fill(other, 10, name="user9-29") == [-1] * 9 + [60]


def test_remembered_pairs_and_devices_cost_no_statement_more(
    database: Database, user: User, now: Clock, hashes: list[str]
) -> None:
    """One query for a remembered pair, two for an app password, no write for either until the next flush."""
    _, secret = app_passwords.add(database, user, "phone")
    counted = Writes(database)
    worker = SignIn(counted, now=now)
    attempt(worker, PASSWORD)
    counted.reads = 0
    for _ in range(5):
        assert attempt(worker, PASSWORD) == 0
    assert counted.reads == 5
    assert attempt(SignIn(counted, now=now), secret) == 0
    assert counted.reads == 7
    assert counted.count == 0
    for _ in range(3):
        worker.flush()
    assert counted.count == 1


def test_failure_that_cannot_be_written_counts_and_is_written_later(
    database: Database, user: User, now: Clock, hashes: list[str]
) -> None:
    """A full disk gives no free guesses."""
    failing = Writes(database)
    failing.error = StorageFull()
    worker = SignIn(failing, guess_key=KEY, now=now)
    assert fill(worker, 11) == [-1] * 10 + [60]
    failing.error = None
    worker.flush()
    assert attempt(SignIn(database, guess_key=KEY, now=now), PASSWORD) == 60


def test_threads_guess_no_more_than_one_would(workers: list[SignIn], hashes: list[str]) -> None:
    """Thirty-two at once get ten answers, and an eleventh that began the block; nobody hashes meanwhile."""
    found = in_threads(32, lambda number: attempt(workers[0], f"guess {number}"))
    assert sorted(found) == [-1] * 10 + [60] * 22
    # Two turns: one may be at it while the other counts.
    assert len(hashes) <= 12


def test_lifted_block_ends_at_once_in_all_processes(database: Database, workers: list[SignIn], now: Clock) -> None:
    """And begins at the beginning: ten more failures, one minute."""
    fill(workers[0], 11)
    fill(workers[0], 11, THERE)
    for worker in workers:
        worker.flush()
    assert [pair for pair, _ in failures.listing(database, now=now.at)] == [Pair("alice", HERE), Pair("alice", THERE)]
    assert failures.lift(database, " ALICE ", now=now.at) == 2
    assert failures.listing(database, now=now.at) == []
    assert [attempt(worker, PASSWORD) for worker in workers] == [0, 0, 0]
    assert fill(workers[0], 11, prefix="new") == [-1] * 10 + [60]
    with pytest.raises(NotFound, match="a block of the account nobody does not exist"):
        failures.lift(database, "nobody", now=now.at)


def test_block_of_an_impossible_name_can_be_lifted_as_it_is_listed(
    database: Database, workers: list[SignIn], now: Clock
) -> None:
    """The name itself is not kept: it may be a password that was typed one field too early."""
    fill(workers[0], 11, name="My secret!")
    ((pair, _),) = failures.listing(database, now=now.at)
    assert pair == pair_of("My secret!", HERE)
    assert "secret" not in pair.account
    assert failures.lift(database, pair.account, now=now.at) == 1


def test_old_rows_go(database: Database, workers: list[SignIn], now: Clock) -> None:
    """Failures and blocks after an hour, networks after ninety days."""
    assert attempt(workers[0], PASSWORD, THERE) == 0
    fill(workers[0], 11)
    workers[0].flush()
    assert rows(database) == {"failure": 11, "block": 1, "network": 1}
    now.pass_s(3599)
    assert failures.forget_old(database, now=now.at) == 0
    now.pass_s(61)
    assert failures.forget_old(database, now=now.at) == 12
    assert rows(database) == {"failure": 0, "block": 0, "network": 1}
    now.pass_s(90 * 86_400)
    assert failures.forget_old(database, now=now.at) == 1


def test_tables_are_bounded(database: Database, workers: list[SignIn], now: Clock) -> None:
    """The newest stay."""
    for number in range(20):
        attempt(workers[0], "wrong", name=f"user{number}")
        now.pass_s(1)
    for number in range(70):
        attempt(workers[0], PASSWORD, f"203.0.113.{number}")
        now.pass_s(1)
    workers[0].flush()
    assert rows(database) == {"failure": 20, "block": 0, "network": 70}
    assert failures.forget_old(database, now=now.at, most=5) == 15 + 6
    with database.read() as session:
        kept = session.rows(Sql("SELECT account FROM login_failure ORDER BY account"))
        first = session.value(Sql("SELECT MIN(seen_at) FROM login_network"))
    assert kept == [(f"user{number}",) for number in range(15, 20)]
    assert first == now.at - 64 * clock.SECOND


def test_memory_is_bounded(database: Database, user: User, now: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while nothing can be written."""
    monkeypatch.setattr(throttle, "_PENDING_MOST", 50)
    failing = Writes(database)
    failing.error = StorageFull()
    counting = throttle.Throttle(failing, now=now)
    for number in range(80):
        assert not counting.compare(counting.guess(f"user{number}", "wrong", HERE), lambda: False)
    failing.error = None
    counting.flush()
    assert rows(database)["failure"] == 50


def test_sign_in_is_noted_once_a_day(database: Database, workers: list[SignIn], now: Clock) -> None:
    """Whoever signs in all the time writes nothing."""

    def seen() -> int:
        with database.read() as session:
            return int(session.value(Sql("SELECT seen_at FROM login_network")))

    began = now.at
    for hours, expected in ((0, 0), (12, 0), (24, 24)):
        now.at = began + hours * 3600 * clock.SECOND
        for worker in workers:
            assert attempt(worker, PASSWORD) == attempt(worker, PASSWORD, name="ALICE") == 0
            worker.flush()
        assert seen() == began + expected * 3600 * clock.SECOND


def test_name_that_is_given_again_begins_anew(database: Database, user: User, workers: list[SignIn]) -> None:
    """Who gets a purged user's name is neither blocked nor spared for what was before."""
    assert attempt(workers[0], PASSWORD, THERE) == 0
    fill(workers[0], 11)
    workers[0].flush()
    users.purge_user(database, user)
    assert rows(database) == {"failure": 0, "block": 0, "network": 0}


def test_clock_that_is_set_back_blocks_nobody_for_long(workers: list[SignIn], now: Clock) -> None:
    """A block that would end in years is none, and the next one counts."""
    fill(workers[0], 11)
    now.pass_s(-86_400)
    assert attempt(workers[0], PASSWORD) == 0
    assert fill(workers[1], 11, prefix="again")[-1] > 0
    now.pass_s(901)
    assert attempt(workers[2], PASSWORD) == 0


@on_sqlite
def test_right_password_from_elsewhere_is_heard_while_guesses_flood(
    database: Database, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real hashes: threads that go on guessing at the account take none of the turns any more."""
    calls: list[str] = []
    real = passwords.verify

    def verify(password: str, password_hash: str | None) -> bool:
        calls.append(password)
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "verify", verify)
    worker = SignIn(database)
    entered = threading.Event()

    def guess(thread: int) -> int:
        if thread == 0:
            until_blocked = time.monotonic() + 30
            while attempt(worker, "a guess of its own") == -1:
                assert time.monotonic() < until_blocked
            assert attempt(worker, PASSWORD, THERE) == 0
            entered.set()
            return 0
        number = 0
        while not entered.is_set():
            number += 1
            assert attempt(worker, f"guess {thread} {number}") != 0
        return number

    assert sum(in_threads(8, guess)) > 10
    assert len(calls) <= 13
    assert calls[-1] == PASSWORD

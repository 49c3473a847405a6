"""Guesses at passwords are slowed down: for an account and address, for an account, and nobody else."""

from __future__ import annotations

import pytest

from appliance import clock
from appliance.accounts import app_passwords, failures, users
from appliance.accounts.failures import EVERYWHERE, Block, Pair
from appliance.accounts.signin import SignIn
from appliance.accounts.throttle import network_of
from appliance.accounts.users import User
from appliance.db.database import Database
from tests.accounts.guessing import HERE, KEY, THERE, Clock, attempt, fill
from tests.conftest import PASSWORD


@pytest.mark.parametrize("name", ["alice", "nobody", "no name at all", "", "\udcff\0"])
def test_eleventh_failure_within_a_minute_blocks(workers: list[SignIn], hashes: list[str], name: str) -> None:
    """Whether somebody has the name or not; nothing is hashed from then on, right or wrong."""
    assert fill(workers[0], 10, name=name) == [-1] * 10
    assert fill(workers[0], 3, name=name, prefix="more") == [60] * 3
    assert attempt(workers[0], PASSWORD, name=name) == 60
    assert len(hashes) == 11


def test_ten_failures_block_nobody(workers: list[SignIn], now: Clock) -> None:
    """Nor ten in each minute that follows."""
    for turn in range(3):
        assert fill(workers[0], 10, prefix=f"turn {turn}") == [-1] * 10
        assert attempt(workers[turn], PASSWORD) == 0
        now.pass_s(60)


def test_window_slides(workers: list[SignIn], now: Clock) -> None:
    """Nine late in one minute and two early in the next are eleven within a minute."""
    assert fill(workers[0], 1, prefix="first") == [-1]
    now.pass_s(50)
    assert fill(workers[0], 9) == [-1] * 9
    now.pass_s(20)
    assert fill(workers[0], 2, prefix="later") == [-1, 60]


def test_block_doubles_with_further_failures_and_decays(workers: list[SignIn], now: Clock) -> None:
    """Up to 15 minutes; after a quiet hour it begins at one minute again, after ten failures."""
    fill(workers[0], 11)
    for number, seconds in enumerate([60, 120, 240, 480, 900, 900]):
        assert attempt(workers[1], f"during {number}") == seconds
        now.pass_s(seconds - 0.5)
        assert attempt(workers[1], f"during {number}") == 1
        now.pass_s(0.5)
        assert attempt(workers[2], f"after {number}") == [120, 240, 480, 900, 900, 900][number]
    now.pass_s(900 + 3600)
    assert fill(workers[0], 11, prefix="quiet") == [-1] * 10 + [60]


def test_attempts_during_a_block_do_not_extend_it(workers: list[SignIn], now: Clock) -> None:
    """A client that goes on asking gets in when it ends."""
    fill(workers[0], 11)
    for second in range(60):
        assert attempt(workers[second % 3], f"again {second}") == 60 - second
        now.pass_s(1)
    assert attempt(workers[0], PASSWORD) == 0


def test_other_addresses_accounts_devices_and_remembered_pairs_go_on(
    database: Database, user: User, workers: list[SignIn]
) -> None:
    """The block is for one account, one address, and main passwords that have to be compared."""
    users.add(database, "bob", PASSWORD)
    _, secret = app_passwords.add(database, user, "phone")
    assert attempt(workers[0], PASSWORD) == 0
    fill(workers[1], 11)
    assert [attempt(worker, PASSWORD) for worker in workers] == [0, 60, 60]
    for worker in workers:
        assert attempt(worker, PASSWORD, THERE) == 0
        assert attempt(worker, secret) == attempt(worker, secret, THERE) == 0
        assert attempt(worker, PASSWORD, name="bob") == 0


def test_guesses_that_come_one_by_one_count_exactly_in_all_processes(workers: list[SignIn]) -> None:
    """Whichever of them they come to."""
    found = [attempt(workers[number % 3], f"guess {number}") for number in range(12)]
    assert found == [-1] * 10 + [60, 60]


def test_block_outlives_the_processes(database: Database, workers: list[SignIn], now: Clock) -> None:
    """It is a row, and counts for whoever comes later, with another key as well."""
    fill(workers[0], 11)
    assert attempt(SignIn(database, now=now), PASSWORD) == 60
    assert failures.listing(database, now=now.at) == [(Pair("alice", HERE), Block(1, now.at + 60 * clock.SECOND))]


def test_same_wrong_password_counts_once(workers: list[SignIn], now: Clock) -> None:
    """In every process, for an hour; a client that has an old one for ever blocks nobody, nor is it blocked."""
    for second in range(120):
        assert attempt(workers[second % 3], "the old password") == -1
        now.pass_s(1)
    assert fill(workers[0], 10) == [-1] * 10
    assert attempt(workers[1], "the old password") == -1
    assert attempt(workers[1], PASSWORD) == 0


def test_same_wrong_password_does_not_renew_a_block(workers: list[SignIn], now: Clock) -> None:
    """When the block is over it is just wrong again."""
    assert attempt(workers[0], "the old password") == -1
    fill(workers[0], 10)
    assert attempt(workers[0], "the old password") == 60
    now.pass_s(60)
    assert attempt(workers[0], "the old password") == -1
    assert attempt(workers[0], PASSWORD) == 0


def test_client_with_an_old_password_counts_again_after_an_hour(workers: list[SignIn], now: Clock) -> None:
    """Once: eleven hours of it are not eleven failures within a minute."""
    for _ in range(12):
        assert attempt(workers[0], "the old password") == -1
        now.pass_s(3601)


def test_guesses_from_many_addresses_shut_out_new_ones_only(
    database: Database, user: User, workers: list[SignIn], now: Clock
) -> None:
    """After more than a hundred in ten minutes; who signed in before goes on, and devices do from anywhere."""
    _, secret = app_passwords.add(database, user, "phone")
    assert attempt(workers[0], PASSWORD, THERE) == 0
    workers[0].flush()
    for number in range(100):
        assert attempt(workers[number % 3], f"guess {number}", f"203.0.113.{number}") == -1
        now.pass_s(5)
        workers[number % 3].flush()
    assert attempt(workers[0], "one more", "203.0.113.200") == 60
    other = SignIn(database, guess_key=KEY, now=now)
    assert attempt(other, PASSWORD, "203.0.113.201") == 60
    assert attempt(other, "wrong", THERE) == -1
    assert attempt(other, PASSWORD, THERE) == 0
    assert attempt(other, secret, "203.0.113.202") == 0
    # The hundred are still there when the block is over.
    now.pass_s(60)
    assert attempt(workers[1], "and another", "203.0.113.203") == 120
    now.pass_s(700)
    assert attempt(workers[1], "and another", "203.0.113.204") == -1


@pytest.mark.parametrize("spared", [True, False])
def test_networks_that_signed_in_are_spared_in_the_same_process_at_once(
    workers: list[SignIn], now: Clock, spared: bool
) -> None:
    """Also before SQL knows of it."""
    if spared:
        assert attempt(workers[0], PASSWORD, THERE) == 0
    for number in range(101):
        attempt(workers[0], f"guess {number}", f"203.0.113.{number}")
    assert attempt(workers[0], PASSWORD + " ", THERE) == (-1 if spared else 60)


@pytest.mark.parametrize(
    "address, network",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "()"),
        ("*", "(*)"),
    ],
)
def test_network_is_what_one_customer_has(address: str, network: str) -> None:
    """An IPv4 address alone, of IPv6 the 64 bits that are given out; never what stands for all networks."""
    assert network_of(address) == network != EVERYWHERE


def test_addresses_of_one_ipv6_network_count_together(workers: list[SignIn]) -> None:
    """Whoever has one has 2^64."""
    found = [attempt(workers[0], f"guess {number}", f"2001:db8:1:2::{number:x}") for number in range(11)]
    assert found == [-1] * 10 + [60]
    assert attempt(workers[0], PASSWORD, "2001:db8:1:3::1") == 0


def test_name_is_counted_in_the_form_in_which_it_is_looked_up(workers: list[SignIn]) -> None:
    """Capitals and spaces give no more guesses."""
    names = ("alice", "ALICE", " Alice ")
    found = [attempt(workers[0], f"guess {number}", name=names[number % 3]) for number in range(11)]
    assert found == [-1] * 10 + [60]

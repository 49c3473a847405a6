"""Passwords: what may be set, what a hash costs, and that strangers can make nobody pay for it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import pytest

from appliance.accounts import passwords
from appliance.errors import BadRequest
from tests.support.faults import in_threads


@pytest.mark.parametrize(
    "password", ["12345678", "x" * 1024, "pass word with spaces", "пароль длинный", "🐎🔋📎🐎🔋📎🐎🔋"]
)
def test_password_of_allowed_length_is_set_and_verified(password: str) -> None:
    """8 to 1,024 characters of any language."""
    passwords.check_new(password)
    password_hash = passwords.hash_password(password)
    assert passwords.verify(password, password_hash)
    assert not passwords.verify(password + "x", password_hash)
    assert not passwords.verify(password[:-1], password_hash)
    assert not passwords.verify("", password_hash)


@pytest.mark.parametrize(
    "password", ["", "1234567", "x" * 1025, "new\nline in it", "tab\tin it ok", "nul\0 in it", "half \udcff of a pair"]
)
def test_password_that_breaks_a_rule_is_refused(password: str) -> None:
    """Too short, too long, or not typeable."""
    with pytest.raises(BadRequest, match="password"):
        passwords.check_new(password)


def test_hash_has_the_agreed_cost_and_a_salt() -> None:
    """Argon2id, 7 MiB, 5 passes, 1 lane; two hashes of one password differ."""
    first, second = passwords.hash_password("password"), passwords.hash_password("password")
    assert first.startswith("$argon2id$v=19$m=7168,t=5,p=1$")
    assert first != second


@pytest.mark.parametrize("password", ["x" * 1025, "x" * 10_000_000, "\udcff\udcfe", "a\0b", "\ud800", ""])
def test_password_that_could_never_be_set_is_wrong(password: str) -> None:
    """Whatever a client sends is compared, never an error."""
    password_hash = passwords.hash_password("password")
    assert not passwords.verify(password, password_hash)
    assert not passwords.verify(password, None)


def median_s(work: Callable[[], object], times: int = 7) -> float:
    """The seconds of the processor that it usually takes."""
    took = []
    for _ in range(times):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return statistics.median(took)


def test_nobody_costs_the_same_as_somebody() -> None:
    """The time of an answer does not tell whether a user exists."""
    password_hash = passwords.hash_password("password")
    passwords.verify("warm up", None)
    somebody = median_s(lambda: passwords.verify("wrong", password_hash))
    nobody = median_s(lambda: passwords.verify("wrong", None))
    assert 0.4 < nobody / somebody < 2.5


def test_giant_password_costs_nothing() -> None:
    """Megabytes are not hashed."""
    password_hash = passwords.hash_password("password")
    usual = median_s(lambda: passwords.verify("wrong", password_hash), times=3)
    assert median_s(lambda: passwords.verify("x" * 5_000_000, password_hash), times=3) < usual / 3


def test_two_hashes_at_most_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 7 MiB and a core: a flood of wrong passwords must leave room for who is signed in."""
    real = passwords._hasher
    running, most = 0, 0
    mutex = threading.Lock()

    class Counting:
        def _count(self, work: Callable[[], object]) -> object:
            nonlocal running, most
            with mutex:
                running += 1
                most = max(most, running)
            try:
                return work()
            finally:
                with mutex:
                    running -= 1

        def hash(self, password: str) -> object:
            return self._count(lambda: real.hash(password))

        def verify(self, password: str, password_hash: str) -> object:
            return self._count(lambda: real.verify(password, password_hash))

    password_hash = passwords.hash_password("password")
    monkeypatch.setattr(passwords, "_hasher", Counting())

    def work(number: int) -> object:
        if number % 3 == 0:
            return passwords.hash_password("password")
        return passwords.verify("password", password_hash if number % 3 == 1 else None)

    results = in_threads(9, work)
    assert most == 2
    assert results[1::3] == [True] * 3
    assert results[2::3] == [False] * 3


def test_generated_passwords_are_readable_and_never_the_same() -> None:
    """Four groups of five without look-alikes, which may be set as they are."""
    made = {passwords.generate() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        passwords.check_new(password)
        assert [len(group) for group in password.split("-")] == [5, 5, 5, 5]
        assert not set(password) & set("ilo01ILO")

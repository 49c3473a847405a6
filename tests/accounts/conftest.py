"""Fixtures of the tests of failed sign-ins; tests of other things have their own of these names."""

from __future__ import annotations

import pytest

from appliance.accounts import passwords
from appliance.accounts.signin import SignIn
from appliance.accounts.users import User
from appliance.db.database import Database
from tests.accounts.guessing import KEY, Clock
from tests.conftest import PASSWORD


@pytest.fixture
def now() -> Clock:
    """The time, in the hands of the test."""
    return Clock()


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that is compared; no time is spent on it."""
    compared: list[str] = []

    def verify(password: str, password_hash: str | None) -> bool:
        compared.append(password)
        return password_hash is not None and password == PASSWORD

    monkeypatch.setattr(passwords, "verify", verify)
    return compared


@pytest.fixture
def workers(database: Database, user: User, now: Clock, hashes: list[str]) -> list[SignIn]:
    """As the processes of a server have them."""
    return [SignIn(database, guess_key=KEY, now=now) for _ in range(3)]

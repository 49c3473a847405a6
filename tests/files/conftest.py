"""Two people who work in trees of their own, and a clock that a test sets."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from appliance import clock
from appliance.db.sql import Session, Sql
from appliance.files.context import Files
from appliance.principal import Principal
from appliance.tree import edit
from tests.files.person import Person


@pytest.fixture
def alice(files: Files, principal: Principal) -> Person:
    """A member with an empty tree."""
    return Person(files, principal)


@pytest.fixture
def bob(files: Files) -> Person:
    """Another one."""
    return Person.new(files, "bob")


@pytest.fixture
def newcomer(alice: Person) -> Callable[[], Person]:
    """Makes one more user with an empty tree, quickly: for tests of many cases that each begin anew."""
    numbers = itertools.count(1)

    def add(session: Session) -> Principal:
        name = f"newcomer{next(numbers)}"
        user_id = session.value(_LIKE, name=name, id=alice.principal.user_id)
        edit.plant(session, user_id, now=clock.now(), quota_bytes=None)
        return replace(alice.principal, user_id=user_id, home_id=user_id, name=name)

    return lambda: Person(alice.files, alice.files.database.write(add))


# The hash is taken over: hashing a password is slow on purpose.
_LIKE = Sql("""
    INSERT INTO "user" (name, role, password_hash, state, generation, created_at)
    SELECT :name, role, password_hash, state, generation, created_at FROM "user" WHERE id = :id RETURNING id
""")


class Clock:
    """The wall clock as a test wants it; it stands still in between."""

    def __init__(self) -> None:
        self.at = clock.now()

    def advance(self, seconds: float) -> None:
        """Forwards or backwards."""
        self.at += int(seconds * clock.SECOND)

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch, alice: Person) -> Clock:
    """Replaces the wall clock once the store is there and alice has her tree."""
    replacement = Clock()
    monkeypatch.setattr(clock, "now", replacement)
    return replacement

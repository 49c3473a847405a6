"""Accounts that change in the middle of each other, on PostgreSQL: what was ended stays so, whoever comes beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from appliance.accounts import app_passwords, sessions, tokens, users
from appliance.accounts.signin import SignIn
from appliance.accounts.tokens import Wanted
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import BadRequest, NotFound, Unauthenticated
from appliance.principal import Principal
from tests.conftest import PASSWORD
from tests.support.databases import on_postgresql
from tests.support.faults import in_threads
from tests.support.interleaving import interleaved

pytestmark = on_postgresql

_SESSIONS = Sql("SELECT COUNT(*) FROM web_session")
_TOKENS = Sql("SELECT COUNT(*) FROM api_token")
_DEVICES = Sql("SELECT COUNT(*) FROM app_password WHERE revoked_at IS NULL")

End = Callable[[Database, User], object]

ENDS: dict[str, End] = {
    "password": lambda database, user: users.set_password(database, user, "another horse battery"),
    "disable": lambda database, user: users.set_state(database, user, "disabled"),
    "remove": users.remove,
    "purge": users.purge_user,
}


def sign_in(database: Database, user: User) -> str | None:
    """What follows a password that was right a moment ago."""
    return sessions.begin(database, user.id, 1, address="127.0.0.1", agent="a browser")


def count(database: Database, sql: Sql) -> Any:
    """A number."""
    with database.read() as session:
        return session.value(sql)


@pytest.mark.parametrize("end", ENDS)
def test_session_that_begins_while_all_are_ended_ends_too(database: Database, user: User, end: str) -> None:
    """The sign-in came first: whoever ends all of them waits for it."""
    token, _ = interleaved(
        database, 'FROM "user" WHERE id', lambda slow: sign_in(slow, user), lambda: ENDS[end](database, user)
    )
    assert token is not None
    assert count(database, _SESSIONS) == 0


@pytest.mark.parametrize("end", ENDS)
def test_session_does_not_begin_behind_the_end_of_all(database: Database, user: User, end: str) -> None:
    """The end came first: the sign-in waits, and finds another user than it verified."""
    _, token = interleaved(
        database, "DELETE FROM web_session", lambda slow: ENDS[end](slow, user), lambda: sign_in(database, user)
    )
    assert token is None
    assert count(database, _SESSIONS) == 0


@pytest.mark.parametrize("end", ["remove", "purge"])
def test_app_password_made_while_all_are_revoked_is_revoked_too(database: Database, user: User, end: str) -> None:
    """Else it would work again when the user is brought back; or be nobody's."""
    made, _ = interleaved(
        database,
        "INSERT INTO app_password",
        lambda slow: app_passwords.add(slow, user, "phone"),
        lambda: ENDS[end](database, user),
    )
    assert made[1]
    assert count(database, _DEVICES) == 0


@pytest.mark.parametrize("end, text", [("remove", "UPDATE app_password"), ("purge", "DELETE FROM app_password")])
def test_app_password_is_not_made_behind_the_end(database: Database, user: User, end: str, text: str) -> None:
    """It waits, and is refused."""
    _, made = interleaved(
        database, text, lambda slow: ENDS[end](slow, user), lambda: app_passwords.add(database, user, "phone")
    )
    assert isinstance(made, BadRequest)
    assert count(database, _DEVICES) == 0


def make_token(database: Database, principal: Principal) -> object:
    """For reading, for a while."""
    return tokens.make(database, principal, Wanted("x", frozenset(("files:read",))))


@pytest.mark.parametrize("end", [*ENDS, "device"])
def test_token_made_while_all_are_ended_ends_too(database: Database, user: User, end: str) -> None:
    """As sessions do, and with the app password that made it."""
    who, ends = signed_in(database, user, end)
    made, _ = interleaved(
        database, "INSERT INTO api_token", lambda slow: make_token(slow, who), lambda: ends(database, user)
    )
    assert isinstance(made, tuple)
    assert count(database, _TOKENS) == 0


@pytest.mark.parametrize("end", [*ENDS, "device"])
def test_token_is_not_made_behind_the_end(database: Database, user: User, end: str) -> None:
    """Whoever signed in before finds another user than was verified."""
    who, ends = signed_in(database, user, end)
    _, made = interleaved(
        database, "DELETE FROM api_token", lambda slow: ends(slow, user), lambda: make_token(database, who)
    )
    assert isinstance(made, Unauthenticated)
    assert count(database, _TOKENS) == 0


def signed_in(database: Database, user: User, end: str) -> tuple[Principal, End]:
    """With the main password, or with a device's that is what ends."""
    if end != "device":
        return SignIn(database).principal("alice", PASSWORD, face="api", address=""), ENDS[end]
    device_id, secret = app_passwords.add(database, user, "phone")
    who = SignIn(database).principal("alice", secret, face="api", address="")
    return who, lambda database, user: app_passwords.revoke(database, user, device_id)


def test_app_password_is_revoked_once(database: Database, user: User) -> None:
    """However many want it at the same time."""
    made, _ = app_passwords.add(database, user, "phone")

    def revoke(_: int) -> bool:
        try:
            app_passwords.revoke(database, user, made)
        except NotFound:
            return False
        return True

    assert sorted(in_threads(6, revoke)) == [False] * 5 + [True]


def test_user_removed_by_one_and_enabled_by_another_is_one_of_both(database: Database, user: User) -> None:
    """Whole: who is back has no device of before."""
    app_passwords.add(database, user, "phone")
    interleaved(
        database,
        'UPDATE "user"',
        lambda slow: users.remove(slow, user),
        lambda: users.set_state(database, user, "active"),
    )
    assert users.get(database, "alice").state == "active"
    assert count(database, _DEVICES) == 0

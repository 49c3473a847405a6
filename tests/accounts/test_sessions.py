"""Browsers that are signed in: rows that begin with a verified password and end with whatever takes it away."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from appliance import clock
from appliance.accounts import app_passwords, passwords, sessions, users
from appliance.accounts.sessions import Lives
from appliance.accounts.signin import SignIn
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import Denied, SignInBlocked, StorageFull, Unauthenticated
from tests.accounts.guessing import HERE, KEY, Writes
from tests.conftest import PASSWORD

LIVES = Lives(idle_s=3600, most_s=86_400)
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0"


@pytest.fixture
def sign_in(database: Database, hashes: list[str]) -> SignIn:
    """A worker's; no time is spent on hashes."""
    return SignIn(database, guess_key=KEY)


def begin(sign_in: SignIn, name: str = "alice", password: str = PASSWORD) -> str:
    """A token."""
    return sign_in.begin_session(name, password, address=HERE, agent=AGENT)


def who(database: Database, token: str, *, later_s: float = 0, lives: Lives = LIVES) -> str | None:
    """The name of who is signed in with it, that much later."""
    found = sessions.find(database, token, lives, address=HERE, now=clock.now() + int(later_s * clock.SECOND))
    return None if found is None else found.principal.name


def count(database: Database) -> int:
    """Rows."""
    with database.read() as session:
        return int(session.value(Sql("SELECT COUNT(*) FROM web_session")))


def test_token_says_who_is_signed_in(database: Database, user: User, sign_in: SignIn) -> None:
    """As a principal of the web face, without a device; the table does not have the token."""
    token = begin(sign_in, " Alice ")
    found = sessions.find(database, token, LIVES, address=HERE)
    assert found is not None
    principal = found.principal
    assert (principal.user_id, principal.name, principal.role, principal.home_id) == (
        user.id,
        "alice",
        "member",
        user.id,
    )
    assert (principal.face, principal.address, principal.device_id) == ("web", HERE, None)
    with database.read() as session:
        (row,) = session.rows(Sql("SELECT * FROM web_session"))
    assert bytes(row[0]) == found.digest
    assert token not in repr(row)
    assert begin(sign_in) != token


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "\udcff", "a\0b"])
def test_token_of_nobody_is_nobodys(database: Database, user: User, sign_in: SignIn, token: str) -> None:
    """Whatever a browser sends."""
    begin(sign_in)
    assert who(database, token) is None


def test_session_ends_without_a_request_and_at_last(database: Database, user: User, sign_in: SignIn) -> None:
    """Each request prolongs the first, none the second."""
    token = begin(sign_in)
    for hour in (0.9, 1.8, 2.7):
        assert who(database, token, later_s=hour * 3600) == "alice"
    assert who(database, token, later_s=3.8 * 3600) is None
    always = Lives(idle_s=10**9, most_s=86_400)
    assert who(database, token, later_s=86_390, lives=always) == "alice"
    assert who(database, token, later_s=86_410, lives=always) is None


def test_use_is_noted_once_a_minute(database: Database, user: User, sign_in: SignIn) -> None:
    """Reading pages does not write all the time."""
    token = begin(sign_in)
    writes = Writes(database)
    for later_s in (0, 10, 50, 65, 70, 120, 130):
        assert who(writes, token, later_s=later_s) == "alice"
    assert writes.count == 2


def test_page_can_be_read_when_nothing_can_be_written(database: Database, user: User, sign_in: SignIn) -> None:
    """On a full disk, when somebody comes to see why."""
    token = begin(sign_in)
    full = Writes(database)
    full.error = StorageFull()
    assert who(full, token, later_s=600) == "alice"
    assert full.count == 1


def test_password_change_ends_all_but_the_one_it_was_made_in(database: Database, user: User, sign_in: SignIn) -> None:
    """Whoever knew the old one is out. Another user's sessions go on."""
    users.add(database, "bob", PASSWORD)
    mine, other, bobs = begin(sign_in), begin(sign_in), begin(sign_in, "bob")
    users.set_password(database, user, "another password", keep=sessions.digest_of(mine))
    assert [who(database, token) for token in (mine, other, bobs)] == ["alice", None, "bob"]
    users.set_password(database, user, "one more password")
    assert [who(database, token) for token in (mine, bobs)] == [None, "bob"]


@pytest.mark.parametrize("end", ["disable", "remove", "purge"])
def test_session_ends_with_the_right_to_sign_in(database: Database, user: User, sign_in: SignIn, end: str) -> None:
    """The row is gone, so it does not come back with the right."""
    token = begin(sign_in)
    if end == "disable":
        users.set_state(database, user, "disabled")
    else:
        {"remove": users.remove, "purge": users.purge_user}[end](database, user)
    assert who(database, token) is None
    assert count(database) == 0
    if end != "purge":
        users.set_state(database, user, "active")
        assert who(database, token) is None


def test_role_is_that_of_the_moment(database: Database, user: User, sign_in: SignIn) -> None:
    """Nobody has to sign in anew, and nobody stays an administrator by staying signed in."""
    users.add(database, "root", PASSWORD, role="admin")
    token = begin(sign_in)
    for role in ("admin", "member"):
        users.set_role(database, user, role)
        found = sessions.find(database, token, LIVES, address=HERE)
        assert found is not None
        assert found.principal.role == role


def test_app_password_begins_no_session(database: Database, user: User, sign_in: SignIn) -> None:
    """It is for devices; it works for files as before."""
    _, secret = app_passwords.add(database, user, "phone")
    with pytest.raises(Denied):
        begin(sign_in, password=secret)
    assert count(database) == 0
    assert sign_in.principal("alice", secret, face="dav", address=HERE).device_id is not None


def test_wrong_passwords_count_as_everywhere(database: Database, user: User, sign_in: SignIn) -> None:
    """Up to the block, which holds for the right one too."""
    for number in range(10):
        with pytest.raises(Unauthenticated):
            begin(sign_in, password=f"guess {number}")
    with pytest.raises(SignInBlocked):
        begin(sign_in, password="one more")
    # Another process; this one may not have compared the right one yet.
    with pytest.raises(SignInBlocked):
        begin(SignIn(database, guess_key=KEY))
    assert count(database) == 0


@pytest.mark.parametrize("what", ["password", "disable"])
def test_password_that_changes_while_it_is_compared_begins_no_session(
    database: Database, user: User, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A slow comparison of the old one must not outlive the change that ended all sessions."""

    def verify(password: str, password_hash: str | None) -> bool:
        if what == "disable":
            users.set_state(database, user, "disabled")
        elif password == PASSWORD:
            users.set_password(database, user, "another password")
        return password == PASSWORD

    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "verify", verify)
    with pytest.raises(Unauthenticated):
        begin(SignIn(database, guess_key=KEY))
    assert count(database) == 0


@pytest.mark.parametrize("what", ["password", "disable"])
def test_password_that_changes_after_it_was_compared_begins_no_session(
    database: Database, user: User, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Between the comparison and the row: all sessions were ended, and this would be one more."""
    changed = False
    real = sessions.begin

    def begin_late(*arguments: Any, **named: Any) -> str | None:
        nonlocal changed
        if not changed:
            changed = True
            if what == "disable":
                users.set_state(database, user, "disabled")
            else:
                users.set_password(database, user, "another password")
        return real(*arguments, **named)

    monkeypatch.setattr(sessions, "begin", begin_late)
    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "verify", lambda password, password_hash: not changed)
    with pytest.raises(Unauthenticated):
        begin(SignIn(database, guess_key=KEY))
    assert changed
    assert count(database) == 0


def test_password_changes_and_sign_ins_at_once_leave_no_session_of_an_old_one(
    database: Database, user: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever commits first."""
    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    tokens: list[str] = []
    stop = threading.Event()

    def keep_coming() -> None:
        while not stop.is_set():
            try:
                tokens.append(begin(sign_in))
            except Unauthenticated:
                continue

    threads = [threading.Thread(target=keep_coming) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        before = len(tokens)
        users.set_password(database, user, PASSWORD)
        assert [who(database, token) for token in tokens[:before]] == [None] * before
    stop.set()
    for thread in threads:
        thread.join()
    assert tokens


def test_user_has_so_many_sessions_at_most(
    database: Database, user: User, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ones that were not used for the longest end; those of others do not count."""
    monkeypatch.setattr(sessions, "SESSIONS_MOST", 3)
    users.add(database, "bob", PASSWORD)
    bobs = begin(sign_in, "bob")
    tokens = [begin(sign_in) for _ in range(3)]
    assert who(database, tokens[0], later_s=120) == "alice"
    tokens.append(begin(sign_in))
    assert [who(database, token) for token in tokens] == ["alice", None, "alice", "alice"]
    assert who(database, bobs) == "bob"


def test_listing_shows_what_holds_without_a_token(database: Database, user: User, sign_in: SignIn) -> None:
    """Of one user or of all; what the browser calls itself is cut and printable."""
    bob = users.add(database, "bob", PASSWORD)
    sign_in.begin_session("alice", PASSWORD, address=HERE, agent="a\tb\n\x1b[1m" + "x" * 500)
    begin(sign_in, "bob")
    found = sessions.listing(database, LIVES)
    assert [each.user for each in found] == ["alice", "bob"]
    assert found[0].agent.startswith("a b  [1mx")
    assert len(found[0].agent) == 200
    assert [each.user for each in sessions.listing(database, LIVES, user_id=bob.id)] == ["bob"]
    later = clock.now() + 2 * 3600 * clock.SECOND
    assert sessions.listing(database, LIVES, now=later) == []


def test_others_are_ended_and_this_one_is_not(database: Database, user: User, sign_in: SignIn) -> None:
    """What the account page offers."""
    tokens = [begin(sign_in) for _ in range(3)]
    assert sessions.end_others(database, user.id, keep=sessions.digest_of(tokens[1])) == 2
    assert [who(database, token) for token in tokens] == [None, "alice", None]
    sessions.end(database, sessions.digest_of(tokens[1]))
    sessions.end(database, sessions.digest_of(tokens[1]))
    assert count(database) == 0


def test_forget_old_deletes_what_is_over(database: Database, user: User, sign_in: SignIn) -> None:
    """By either limit, and nothing else."""
    token = begin(sign_in)
    now = clock.now()
    assert sessions.forget_old(database, LIVES, now=now + 3500 * clock.SECOND) == 0
    assert who(database, token) == "alice"
    assert sessions.forget_old(database, LIVES, now=now + 3700 * clock.SECOND) == 1
    begin(sign_in)
    assert sessions.forget_old(database, Lives(10**6, 60), now=now + 100 * clock.SECOND) == 1

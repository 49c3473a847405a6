"""Bearer tokens: shown once, for what their scopes name, and gone when they expire or what they rest on ends."""

from __future__ import annotations

import re
import zlib
from base64 import b32decode
from collections.abc import Callable

import pytest

from appliance import clock
from appliance.accounts import app_passwords, tokens, users
from appliance.accounts.signin import Foresight, SignIn
from appliance.accounts.tokens import LIFE_MOST_S, Wanted
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import BadRequest, Denied, NotFound, TokenInvalid, TooManyTokens, Unauthenticated
from appliance.principal import Principal, system
from tests.conftest import PASSWORD
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.faults import CountingDatabase

READ = frozenset(("files:read",))
BOTH = frozenset(("files:read", "files:write"))
FORM = re.compile(r"hfp_[a-z2-7]{39}")


@pytest.fixture
def workers(database: Database, user: User) -> list[SignIn]:
    """As two processes of a server have them."""
    return [SignIn(database) for _ in range(2)]


def signed_in(worker: SignIn, password: str = PASSWORD) -> Principal:
    """alice, with a password."""
    return worker.principal("alice", password, face="api", address="192.0.2.7")


def made(database: Database, principal: Principal, scopes: frozenset[str] = READ, life_s: int = 3600) -> str:
    """The secret of a new token."""
    return tokens.make(database, principal, Wanted("backup", scopes, life_s))[1]


def holds(workers: list[SignIn], secret: str) -> bool:
    """Whether all processes take it; none of them, else."""
    found = set()
    for worker in workers:
        try:
            worker.bearer(secret, face="dav", address="192.0.2.7")
            found.add(True)
        except TokenInvalid as error:
            # Never why.
            assert str(error) == "the token is wrong, or it has expired or was revoked"
            found.add(False)
    assert len(found) == 1
    return found.pop()


def test_secret_is_random_has_a_checksum_and_is_not_stored(
    database: Database, user: User, workers: list[SignIn]
) -> None:
    """160 random bits; only their digest is in the database."""
    alice = signed_in(workers[0])
    secrets = [made(database, alice) for _ in range(20)]
    assert len({secret[4:36] for secret in secrets}) == 20
    with database.read() as session:
        stored = str([tuple(map(bytes_or_self, row)) for row in session.rows(Sql("SELECT * FROM api_token"))])
    for secret in secrets:
        assert FORM.fullmatch(secret)
        assert b32decode(secret[36:].upper() + "=") == zlib.crc32(secret[:36].encode()).to_bytes(4, "big")
        assert secret[4:36] not in stored
        assert holds(workers, secret)


def bytes_or_self(value: object) -> object:
    """PostgreSQL's driver gives views."""
    return bytes(value) if isinstance(value, memoryview) else value


def test_principal_tells_who_asks_with_which_token_and_for_what(
    database: Database, user: User, workers: list[SignIn]
) -> None:
    """Of an app password that made it too."""
    device_id, secret = app_passwords.add(database, user, "laptop")
    token, text = tokens.make(database, signed_in(workers[0], secret), Wanted(" sync ", BOTH))
    found = workers[1].bearer(text, face="dav", address="192.0.2.7")
    assert found == Principal(
        "user", user.id, "alice", "member", user.id, device_id, "dav", "192.0.2.7", token_id=token.id, scopes=BOTH
    )
    assert found.home is not None
    assert (found.home.tree_id, token.name, token.device_id) == (user.tree_id, "sync", device_id)
    assert token.expires_at - token.created_at == tokens.LIFE_S * clock.SECOND


def test_anything_else_is_refused(database: Database, workers: list[SignIn]) -> None:
    """Never an error of another kind; what has no checksum costs no query."""
    secret = made(database, signed_in(workers[0]))
    counting = CountingDatabase(database)
    worker = SignIn(counting)
    other = "b" if secret[10] != "b" else "c"
    for wrong in ("", "x", secret[:-1], secret + "a", secret.upper(), secret[:10] + other + secret[11:],
                  "hfp_" + "a" * 39, "hfp_" + "é" * 39, "\udcff" * 43, "x" * 100_000, PASSWORD):  # fmt: skip
        with pytest.raises(TokenInvalid):
            worker.bearer(wrong, face="dav", address="")
    assert counting.reads == 0
    with pytest.raises(Unauthenticated):
        workers[0].principal("alice", secret, face="dav", address="")
    assert holds(workers, secret)


def test_token_expires(database: Database, user: User) -> None:
    """To the microsecond, wherever it was seen before; the sweep deletes its row, and no other."""
    now = [clock.now()]
    workers = [SignIn(database, now=lambda: now[0]) for _ in range(2)]
    alice = signed_in(workers[0])
    _, short = tokens.make(database, alice, Wanted("short", READ, 60), now=now[0])
    _, long = tokens.make(database, alice, Wanted("long", READ, 61), now=now[0])
    now[0] += 60 * clock.SECOND - 1
    assert tokens.forget_old(database, now=now[0]) == 0
    assert holds(workers, short)
    now[0] += 1
    assert not holds(workers, short)
    assert [each.name for each in tokens.listing(database, alice, now=now[0])] == ["long"]
    assert tokens.forget_old(database, now=now[0]) == 1
    assert holds(workers, long)


def test_revoked_token_is_refused_everywhere_at_once(database: Database, workers: list[SignIn]) -> None:
    """The others go on, and nothing can be revoked twice."""
    alice = signed_in(workers[0])
    lost, kept = made(database, alice), made(database, alice)
    assert holds(workers, lost)
    first, _ = tokens.listing(database, alice)
    tokens.revoke(database, alice, first.id)
    assert not holds(workers, lost)
    assert holds(workers, kept)
    with pytest.raises(NotFound):
        tokens.revoke(database, alice, first.id)


ENDS: dict[str, Callable[[Database, User], object]] = {
    "password": lambda database, user: users.set_password(database, user, "another horse battery"),
    "disable": lambda database, user: users.set_state(database, user, "disabled"),
    "remove": users.remove,
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_sessions_ends_tokens(database: Database, user: User, workers: list[SignIn], end: str) -> None:
    """For good, also for a user who is enabled again; an app password and what it made outlive the main password."""
    _, secret = app_passwords.add(database, user, "laptop")
    own, devices = made(database, signed_in(workers[0])), made(database, signed_in(workers[0], secret))
    assert holds(workers, own)
    assert holds(workers, devices)
    ENDS[end](database, user)
    assert not holds(workers, own)
    assert holds(workers, devices) == (end == "password")
    users.set_state(database, user, "active")
    assert not holds(workers, own)
    assert holds(workers, devices) == (end == "password")


def test_purged_user_leaves_no_row(database: Database, user: User, workers: list[SignIn]) -> None:
    """And nobody else's goes."""
    users.add(database, "bob", PASSWORD)
    bobs = made(database, workers[0].principal("bob", PASSWORD, face="api", address=""))
    mine = made(database, signed_in(workers[0]))
    users.purge_user(database, user)
    assert not holds(workers, mine)
    assert holds(workers, bobs)
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM api_token")) == 1


def test_app_password_takes_its_tokens_with_it(database: Database, user: User, workers: list[SignIn]) -> None:
    """Whoever found a device's password would have tokens of it else. Those of others stay."""
    (first, one), (_, two) = (app_passwords.add(database, user, label) for label in ("phone", "laptop"))
    lost, kept = made(database, signed_in(workers[0], one)), made(database, signed_in(workers[0], two))
    own = made(database, signed_in(workers[0]))
    app_passwords.revoke(database, user, first)
    assert [holds(workers, each) for each in (lost, kept, own)] == [False, True, True]


def test_device_sees_and_revokes_only_what_it_made(database: Database, user: User, workers: list[SignIn]) -> None:
    """The main password and commands: all of the user. Nobody those of others."""
    _, secret = app_passwords.add(database, user, "phone")
    alice, phone = signed_in(workers[0]), signed_in(workers[0], secret)
    own, _ = tokens.make(database, alice, Wanted("own", READ))
    devices, _ = tokens.make(database, phone, Wanted("device's", BOTH))
    assert tokens.listing(database, phone) == [devices]
    assert tokens.listing(database, alice) == tokens.listing(database, system(user.id, face="cli")) == [own, devices]
    bob = users.add(database, "bob", PASSWORD)
    for who, token_id in ((phone, own.id), (system(bob.id, face="cli"), own.id), (alice, 0), (alice, 99_999)):
        with pytest.raises(NotFound):
            tokens.revoke(database, who, token_id)
    tokens.revoke(database, alice, devices.id)
    assert tokens.listing(database, alice) == [own]


def test_token_manages_no_tokens(database: Database, workers: list[SignIn]) -> None:
    """It would last as long as it likes, and be for more than it was made for."""
    alice = signed_in(workers[0])
    holder = workers[0].bearer(made(database, alice, BOTH), face="api", address="")
    for forbidden in (
        lambda: made(database, holder),
        lambda: tokens.listing(database, holder),
        lambda: tokens.revoke(database, holder, holder.token_id or 0),
    ):
        with pytest.raises(Denied, match="sign in with a password"):
            forbidden()
    assert len(tokens.listing(database, alice)) == 1


@on_sqlite
@pytest.mark.parametrize(
    "wanted, told",
    [
        (Wanted("", READ), "name"),
        (Wanted("x" * 101, READ), "name"),
        (Wanted("a\nb", READ), "name"),
        (Wanted("\udcff", READ), "name"),
        (Wanted("x", frozenset()), "files:read, files:write"),
        (Wanted("x", frozenset(("files:read", "all"))), "files:read, files:write"),
        (Wanted("x", READ, 0), "seconds"),
        (Wanted("x", READ, LIFE_MOST_S + 1), "seconds"),
    ],
)
def test_what_cannot_be_is_refused(database: Database, workers: list[SignIn], wanted: Wanted, told: str) -> None:
    """And nothing is made."""
    alice = signed_in(workers[0])
    with pytest.raises(BadRequest, match=told):
        tokens.make(database, alice, wanted)
    assert tokens.listing(database, alice) == []


@on_sqlite
def test_number_is_bounded(
    database: Database, user: User, workers: list[SignIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that hold; what has expired does not count."""
    monkeypatch.setattr(tokens, "TOKENS_MOST", 2)
    alice = signed_in(workers[0])
    tokens.make(database, alice, Wanted("old", READ, 1), now=1)
    made(database, alice)
    made(database, alice)
    with pytest.raises(TooManyTokens, match="at most 2 tokens"):
        made(database, alice)


@on_sqlite
def test_commands_make_none_for_who_cannot_sign_in(database: Database, user: User) -> None:
    """It would work as soon as the user is back, and nobody would know."""
    users.set_state(database, user, "disabled")
    with pytest.raises(BadRequest, match="cannot sign in"):
        made(database, system(user.id, face="cli"))


def test_request_costs_one_query(database: Database, workers: list[SignIn]) -> None:
    """The first one too, and each that follows."""
    secret = made(database, signed_in(workers[0]))
    counting = CountingDatabase(database)
    worker = SignIn(counting)
    for count in range(1, 4):
        worker.bearer(secret, face="dav", address="")
        assert counting.reads == count


@on_postgresql
def test_what_a_request_will_read_comes_in_the_same_trip(database: Database, user: User, workers: list[SignIn]) -> None:
    """Once it is known whose tree it is; a token that has ended brings nothing."""
    statement = Sql("SELECT root_id FROM tree WHERE id = :id")
    alice = signed_in(workers[0])
    secret = made(database, alice)

    def ask() -> Foresight:
        foresight = Foresight(lambda session, home: session.foresee(statement, id=home.tree_id))
        workers[1].bearer(secret, face="dav", address="", foresight=foresight)
        return foresight

    assert ask().seen is None
    seen = ask().seen
    assert seen is not None
    with database.read(seen) as session:
        assert session.value(statement, id=user.tree_id) == (alice.home and alice.home.root_id)
    users.set_state(database, user, "disabled")
    with pytest.raises(TokenInvalid):
        ask()


def test_making_and_revoking_is_in_the_audit_trail(database: Database, user: User, workers: list[SignIn]) -> None:
    """With the name, and never the secret."""
    alice = signed_in(workers[0])
    token, secret = tokens.make(database, alice, Wanted("backup", READ, 3600))
    tokens.revoke(database, alice, token.id)
    with database.read() as session:
        found = [tuple(row) for row in session.rows(Sql("SELECT action, name, user_id, face FROM audit_event"))]
    expected = [(action, "backup", user.id, "api") for action in ("token-added", "token-revoked")]
    assert [each for each in found if each[0].startswith("token")] == expected
    assert secret not in str(found)

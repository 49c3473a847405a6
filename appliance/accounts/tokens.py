"""Bearer tokens: for programs, for some of what their user may do, and for a time; shown once, and revocable alone.

A token has 160 random bits, so its row is found by a plain SHA-256 of it, as that of an app password is. Its beginning
and its checksum let scanners of code and logs find it, and tell it from what only looks like it, without asking.

A row that is there works until it expires; whatever ends a token earlier deletes its row, and holds in all processes
from the next request on, since each asks for the row. Ended are those that

- were made with an app password, when that is revoked: the device would have others else;
- were made with the main password or by a command, when the main password is changed: as sessions are;
- are of a user who is disabled or removed: all of them.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import zlib
from typing import NamedTuple

from appliance import clock
from appliance.accounts import policy
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import BadRequest, NotFound, TooManyTokens, Unauthenticated
from appliance.journal import events
from appliance.journal.events import Action
from appliance.principal import Home, Principal

PREFIX = "hfp_"
NAME_LIMIT = 100
LIFE_S = 30 * 86_400
"""Unless something else is wanted."""
LIFE_MOST_S = 366 * 86_400
TOKENS_MOST = 1000
"""That hold at a time, of one user."""

SCOPES = frozenset(policy.SCOPES.values())

_RANDOM_BYTES = 20
# 32 letters of five bits, and seven for the 32 bits of the checksum.
_LENGTH = len(PREFIX) + 39
_CHECKSUM_LETTERS = 7


class Wanted(NamedTuple):
    """What a token is made for; ``name`` is for people."""

    name: str
    scopes: frozenset[str]
    life_s: int = LIFE_S


class Token(NamedTuple):
    """What is known of a token afterwards; times in microseconds."""

    id: int
    name: str
    scopes: frozenset[str]
    device_id: int | None
    created_at: int
    expires_at: int


class Found(NamedTuple):
    """Who has a token that holds."""

    id: int
    device_id: int | None
    scopes: frozenset[str]
    user_id: int
    name: str
    role: str
    home: Home


# Held until the token's row is there: whoever ends those of the user waits for it, and ends this one too.
_HOLD = Sql("""SELECT generation FROM "user" WHERE id = :user_id AND state = 'active' {share}""")
_COUNT = Sql("SELECT COUNT(*) FROM api_token WHERE user_id = :user_id AND expires_at > :now")
_INSERT = Sql("""
    INSERT INTO api_token (user_id, name, secret_sha256, scopes, device_id, created_at, expires_at)
    VALUES (:user_id, :name, :secret_sha256, :scopes, :device_id, :now, :expires_at) RETURNING id
""")
_MINE = "user_id = :user_id AND expires_at > :now AND (device_id = :device_id OR :device_id = 0)"
_LIST = Sql(f"SELECT id, name, scopes, device_id, created_at, expires_at FROM api_token WHERE {_MINE} ORDER BY id")
_REVOKE = Sql(f"DELETE FROM api_token WHERE id = :id AND {_MINE} RETURNING name")
_TREE = Sql("SELECT id FROM tree WHERE owner_id = :user_id")
_FIND = Sql("""
    SELECT k.id, k.device_id, k.scopes, u.id, u.name, u.role, t.id, t.root_id
    FROM api_token k JOIN "user" u ON u.id = k.user_id JOIN tree t ON t.owner_id = u.id
    WHERE k.secret_sha256 = :digest AND k.expires_at > :now AND u.state = 'active'
""")
_END_ALL = Sql("DELETE FROM api_token WHERE user_id = :user_id")
_END_OF_PASSWORD = Sql("DELETE FROM api_token WHERE user_id = :user_id AND device_id IS NULL")
_END_OF_DEVICE = Sql("DELETE FROM api_token WHERE device_id = :device_id")
_OLD = Sql("DELETE FROM api_token WHERE expires_at <= :now")

_ANY_DEVICE = 0


def make(database: Database, principal: Principal, wanted: Wanted, *, now: int | None = None) -> tuple[Token, str]:
    """A new token of the principal's user, and its secret, which is not stored.

    Raises:
        Denied: the principal has a token itself.
        BadRequest: name, scopes or life cannot be; or a command wants it for a user who cannot sign in.
        TooManyTokens
        Unauthenticated: the user is no longer what was verified.
    """
    policy.require_no_token(principal)
    name, user_id = _checked_name(wanted), principal.home_id
    now = clock.now() if now is None else now
    expires_at = now + wanted.life_s * clock.SECOND
    secret = _new_secret()

    def insert(session: Session) -> int:
        _require_as_verified(principal, session.row(_HOLD, user_id=user_id))
        if session.value(_COUNT, user_id=user_id, now=now) >= TOKENS_MOST:
            raise TooManyTokens(limit=TOKENS_MOST)
        token_id: int = session.value(
            _INSERT,
            user_id=user_id,
            name=name,
            secret_sha256=digest_of(secret),
            scopes=" ".join(sorted(wanted.scopes)),
            device_id=principal.device_id,
            now=now,
            expires_at=expires_at,
        )
        _record(session, Action.TOKEN_ADDED, principal, name)
        return token_id

    return Token(database.write(insert), name, wanted.scopes, principal.device_id, now, expires_at), secret


def listing(database: Database, principal: Principal, *, now: int | None = None) -> list[Token]:
    """The tokens that hold: of the user, or, for who signed in with an app password, those made with that.

    Raises:
        Denied: the principal has a token itself.
    """
    policy.require_no_token(principal)
    with database.read() as session:
        rows = session.rows(_LIST, **_mine(principal, now))
    return [Token(row[0], row[1], frozenset(row[2].split()), *row[3:]) for row in rows]


def revoke(database: Database, principal: Principal, token_id: int, *, now: int | None = None) -> None:
    """It works no more, from the next request on.

    Raises:
        Denied: the principal has a token itself.
        NotFound: it is none of those that ``listing`` tells.
    """
    policy.require_no_token(principal)
    mine = _mine(principal, now)

    def work(session: Session) -> None:
        revoked = session.rows(_REVOKE, id=token_id, **mine)
        if not revoked:
            raise NotFound(what=f"the token {token_id}")
        _record(session, Action.TOKEN_REVOKED, principal, revoked[0][0])

    database.write(work)


def _record(session: Session, action: Action, principal: Principal, name: str) -> None:
    tree_id = session.value(_TREE, user_id=principal.home_id)
    events.record(session, action, principal, tree_id=tree_id, name=name)


def find(session: Session, digest: bytes, now: int) -> Found | None:
    """Who has the token of this digest; None if nobody does who may sign in."""
    row = session.row(_FIND, digest=digest, now=now)
    if row is None:
        return None
    token_id, device_id, scopes, user_id, name, role, *home = row
    return Found(token_id, device_id, frozenset(scopes.split()), user_id, name, role, Home(*home))


def end_all(session: Session, user_id: int) -> None:
    """Nothing that the user's programs have works any more."""
    session.run(_END_ALL, user_id=user_id)


def end_of_password(session: Session, user_id: int) -> None:
    """The same for what was not made with an app password."""
    session.run(_END_OF_PASSWORD, user_id=user_id)


def end_of_device(session: Session, app_password_id: int) -> None:
    """The same for what was made with this one."""
    session.run(_END_OF_DEVICE, device_id=app_password_id)


def forget_old(database: Database, *, now: int | None = None) -> int:
    """Delete the rows of those that have expired; how many there were."""
    now = clock.now() if now is None else now
    return database.write(lambda session: session.run(_OLD, now=now))


def is_well_formed(secret: str) -> bool:
    """Whether it has the form of a token, and its checksum: all others are refused without a query."""
    if len(secret) != _LENGTH or not secret.startswith(PREFIX) or not secret.isascii():
        return False
    return secret[-_CHECKSUM_LETTERS:] == _checksum(secret[:-_CHECKSUM_LETTERS])


def digest_of(secret: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def _new_secret() -> str:
    begun = PREFIX + _letters(secrets.token_bytes(_RANDOM_BYTES))
    return begun + _checksum(begun)


def _checksum(begun: str) -> str:
    return _letters(zlib.crc32(begun.encode("ascii")).to_bytes(4, "big"))


def _letters(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _checked_name(wanted: Wanted) -> str:
    """The name as it is stored; the rest of what is wanted is right."""
    name = wanted.name.strip()
    if not 0 < len(name) <= NAME_LIMIT or not name.isprintable():
        raise BadRequest(reason=f"a token's name has 1 to {NAME_LIMIT} printable characters")
    if not wanted.scopes or not wanted.scopes <= SCOPES:
        raise BadRequest(reason=f"a token has one or more of the scopes {', '.join(sorted(SCOPES))}")
    if not 0 < wanted.life_s <= LIFE_MOST_S:
        raise BadRequest(reason=f"a token lives from 1 to {LIFE_MOST_S} seconds")
    return name


def _require_as_verified(principal: Principal, row: Row | None) -> None:
    if principal.kind == "system":
        if row is None:
            raise BadRequest(reason="this user cannot sign in, so a token of theirs would not work")
    elif row is None or row[0] != principal.generation:
        raise Unauthenticated


def _mine(principal: Principal, now: int | None) -> dict[str, int]:
    """What a principal is told of, and may revoke. Who has a device must not be able to change the account."""
    now = clock.now() if now is None else now
    return {"user_id": principal.home_id, "now": now, "device_id": principal.device_id or _ANY_DEVICE}

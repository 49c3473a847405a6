"""Browsers that are signed in: a row each, found by the digest of a token that only the browser has.

A session ends by itself when it was not used for a while, and after a fixed time however much it is used. Whatever
takes a user's right to sign in (``appliance.accounts.users``) deletes the rows in its own transaction.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import NamedTuple

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import HoldfastError, ReadOnly
from appliance.principal import Home, Principal

_log = logging.getLogger(__name__)

SESSIONS_MOST = 64
"""Of one user; a new one ends those that were not used for the longest."""
# How old ``seen_at`` may be: a row is not written on every request.
_SEEN_S = 60
_AGENT_MOST = 200


class Lives(NamedTuple):
    """How long a session lasts without a request, and at most."""

    idle_s: int
    most_s: int


class WebSession(NamedTuple):
    """What people are told of a session; ``digest`` tells it from others."""

    digest: bytes
    user: str
    created_at: int
    seen_at: int
    address: str
    agent: str


class Found(NamedTuple):
    """A session that holds, and who has it."""

    digest: bytes
    principal: Principal


_FIND = Sql("""
    SELECT s.created_at, s.seen_at, u.id, u.name, u.role, u.generation, t.id, t.root_id
    FROM web_session s JOIN "user" u ON u.id = s.user_id JOIN tree t ON t.owner_id = u.id
    WHERE s.token_sha256 = :digest AND u.state = 'active'
""")
# Held until the row is there: whoever ends all sessions of the user waits for it, and ends this one too.
_AS_VERIFIED = Sql("""
    SELECT 1 FROM "user" WHERE id = :user_id AND state = 'active' AND generation = :generation {share}
""")
_INSERT = Sql("""
    INSERT INTO web_session (token_sha256, user_id, created_at, seen_at, address, agent)
    VALUES (:digest, :user_id, :now, :now, :address, :agent)
""")
_SURPLUS = Sql("""
    DELETE FROM web_session WHERE user_id = :user_id AND token_sha256 NOT IN (
        SELECT token_sha256 FROM web_session WHERE user_id = :user_id ORDER BY seen_at DESC, created_at DESC LIMIT :most
    ) AND token_sha256 <> :digest
""")
_SEE = Sql("UPDATE web_session SET seen_at = :now WHERE token_sha256 = :digest AND seen_at < :now")
_END = Sql("DELETE FROM web_session WHERE token_sha256 = :digest")
_END_ALL = Sql("DELETE FROM web_session WHERE user_id = :user_id AND token_sha256 <> :keep")
_OLD = Sql("DELETE FROM web_session WHERE seen_at <= :idle_since OR created_at <= :since")
_LIST = Sql("""
    SELECT s.token_sha256, u.name, s.created_at, s.seen_at, s.address, s.agent
    FROM web_session s JOIN "user" u ON u.id = s.user_id
    WHERE s.seen_at > :idle_since AND s.created_at > :since AND (u.id = :user_id OR :user_id = 0)
    ORDER BY u.name, s.created_at, s.token_sha256
""")
_NO_DIGEST = b""
_EVERYBODY = 0


def begin(database: Database, user_id: int, generation: int, *, address: str, agent: str) -> str | None:
    """A new session's token, which is not stored; None if the user is no longer what was verified."""
    token = secrets.token_urlsafe(32)
    digest = digest_of(token)
    shown = "".join(character if character.isprintable() else " " for character in agent[:_AGENT_MOST])

    def work(session: Session) -> bool:
        if session.row(_AS_VERIFIED, user_id=user_id, generation=generation) is None:
            return False
        session.run(_INSERT, digest=digest, user_id=user_id, now=clock.now(), address=address, agent=shown)
        session.run(_SURPLUS, user_id=user_id, most=SESSIONS_MOST, digest=digest)
        return True

    return token if database.write(work) else None


def find(database: Database, token: str, lives: Lives, *, address: str, now: int | None = None) -> Found | None:
    """Who has this token, asking from ``address``; None if nobody does any more."""
    now = clock.now() if now is None else now
    digest = digest_of(token)
    with database.read() as session:
        row = session.row(_FIND, digest=digest)
    if row is None or not _holds(row, lives, now):
        return None
    _, seen_at, user_id, name, role, generation, *home = row
    if now - seen_at >= _SEEN_S * clock.SECOND:
        _note_use(database, digest, now)
    principal = Principal("user", user_id, name, role, user_id, None, "web", address, Home(*home), generation)
    return Found(digest, principal)


def end(database: Database, digest: bytes) -> None:
    """Sign a browser out; also if that was done before."""
    database.write(lambda session: session.run(_END, digest=digest))


def end_all(session: Session, user_id: int, *, keep: bytes | None = None) -> int:
    """Sign all browsers of a user out but the one with the digest ``keep``; how many there were."""
    return session.run(_END_ALL, user_id=user_id, keep=keep or _NO_DIGEST)


def end_others(database: Database, user_id: int, *, keep: bytes | None = None) -> int:
    """``end_all`` in a transaction of its own."""
    return database.write(lambda session: end_all(session, user_id, keep=keep))


def listing(
    database: Database, lives: Lives, *, user_id: int | None = None, now: int | None = None
) -> list[WebSession]:
    """The sessions that hold, of a user or of all, by user and beginning."""
    now = clock.now() if now is None else now
    with database.read() as session:
        rows = session.rows(_LIST, user_id=user_id or _EVERYBODY, **_bounds(lives, now))
    return [WebSession(bytes(row[0]), *row[1:]) for row in rows]


def forget_old(database: Database, lives: Lives, *, now: int | None = None) -> int:
    """Delete the sessions that are over; how many there were."""
    now = clock.now() if now is None else now
    return database.write(lambda session: session.run(_OLD, **_bounds(lives, now)))


def digest_of(token: str) -> bytes:
    """What is stored of a token. Whatever a browser sends has one."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _bounds(lives: Lives, now: int) -> dict[str, int]:
    return {"idle_since": now - lives.idle_s * clock.SECOND, "since": now - lives.most_s * clock.SECOND}


def _holds(row: Row, lives: Lives, now: int) -> bool:
    created_at, seen_at = row[:2]
    bounds = _bounds(lives, now)
    return bool(seen_at > bounds["idle_since"] and created_at > bounds["since"])


def _note_use(database: Database, digest: bytes, now: int) -> None:
    try:
        database.write(lambda session: session.run(_SEE, digest=digest, now=now))
    except ReadOnly:
        return
    except HoldfastError as error:
        # On a full disk, say: pages can be read all the same.
        _log.warning("the use of a session could not be noted: %s", error)

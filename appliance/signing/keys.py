"""The keys that URLs are signed with: the newest signs, earlier ones hold until the last of their URLs has expired."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import NotFound
from appliance.journal import events
from appliance.journal.events import Action
from appliance.principal import COMMAND

KEPT = clock.DAY
"""So long a key that signs no more is kept: longer than any URL lives."""

_SECRET_BYTES = 32

_NEWEST = Sql("SELECT id, secret FROM signing_key WHERE retired_at IS NULL ORDER BY id DESC LIMIT 1")
_ALL = Sql("SELECT id, created_at, retired_at FROM signing_key ORDER BY id")
_INSERT = Sql("INSERT INTO signing_key (secret, created_at, retired_at) VALUES (:secret, :now, NULL) RETURNING id")
_RETIRE = Sql("UPDATE signing_key SET retired_at = :now WHERE retired_at IS NULL AND id <> :id")
_FORGET = Sql("DELETE FROM signing_key WHERE retired_at <= :before")
_DELETE = Sql("DELETE FROM signing_key WHERE id = :id")


class SigningKey(NamedTuple):
    """A key that signs; ``id`` stands in its URLs."""

    id: int
    secret: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"


class Listed(NamedTuple):
    """A key without its secret; ``retired_at`` None: it is the one that signs."""

    id: int
    created_at: int
    retired_at: int | None


def newest(database: Database) -> SigningKey:
    """The one that signs now; the first is made when it is needed."""
    with database.read() as session:
        row = session.row(_NEWEST)
    return database.write(_newest_or_new) if row is None else SigningKey(row[0], bytes(row[1]))


def rotate(database: Database) -> int:
    """Sign with a new key from now on; its id. URLs that are out there hold until they expire."""

    def work(session: Session) -> int:
        key = _make(session)
        session.run(_RETIRE, now=clock.now(), id=key.id)
        session.run(_FORGET, before=clock.now() - KEPT)
        return key.id

    return database.write(work)


def revoke(database: Database, key_id: int) -> None:
    """Make every URL that was signed with a key void, at once for this server. If it signs, a new one will.

    Raises:
        NotFound: there is no such key.
    """

    def work(session: Session) -> None:
        if not session.run(_DELETE, id=key_id):
            raise NotFound(what=f"the signing key {key_id}")
        events.record(session, Action.URLS_REVOKED, COMMAND, name=f"signing key {key_id}")

    database.write(work)


def listing(database: Database) -> list[Listed]:
    """All, the oldest first."""
    with database.read() as session:
        return list(map(Listed._make, session.rows(_ALL)))


def _newest_or_new(session: Session) -> SigningKey:
    row = session.row(_NEWEST)
    return _make(session) if row is None else SigningKey(row[0], bytes(row[1]))


def _make(session: Session) -> SigningKey:
    secret = secrets.token_bytes(_SECRET_BYTES)
    return SigningKey(session.value(_INSERT, secret=secret, now=clock.now()), secret)

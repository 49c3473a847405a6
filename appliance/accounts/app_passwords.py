"""App passwords: one for each device, shown once, revocable alone.

A secret has 160 random bits, so a plain SHA-256 of it is as good as a slow hash, and finds its row by an index:
a user with a hundred devices signs in as fast as one with none.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import NamedTuple

from appliance import clock
from appliance.accounts import tokens
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BadRequest, NotFound
from appliance.journal import events
from appliance.journal.events import Action
from appliance.principal import COMMAND, Principal

LABEL_LIMIT = 100


class AppPassword(NamedTuple):
    """What is known of an app password afterwards."""

    id: int
    label: str
    created_at: int
    revoked_at: int | None


# Held until the row is there: whoever revokes all of the user waits for it, and revokes this one too.
_INSERT = Sql("""
    INSERT INTO app_password (user_id, label, secret_sha256, created_at)
    SELECT id, :label, :secret_sha256, :now FROM "user" WHERE id = :user_id AND state <> 'removed' {share} RETURNING id
""")
_LIST = Sql("SELECT id, label, created_at, revoked_at FROM app_password WHERE user_id = :user_id ORDER BY id")
_REVOKE = Sql("""
    UPDATE app_password SET revoked_at = :now WHERE id = :id AND user_id = :user_id AND revoked_at IS NULL
    RETURNING label
""")
_CHANGED = Sql('UPDATE "user" SET generation = generation + 1 WHERE id = :user_id')
_FIND = Sql("SELECT id, user_id FROM app_password WHERE secret_sha256 = :secret_sha256 AND revoked_at IS NULL")


def add(database: Database, user: User, label: str, *, by: Principal = COMMAND) -> tuple[int, str]:
    """A new app password: its id, and the secret, which is not stored.

    Raises:
        BadRequest: the label cannot be, or the user is removed.
    """
    label = label.strip()
    if not 0 < len(label) <= LABEL_LIMIT or not label.isprintable():
        raise BadRequest(reason=f"a device's label has 1 to {LABEL_LIMIT} printable characters")
    text = base64.b32encode(secrets.token_bytes(20)).decode().lower()
    secret = "-".join(text[start : start + 8] for start in range(0, len(text), 8))

    def work(session: Session) -> int:
        made = session.rows(_INSERT, user_id=user.id, label=label, secret_sha256=_digest(secret), now=clock.now())
        if not made:
            raise BadRequest(reason=f"the user {user.name} is removed; enable it before it gets an app password")
        events.record(session, Action.DEVICE_ADDED, by, tree_id=user.tree_id, name=label)
        app_password_id: int = made[0][0]
        return app_password_id

    return database.write(work), secret


def listing(database: Database, user: User) -> list[AppPassword]:
    """All of a user, revoked ones too."""
    with database.read() as session:
        return [AppPassword._make(row) for row in session.rows(_LIST, user_id=user.id)]


def revoke(database: Database, user: User, app_password_id: int, *, by: Principal = COMMAND) -> None:
    """It works no more, from the next request on, and neither do the tokens that were made with it.

    Raises:
        NotFound: the user has no such app password, or it was revoked before.
    """

    def work(session: Session) -> None:
        revoked = session.rows(_REVOKE, id=app_password_id, user_id=user.id, now=clock.now())
        if not revoked:
            raise NotFound(what=f"an app password {app_password_id} of {user.name}")
        session.run(_CHANGED, user_id=user.id)
        tokens.end_of_device(session, app_password_id)
        events.record(session, Action.DEVICE_REVOKED, by, tree_id=user.tree_id, name=revoked[0][0])

    database.write(work)


def find(session: Session, secret: str) -> tuple[int, int] | None:
    """(id, user id) of a working app password."""
    row = session.row(_FIND, secret_sha256=_digest(secret))
    return None if row is None else (row[0], row[1])


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()

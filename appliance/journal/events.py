"""Events: what happened and is no change of a tree. With the journal they are the audit trail.

Numbers are given out in the order of the commits, without a gap: who writes events holds the row that counts them until
the commit, so it does so last, and quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from appliance import clock
from appliance.db.sql import Session, Sql
from appliance.principal import Principal


class Action(StrEnum):
    """What an event tells."""

    DOWNLOAD = "download"
    USER_ADDED = "user-added"
    USER_PASSWORD = "user-password"
    """A new main password."""
    USER_ROLE = "user-role"
    USER_STATE = "user-state"
    """Enabled, disabled or removed."""
    USER_PURGED = "user-purged"
    """With the tree and its journal: the only event behind which sealed rows may be gone."""
    DEVICE_ADDED = "device-added"
    """An app password was made."""
    DEVICE_REVOKED = "device-revoked"
    TOKEN_ADDED = "token-added"
    """A bearer token was made."""
    TOKEN_REVOKED = "token-revoked"
    URLS_REVOKED = "urls-revoked"
    """All URLs that were signed with a key are void."""
    STORE_RESTORED = "store-restored"
    """From a backup: what came after that is not in this trail."""
    TRAIL_FORGOTTEN = "trail-forgotten"
    """Batches whose key is lost went unverified."""
    COMMITS_LOST = "commits-lost"
    """The machine went down under `durability: fast`; the last changes may be missing."""


class Event(NamedTuple):
    """A row without its number; the columns are told in appliance.db.models."""

    at: int
    seconds: int
    action: str
    tree_id: int | None
    node_id: int | None
    seq: int | None
    name: str
    bytes: int
    requests: int
    user_id: int | None
    device_id: int | None
    face: str
    address: str


_COUNT = Sql("""
    INSERT INTO audit_count (id, events) VALUES (1, :count)
    ON CONFLICT (id) DO UPDATE SET events = audit_count.events + excluded.events RETURNING events
""")
_INSERT = Sql(f"""
    INSERT INTO audit_event (id, {", ".join(Event._fields)})
    VALUES (:id, {", ".join(f":{name}" for name in Event._fields)})
""")


def write(session: Session, events: Sequence[Event]) -> None:
    """All of them, in the caller's transaction."""
    if events:
        first = session.value(_COUNT, count=len(events)) - len(events) + 1
        session.run_rows(_INSERT, [{"id": first + index, **each._asdict()} for index, each in enumerate(events)])


def record(session: Session, action: Action, by: Principal, *, tree_id: int | None = None, name: str = "") -> None:
    """That ``by`` has done this, in the transaction that does it. ``tree_id``: of whom it is about."""
    event = Event(
        clock.now(), 0, action.value, tree_id, None, None, name, 0, 0, by.user_id, by.device_id, by.face, by.address
    )
    write(session, [event])

"""Which store this is: one row, and one blob that must say the same."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from appliance import clock, faults
from appliance.backends.base import Backend
from appliance.chunks.cutter import Chunking
from appliance.db import location
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BlobMissing, StoreMismatch

KEY = "store"
"""The blob's key."""

ARRIVING = "arriving"
"""In the blob at a place that blobs are moving to: where they come from."""
GENERATION = "generation"
"""In the blob at a place that blobs have moved to: that of the row ``location`` since then."""
_OF_A_MOVE = (ARRIVING, GENERATION)

_LOAD = Sql("SELECT store_id, incarnation, chunking FROM store WHERE id = 1")
_CREATE = Sql("""
    INSERT INTO store (id, store_id, incarnation, chunking, prune_epoch, clean, boot_id, created_at)
    VALUES (1, :store_id, :incarnation, :chunking, 1, 1, '', :now)
""")
_ANY_PACK = Sql("SELECT 1 FROM pack LIMIT 1")
_REBORN = Sql("UPDATE store SET incarnation = :incarnation WHERE id = 1")


class Identity(NamedTuple):
    """A store's name, its present incarnation, and how its content is cut."""

    store_id: str
    incarnation: str
    chunking: Chunking


def establish(database: Database, backend: Backend) -> Identity:
    """The identity of an existing store, or of one made now; the blob says the same when this returns.

    For the server's start, which holds the data folder. Everybody else calls ``recognize``.

    Raises:
        StoreMismatch: database and blobs belong to different stores.
    """
    identity, blob = _compared(database, backend)
    if identity is None:
        identity = database.write(_create)
        faults.point("store.row")
    if blob is None or blob["incarnation"] != identity.incarnation:
        faults.point("store.blob")
        write_blob(backend, identity, blob or {})
        faults.point("store.named")
    return identity


def recognize(database: Database, backend: Backend) -> Identity:
    """The identity of an existing store. Nothing is changed: the blob may still tell an earlier incarnation.

    Raises:
        StoreMismatch: there is none, or database and blobs belong to different stores.
    """
    identity, blob = _compared(database, backend)
    if identity is None or blob is None:
        raise StoreMismatch(reason="the store was never finished; start the server there once")
    return identity


def _compared(database: Database, backend: Backend) -> tuple[Identity | None, dict[str, str] | None]:
    """What the database and what the blob says; they do not contradict each other."""
    # The blob first: another process that makes the store just now commits the row before it puts the blob.
    blob = read_blob(backend)
    with database.read() as session:
        identity = load(session)
        is_halfway = identity is not None and location.load(session).is_halfway
    if identity is None:
        if blob is not None:
            raise StoreMismatch(
                reason=f"the blobs belong to store {blob['store']}, but the database is empty; "
                "restore its database from a copy, or set another data folder"
            )
    elif blob is None:
        with database.read() as session:
            if session.row(_ANY_PACK) is not None:
                raise StoreMismatch(reason=f"the blobs of store {identity.store_id} are not there")
    elif blob["store"] != identity.store_id or blob["chunking"] != str(identity.chunking):
        raise StoreMismatch(reason=f"the database is of store {identity.store_id}, the blobs are of {blob['store']}")
    elif blob[ARRIVING] and not is_halfway:
        raise StoreMismatch(
            reason=f"blobs of store {identity.store_id} are on their way there, of which this database knows nothing; "
            "set blobs_url to where they are, or run `holdfast migrate blobs` at the database that they belong to"
        )
    return identity, blob


def reincarnate(session: Session) -> str:
    """A new incarnation, in the caller's transaction: every ETag that was handed out is void."""
    incarnation = secrets.token_hex(4)
    session.run(_REBORN, incarnation=incarnation)
    return incarnation


def load(session: Session) -> Identity | None:
    """The identity as the database tells it; None in a new one."""
    row = session.row(_LOAD)
    return None if row is None else Identity(row[0], row[1], Chunking.parse(row[2]))


def named(session: Session) -> str | None:
    """Only the store's id, also where the rest cannot be read; None in a new database."""
    row = session.row(_LOAD)
    return None if row is None else str(row[0])


def _create(session: Session) -> Identity:
    existing = load(session)
    if existing is not None:
        return existing
    location.make(session)
    identity = Identity(secrets.token_hex(16), secrets.token_hex(4), Chunking())
    session.run(
        _CREATE,
        store_id=identity.store_id,
        incarnation=identity.incarnation,
        chunking=str(identity.chunking),
        now=clock.now(),
    )
    return identity


def read_blob(backend: Backend) -> dict[str, str] | None:
    """What the blob says: ``store``, ``incarnation``, ``chunking``, and the texts of a move. None if there is none.

    Raises:
        StoreMismatch: it cannot be read.
    """
    size = backend.head(KEY)
    if size is None:
        return None
    try:
        found = json.loads(bytes(backend.get(KEY, 0, size)))
        told = {name: str(found[name]) for name in ("store", "incarnation", "chunking")}
        return told | {name: str(found.get(name, "")) for name in _OF_A_MOVE}
    except (ValueError, KeyError, TypeError, BlobMissing) as error:
        raise StoreMismatch(reason=f"the blob {KEY!r}, which says whose blobs these are, cannot be read") from error


def write_blob(backend: Backend, identity: Identity, of_a_move: Mapping[str, str] = MappingProxyType({})) -> None:
    """Let it say the same as this, and what it says of a move; durable as the backend is."""
    told = {"store": identity.store_id, "incarnation": identity.incarnation, "chunking": str(identity.chunking)}
    told |= {name: text for name in _OF_A_MOVE if (text := of_a_move.get(name))}
    backend.put(KEY, [json.dumps(told).encode()])

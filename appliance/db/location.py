"""The row that says where the store is: its blobs, and its database, if that has moved.

Freezing is a transaction that waits for every write that has begun; each that begins later is refused (``guard``).
"""

from __future__ import annotations

from typing import NamedTuple

from appliance import clock
from appliance.db.database import Database
from appliance.db.failing import if_there
from appliance.db.guard import WRITERS_LOCK
from appliance.db.sql import POSTGRESQL, Session, Sql

DATA = "data:"
"""As a place of blobs: the data folder, wherever that is."""

ANNOUNCED = "announced"
"""Blobs are about to move to ``previous_url``, and are still put where they were."""
COPYING = "copying"
"""Blobs are put at ``blobs_url``; those that are not there yet are at ``previous_url``."""
DROPPING = "dropping"
"""All blobs are at ``blobs_url``; those at ``previous_url`` are being removed."""

LEAVING = "leaving"
"""The database is about to move away; it is read-only."""
ARRIVING = "arriving"
"""This is a copy of another database that is being made; nobody may use it."""
ARRIVED = "arrived"
"""This copy is whole, and the other database is still the store's."""

_READ = Sql("SELECT generation, blobs_url, previous_url, state, frozen_at, moved_to FROM location WHERE id = 1")
_STORE_ID = Sql("SELECT store_id FROM store WHERE id = 1")
_MAKE = Sql("""
    INSERT INTO location (id, generation, blobs_url, previous_url, state, moved_to) VALUES (1, 1, '', '', '', '')
    ON CONFLICT (id) DO NOTHING
""")
_WRITE = Sql("""
    UPDATE location SET generation = :generation, blobs_url = :blobs_url, previous_url = :previous_url, state = :state,
        frozen_at = :frozen_at, moved_to = :moved_to
    WHERE id = 1
""")
_ALONE = Sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")


class Location(NamedTuple):
    """The columns are those of the table (appliance.db.models)."""

    generation: int = 1
    blobs_url: str = ""
    previous_url: str = ""
    state: str = ""
    frozen_at: int | None = None
    moved_to: str = ""

    @property
    def is_frozen(self) -> bool:
        return self.frozen_at is not None

    @property
    def is_halfway(self) -> bool:
        """Whether blobs may lie at either of two places."""
        return self.state in (ANNOUNCED, COPYING)

    @property
    def is_copy(self) -> bool:
        """Whether this is no database of a store, but what shall become one."""
        return self.state in (ARRIVING, ARRIVED)


def load(session: Session) -> Location:
    """As it is in a session; that of a new store where the row is missing."""
    row = session.row(_READ)
    return Location() if row is None else Location(*row)


def read(database: Database) -> Location | None:
    """As it is now; None in a database without the table: it is empty, or older than that."""
    return if_there(database, load)


def store_id(database: Database) -> str | None:
    """Whose it is; None if it is nobody's."""

    def whose(session: Session) -> str | None:
        row = session.row(_STORE_ID)
        return None if row is None else row[0]

    return if_there(database, whose)


def make(session: Session) -> None:
    """Have the row of a new store, if there is none."""
    session.run(_MAKE)


def store(session: Session, location: Location) -> None:
    """Write it, in the caller's transaction. Only maintenance may while the store is frozen."""
    make(session)
    session.run(_WRITE, **location._asdict())


def freeze(database: Database, state: str) -> Location:
    """Let nobody write any more, for the reason that ``state`` tells. What had begun is committed when this returns."""

    def work(session: Session) -> Location:
        alone(session)
        now = load(session)
        frozen = now._replace(state=state, frozen_at=clock.now() if now.frozen_at is None else now.frozen_at)
        store(session, frozen)
        return frozen

    return database.maintain(work)


def thaw(database: Database) -> None:
    """Let everybody write again, who knows the generation."""
    database.maintain(lambda session: store(session, load(session)._replace(state="", frozen_at=None)))


def alone(session: Session) -> None:
    """In a transaction: wait for the writes that have begun, and keep others from beginning until its end."""
    if session.dialect is POSTGRESQL:
        session.row(_ALONE)

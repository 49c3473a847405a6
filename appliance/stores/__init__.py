"""Opening the store of the settings: its database and its blobs, wherever both are."""

from __future__ import annotations

from collections.abc import Callable

from appliance.backends.base import Backend
from appliance.config import Settings
from appliance.db import location
from appliance.db.database import Database
from appliance.db.location import Location
from appliance.db.sql import POSTGRESQL
from appliance.sealing import opening
from appliance.stores.blame import blaming, blaming_blobs, blaming_database
from appliance.stores.blobs import puts_synced, reserve_of, room_for_content
from appliance.stores.databases import (
    HURRIED_S,
    PATIENT_S,
    configured_database,
    existing_database,
    open_database,
    require_writable,
)
from appliance.stores.following import follow_blobs
from appliance.stores.named import require_named
from appliance.stores.places import Places

__all__ = [
    "HURRIED_S",
    "PATIENT_S",
    "blaming",
    "blaming_blobs",
    "blaming_database",
    "configured_database",
    "establish_sealing",
    "open_blobs",
    "open_database",
    "open_store",
    "open_unopened",
    "puts_synced",
    "require_named",
    "require_writable",
    "reserve_of",
    "room_for_content",
]


def open_store(
    settings: Settings, *, synced: bool = True, statement_s: float = PATIENT_S, is_cached: bool = False
) -> tuple[Database, Backend]:
    """Database and blobs of an existing store. Whether they belong together is not asked, and nothing is made.

    Unless told otherwise both are durable, whatever the setting says about requests: what commands do has time, and
    blobs go with some.

    Raises:
        ConfigError: as ``open_unopened``.
        KeysUnusable: blobs are sealed, and their data keys cannot be opened.
    """
    return _open(settings, synced, statement_s, is_cached=is_cached, opens=True)


def open_unopened(
    settings: Settings, *, synced: bool = True, statement_s: float = PATIENT_S, is_cached: bool = False
) -> tuple[Database, Backend]:
    """The same, where sealed blobs stay sealed.

    Raises:
        ConfigError: there is none, it cannot be read, or it has to be migrated first, which only the server does.
    """
    return _open(settings, synced, statement_s, is_cached=is_cached, opens=False)


def _open(
    settings: Settings, synced: bool, statement_s: float, *, is_cached: bool, opens: bool
) -> tuple[Database, Backend]:
    with blaming_database(settings):
        database = existing_database(settings, synced, statement_s)
    try:
        # Also one that was followed to a server, of which these settings do not know.
        synced = synced or database.dialect is POSTGRESQL
        with blaming_database(settings):
            store_id = location.store_id(database) if opens else None
        places = Places(settings, synced=synced, is_cached=is_cached)
        with blaming_blobs(settings, location.read(database)):
            return database, follow_blobs(settings, database, places, sealed_of=store_id)
    except BaseException:
        database.close()
        raise


def open_blobs(settings: Settings, database: Database, *, make: bool = False) -> Backend:
    """The blobs of an open database, where sealed ones stay sealed."""
    return follow_blobs(settings, database, Places(settings, make=make))


def establish_sealing(
    settings: Settings, database: Database, backend: Backend, store_id: str, *, tell: Callable[[str], None]
) -> Backend:
    """``sealing.opening.establish``, for the server's start."""
    remote = Places(settings).are_remote(location.read(database) or Location())
    return opening.establish(settings, database, backend, store_id, remote=remote, tell=tell)

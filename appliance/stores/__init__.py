"""Opening the store of the settings: its database and its blobs, wherever both are."""

from __future__ import annotations

from appliance.backends.base import Backend
from appliance.config import Settings
from appliance.db.database import Database
from appliance.stores.blame import blaming, blaming_blobs, blaming_database
from appliance.stores.blobs import open_backend, puts_synced, reserve_of, room_for_content
from appliance.stores.databases import (
    HURRIED_S,
    PATIENT_S,
    configured_database,
    existing_database,
    open_database,
    require_writable,
)

__all__ = [
    "HURRIED_S",
    "PATIENT_S",
    "blaming",
    "blaming_blobs",
    "blaming_database",
    "configured_database",
    "open_backend",
    "open_database",
    "open_store",
    "puts_synced",
    "require_writable",
    "reserve_of",
    "room_for_content",
]


def open_store(settings: Settings, *, synced: bool = True, statement_s: float = PATIENT_S) -> tuple[Database, Backend]:
    """Database and blobs of an existing store. Whose they are is not asked, and nothing is made.

    Unless told otherwise both are durable, whatever the setting says about requests: what commands do has time, and
    blobs go with some.

    Raises:
        ConfigError: there is none, it cannot be read, or it has to be migrated first, which only the server does.
    """
    with blaming_database(settings):
        database = existing_database(settings, synced, statement_s)
    try:
        with blaming_blobs(settings):
            return database, open_backend(settings, synced=synced)
    except BaseException:
        database.close()
        raise

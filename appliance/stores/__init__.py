"""Opening the store of the settings: its database and its blobs, wherever both are."""

from __future__ import annotations

from collections.abc import Callable

from appliance.backends.base import Backend
from appliance.chunks import identity
from appliance.config import Settings
from appliance.db.database import Database
from appliance.db.postgresql import PostgresqlDatabase
from appliance.sealing import opening
from appliance.stores.blame import blaming, blaming_blobs, blaming_database
from appliance.stores.blobs import are_remote, open_backend, puts_synced, reserve_of, room_for_content
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
    "establish_sealing",
    "open_backend",
    "open_database",
    "open_store",
    "open_unopened",
    "puts_synced",
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
    database, backend = open_unopened(settings, synced=synced, statement_s=statement_s, is_cached=is_cached)
    try:
        with blaming_database(settings), blaming_blobs(settings):
            with database.read() as session:
                store_id = identity.named(session)
            if store_id is None:
                return database, backend
            return database, opening.recognize(settings, database, backend, store_id, remote=are_remote(settings))
    except BaseException:
        database.close()
        raise


def open_unopened(
    settings: Settings, *, synced: bool = True, statement_s: float = PATIENT_S, is_cached: bool = False
) -> tuple[Database, Backend]:
    """The same, where sealed blobs stay sealed.

    Raises:
        ConfigError: there is none, it cannot be read, or it has to be migrated first, which only the server does.
    """
    with blaming_database(settings):
        database = existing_database(settings, synced, statement_s)
    try:
        with blaming_blobs(settings):
            # Also one that was followed to a server, of which these settings do not know.
            synced = synced or isinstance(database, PostgresqlDatabase)
            return database, open_backend(settings, synced=synced, is_cached=is_cached)
    except BaseException:
        database.close()
        raise


def establish_sealing(
    settings: Settings, database: Database, backend: Backend, store_id: str, *, tell: Callable[[str], None]
) -> Backend:
    """``sealing.opening.establish``, for the server's start."""
    return opening.establish(settings, database, backend, store_id, remote=are_remote(settings), tell=tell)

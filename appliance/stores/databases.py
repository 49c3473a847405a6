"""The database of the settings, wherever it has moved."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from appliance.config import DatabasePlace, Settings, database_place
from appliance.db import location, revisions
from appliance.db.database import Database
from appliance.db.location import Location
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import ConfigError
from appliance.stores.blame import named_database
from appliance.stores.blobs import reserve_of

_log = logging.getLogger(__name__)

PATIENT_S = 3600.0
"""For one statement of a command or a job, which may look at all rows there are."""
HURRIED_S = 30.0
"""For one statement of a request."""


def open_database(settings: Settings, *, synced: bool = True, statement_s: float = PATIENT_S) -> Database:
    """The database, whatever its revision, and wherever it has moved.

    ``synced`` is about SQLite, a server's commits are as durable as it is; ``statement_s`` about a server.

    Raises:
        ConfigError: it is a copy of which a move has not come to its end, or another store's.
    """
    how = _How(settings, synced, statement_s)
    return _followed(_database_of(how, settings.database_path, settings.database_url), how)


class _How(NamedTuple):
    """The arguments of ``open_database``."""

    settings: Settings
    synced: bool
    statement_s: float


def configured_database(settings: Settings, *, synced: bool = True) -> Database:
    """That which the settings name, also if the store's has moved away from there."""
    return _database_of(_How(settings, synced, PATIENT_S), settings.database_path, settings.database_url)


def _database_of(how: _How, path: Path | None, place: DatabasePlace | None) -> Database:
    if path is not None:
        return SqliteDatabase(path, synced=how.synced, make_room=reserve_of(how.settings).make_room)
    assert place is not None
    # Whoever has no server of databases does not pay for its driver at each start: most of a second.
    from appliance.db.postgresql import PostgresqlDatabase  # noqa: PLC0415

    return PostgresqlDatabase(place.url, threads=how.settings.threads, statement_s=how.statement_s)


def _followed(database: Database, how: _How) -> Database:
    settings = how.settings
    path = settings.database_path
    if path is not None and not path.exists():
        return database
    setting, where = named_database(settings)
    try:
        place = location.read(database)
        if place is not None and place.moved_to:
            _log.warning("the database has moved from %s; set database_url to %s", where, place.moved_to)
            there = _database_at(how, place.moved_to)
            try:
                _require_same(database, there, where, place.moved_to)
            except BaseException:
                there.close()
                raise
            database.close()
            database, where, place = there, place.moved_to, location.read(there)
        if place is not None:
            _require_whole(place, setting, where)
            database.guard.expect(place.generation)
    except BaseException:
        database.close()
        raise
    return database


def _database_at(how: _How, url: str) -> Database:
    """Its password, if it needs one, is in PGPASSWORD or ~/.pgpass: none is kept in rows."""
    place = database_place(url)
    if place.path is not None and not place.path.exists():
        raise ConfigError(setting="database_url", problem=f"the database has moved to {url}, which is not there")
    return _database_of(how, place.path, place)


def _require_same(one: Database, other: Database, where: str, to: str) -> None:
    store_id = location.store_id(one)
    if store_id is None or location.store_id(other) != store_id:
        raise ConfigError(
            setting="database_url", problem=f"the database has moved from {where} to {to}, where another one is now"
        )


def _require_whole(place: Location, setting: str, where: str) -> None:
    if place.is_copy:
        raise ConfigError(
            setting=setting,
            problem=f"{where} is a copy that has not become the store's database; run `holdfast migrate database` at "
            "the old place once more, or with --abort, and name that place until it is done",
        )
    if place.moved_to:
        raise ConfigError(setting=setting, problem=f"the database has moved on to {place.moved_to}; name that")


def require_writable(settings: Settings, database: Database) -> None:
    """For the server's start, which writes.

    Raises:
        ConfigError: a move has broken off, and nobody may write until it is ended.
    """
    place = location.read(database)
    if place is not None and place.is_frozen:
        setting, where = named_database(settings)
        raise ConfigError(
            setting=setting,
            problem=f"{where} is read-only since a move of the database began; run `holdfast migrate database` as "
            "then, or with --abort",
        )


def existing_database(settings: Settings, synced: bool, statement_s: float) -> Database:
    setting, where = named_database(settings)
    path = settings.database_path
    if path is not None and not path.exists():
        raise ConfigError(
            setting=setting, problem=f"{where} holds no store; start the server there once, or set another one"
        )
    database = open_database(settings, synced=synced, statement_s=statement_s)
    try:
        revision = revisions.revision_of(database)
        if revision != revisions.head():
            what = "is older than this program" if revision else "was never finished"
            raise ConfigError(
                setting=setting, problem=f"the database in {where} {what}; start the server once to migrate it"
            )
    except BaseException:
        database.close()
        raise
    return database

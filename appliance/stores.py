"""Opening the store of the settings: its database, its blobs, and what of the local disk it has to spare."""

from __future__ import annotations

import errno
import logging
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.backends.reserve import LEAST, Reserve, free_bytes
from appliance.config import Settings, database_place
from appliance.db import location, migrate
from appliance.db.database import Database
from appliance.db.location import Location
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import BackendError, ConfigError, Damaged, StorageFull, Unavailable

_log = logging.getLogger(__name__)


def open_database(settings: Settings, *, synced: bool = True) -> Database:
    """The database, whatever its revision, and wherever it has moved. ``synced`` is about SQLite; a server's commits
    are as durable as it is.

    Raises:
        ConfigError: it is a copy of which a move has not come to its end, or another store's.
    """
    return _followed(settings, configured_database(settings, synced=synced), synced)


def configured_database(settings: Settings, *, synced: bool = True) -> Database:
    """That which the settings name, also if the store's has moved away from there."""
    path = settings.database_path
    if path is None:
        assert settings.database_url is not None
        return PostgresqlDatabase(settings.database_url.url)
    return SqliteDatabase(path, synced=synced, make_room=reserve_of(settings).make_room)


def _followed(settings: Settings, database: Database, synced: bool) -> Database:
    path = settings.database_path
    if path is not None and not path.exists():
        return database
    setting, where = _named_database(settings)
    try:
        place = location.read(database)
        if place is not None and place.moved_to:
            _log.warning("the database has moved from %s; set database_url to %s", where, place.moved_to)
            there = _database_at(settings, place.moved_to, synced)
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


def _database_at(settings: Settings, url: str, synced: bool) -> Database:
    """Its password, if it needs one, is in PGPASSWORD or ~/.pgpass: none is kept in rows."""
    place = database_place(url)
    if place.path is None:
        return PostgresqlDatabase(place.url)
    if not place.path.exists():
        raise ConfigError(setting="database_url", problem=f"the database has moved to {url}, which is not there")
    return SqliteDatabase(place.path, synced=synced, make_room=reserve_of(settings).make_room)


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
        setting, where = _named_database(settings)
        raise ConfigError(
            setting=setting,
            problem=f"{where} is read-only since a move of the database began; run `holdfast migrate database` as "
            "then, or with --abort",
        )


def open_backend(settings: Settings, *, synced: bool = True, make: bool = False) -> Backend:
    """The blobs. Whose they are is not asked; nothing is made unless ``make``."""
    folder = settings.blobs_folder
    if folder is None:
        raise ConfigError(setting="blobs_url", problem="S3 is not known yet")
    return DiskBackend(folder, synced=synced, make=make, host=socket.gethostname() if settings.is_shared else "")


def puts_synced(settings: Settings) -> bool:
    """Whether what requests store has to be on stable storage before they are answered.

    Only where one machine has it all can the next start find out what a power cut took.
    """
    return settings.durability == "safe" or settings.is_shared or settings.blobs_folder is None


def reserve_of(settings: Settings) -> Reserve:
    """Of the file system that is written to for every change: SQLite's, or that of the blobs."""
    path = settings.database_path
    return Reserve(path.parent if path is not None else settings.blobs_folder or settings.data, settings.reserve)


def room_for_content(settings: Settings) -> int | None:
    """Bytes that new content may take; None where nobody can tell, as of an S3 service."""
    folder = settings.blobs_folder
    return None if folder is None else Reserve(folder, settings.reserve).usable()


def open_store(settings: Settings, *, synced: bool = True) -> tuple[Database, Backend]:
    """Database and blobs of an existing store. Whose they are is not asked, and nothing is made.

    Unless told otherwise both are durable, whatever the setting says about requests: what commands do has time, and
    blobs go with some.

    Raises:
        ConfigError: there is none, it cannot be read, or it has to be migrated first, which only the server does.
    """
    with blaming_database(settings):
        database = _existing_database(settings, synced)
    try:
        with blaming_blobs(settings):
            # Also one that was followed to a server, of which these settings do not know.
            return database, open_backend(settings, synced=synced or isinstance(database, PostgresqlDatabase))
    except BaseException:
        database.close()
        raise


def _existing_database(settings: Settings, synced: bool) -> Database:
    setting, where = _named_database(settings)
    path = settings.database_path
    if path is not None and not path.exists():
        raise ConfigError(
            setting=setting, problem=f"{where} holds no store; start the server there once, or set another one"
        )
    database = open_database(settings, synced=synced)
    try:
        revision = migrate.revision_of(database)
        if revision != migrate.head_revision():
            what = "is older than this program" if revision else "was never finished"
            raise ConfigError(
                setting=setting, problem=f"the database in {where} {what}; start the server once to migrate it"
            )
    except BaseException:
        database.close()
        raise
    return database


def _named_database(settings: Settings) -> tuple[str, str]:
    """The setting that says where the database is, and what it says."""
    if settings.database_url is None:
        return "data", str(settings.data)
    return "database_url", settings.database_url.shown


_FAILURES = (StorageFull, Unavailable, Damaged, BackendError, OSError, sqlite3.Error, SQLAlchemyError, psycopg.Error)


@contextmanager
def blaming(setting: str, where: str, folder: Path | None) -> Iterator[None]:
    """What keeps a place from being used comes out as one line for the person who runs the program.

    ``where`` is the place as it is shown, ``folder`` the one whose file system may be full.

    Raises:
        ConfigError: in place of errors of the system, of the databases, and of the blobs.
    """
    try:
        yield
    except _FAILURES as error:
        raise ConfigError(setting=setting, problem=_problem(where, folder, error)) from error


def blaming_database(settings: Settings) -> AbstractContextManager[None]:
    """``blaming`` the database."""
    path = settings.database_path
    return blaming(*_named_database(settings), None if path is None else path.parent)


def blaming_blobs(settings: Settings) -> AbstractContextManager[None]:
    """``blaming`` the blobs."""
    if settings.blobs_url is None:
        return blaming("data", str(settings.data), settings.data)
    return blaming("blobs_url", settings.blobs_url.shown, settings.blobs_folder)


def _problem(where: str, folder: Path | None, error: Exception) -> str:
    """A clause that follows the name of the setting."""
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, Unavailable) and isinstance(cause.__cause__, psycopg.Error):
        cause = cause.__cause__
    if folder is not None and _lacks_room(folder, cause):
        return f"{where} has no room; free some, then start"
    if isinstance(cause, OSError):
        said = f"{cause.strerror or cause}: {cause.filename}" if cause.filename else cause.strerror or str(cause)
    elif isinstance(cause, BackendError):
        said = f"{cause.reason}: {cause.key}"
    else:
        said = str(cause).strip().partition("\n")[0]
    return f"{where} cannot be used ({said})"


def _lacks_room(folder: Path, error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, (Unavailable, sqlite3.Error)):
        # SQLite tells of an I/O error where it cannot make the files beside the database.
        free = free_bytes(folder)
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or (free is not None and free < LEAST)
    return isinstance(error, StorageFull)

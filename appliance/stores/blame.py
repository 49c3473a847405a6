"""What keeps a store from being opened, as one line for the person who runs the program."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from appliance.backends.reserve import LEAST, free_bytes
from appliance.config import Settings
from appliance.db.failing import driver_errors, is_of_server
from appliance.db.location import Location
from appliance.errors import BackendError, ConfigError, Damaged, StorageFull, Unavailable
from appliance.stores.places import is_same, shown_blobs


def _failures() -> tuple[type[Exception], ...]:
    return (StorageFull, Unavailable, Damaged, BackendError, OSError, *driver_errors())


@contextmanager
def blaming(setting: str, where: str, folder: Path | None) -> Iterator[None]:
    """What keeps a place from being used comes out as one line for the person who runs the program.

    ``where`` is the place as it is shown, ``folder`` the one whose file system may be full.

    Raises:
        ConfigError: in place of errors of the system, of the databases, and of the blobs.
    """
    try:
        yield
    except _failures() as error:
        raise ConfigError(setting=setting, problem=_problem(where, folder, error)) from error


def named_database(settings: Settings) -> tuple[str, str]:
    """The setting that says where the database is, and what it says."""
    if settings.database_url is None:
        return "data", str(settings.data)
    return "database_url", settings.database_url.shown


def blaming_database(settings: Settings) -> AbstractContextManager[None]:
    """``blaming`` the database."""
    path = settings.database_path
    return blaming(*named_database(settings), None if path is None else path.parent)


def blaming_blobs(settings: Settings, now: Location | None = None) -> AbstractContextManager[None]:
    """``blaming`` the blobs, where they are ``now``."""
    if now is not None and now.blobs_url and not is_same(settings, now.blobs_url, ""):
        return blaming("blobs_url", shown_blobs(settings, now.blobs_url), None)
    if settings.blobs_url is None:
        return blaming("data", str(settings.data), settings.data)
    return blaming("blobs_url", settings.blobs_url.shown, settings.blobs_folder)


def _problem(where: str, folder: Path | None, error: Exception) -> str:
    """A clause that follows the name of the setting."""
    # SQLAlchemy wraps what the driver raises.
    cause: BaseException | None = getattr(error, "orig", error)
    if isinstance(cause, Unavailable) and is_of_server(cause.__cause__):
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

"""The composition root: every service of a process is built here and handed to whoever needs it. No globals."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from admin_ui.app import FACES as PANEL_FACES
from admin_ui.app import Panel
from admin_ui.pages import LANDING_CSP, LandingPage
from admin_ui.request import Services
from appliance import __version__
from appliance.accounts.sessions import Lives
from appliance.accounts.signin import SignIn
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.backends.reserve import LEAST, Reserve, free_bytes
from appliance.chunks import identity
from appliance.chunks.store import ChunkStore
from appliance.config import Settings
from appliance.db import migrate
from appliance.db.sql import Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import BackendError, ConfigError, Damaged, HoldfastError, StorageFull, Unavailable
from appliance.files.context import Files
from appliance.roster import Roster
from appliance.sealing import opening
from providers.dav.answer import Answer
from providers.dav.app import DavApp, Environ
from providers.dav.past import PastApp
from providers.dav.request import Face
from providers.dav.root import RootApp
from providers.front.app import Front
from providers.http.environ import PRINCIPAL

_log = logging.getLogger(__name__)

DAV_PREFIX = "/dav"
PAST_PREFIX = "/at"

_PING = Sql("SELECT incarnation FROM store")


@dataclass(frozen=True, slots=True)
class Appliance:
    """The services of one process. Make it after a fork."""

    settings: Settings
    database: SqliteDatabase
    backend: Backend
    chunks: ChunkStore
    files: Files
    sign_in: SignIn

    def close(self) -> None:
        """Give the writer's lease back, end the threads and close the database."""
        try:
            self.sign_in.flush()
        except HoldfastError as error:
            _log.warning("the failed sign-ins of the last second are forgotten: %s", error)
        try:
            self.chunks.writers.retire()
        except HoldfastError as error:
            # On a full disk, say. The lease runs out by itself, or ends with the next start.
            _log.warning("the writer's lease could not be given back: %s", error)
        finally:
            self.chunks.close()
            self.database.close()


def open_database(settings: Settings, *, synced: bool = True) -> SqliteDatabase:
    """The database of an existing data folder, whatever its revision."""
    reserve = Reserve(settings.data, settings.reserve)
    return SqliteDatabase(settings.data / "holdfast.db", synced=synced, make_room=reserve.make_room)


def open_store(settings: Settings) -> tuple[SqliteDatabase, Backend]:
    """Database and blobs of an existing data folder. Whether they belong together is not asked, and nothing is made.

    Raises:
        ConfigError: as ``open_unopened``.
        KeysUnusable: blobs are sealed, and their data keys cannot be opened.
    """
    database, backend = open_unopened(settings)
    try:
        with blaming_data(settings.data):
            with database.read() as session:
                store_id = identity.named(session)
            if store_id is None:
                return database, backend
            return database, opening.recognize(settings, database, backend, store_id)
    except BaseException:
        database.close()
        raise


def open_unopened(settings: Settings) -> tuple[SqliteDatabase, DiskBackend]:
    """The same, where sealed blobs stay sealed.

    Whatever the setting says about requests, both are durable: what commands do has time, and blobs go with some.

    Raises:
        ConfigError: there is none, it cannot be read, or it has to be migrated first, which only the server does.
    """
    with blaming_data(settings.data):
        if not (settings.data / "holdfast.db").exists():
            raise ConfigError(
                setting="data",
                problem=f"{settings.data} holds no store; start the server there once, or set another folder",
            )
        database = open_database(settings)
        revision = migrate.current_revision(migrate.sqlite_engine(database))
        if revision != migrate.head_revision():
            what = "is older than this program" if revision else "was never finished"
            raise ConfigError(
                setting="data", problem=f"the database in {settings.data} {what}; start the server once to migrate it"
            )
        return database, DiskBackend(settings.data, synced=True, make=False)


@contextmanager
def blaming_data(folder: Path) -> Iterator[None]:
    """What keeps the data folder from being opened comes out as one line for the person who runs the program.

    Raises:
        ConfigError: in place of errors of the system, of SQLite, and of the blobs.
    """
    try:
        yield
    except (StorageFull, Unavailable, Damaged, BackendError, OSError, sqlite3.Error, SQLAlchemyError) as error:
        raise ConfigError(setting="data", problem=_problem(folder, error)) from error


def open_appliance(settings: Settings, *, guess_key: bytes | None = None) -> Appliance:
    """The services over an existing data folder whose database is up to date. ``guess_key`` is that of ``SignIn``.

    Raises:
        ConfigError: as ``open_store``.
        StoreMismatch: database and blobs are not of one store.
    """
    database, backend = open_store(settings)
    try:
        with blaming_data(settings.data):
            who = identity.recognize(database, backend)
    except BaseException:
        database.close()
        raise
    chunks = ChunkStore(
        database,
        backend,
        who,
        inline_threshold=settings.inline_threshold,
        synced=settings.durability == "safe",
    )
    files = Files(database, chunks, settings.max_file_size, Reserve(settings.data, settings.reserve).usable)
    return Appliance(settings, database, backend, chunks, files, SignIn(database, guess_key=guess_key))


def build_wsgi(appliance: Appliance, roster: Roster | None = None) -> Front:
    """The application that a worker serves; ``roster`` tells of the processes around it."""
    settings = appliance.settings
    face = Face(
        files=appliance.files,
        prefix=DAV_PREFIX,
        public_urls=settings.public_urls,
        max_xml_bytes=settings.max_xml_size,
        lock_s=settings.lock_seconds,
        max_lock_s=settings.max_lock_seconds,
    )
    dav = DavApp(face, appliance.sign_in)
    root = RootApp(dav, face, _Landing(settings.public_urls))
    panel = Panel(_panel_services(appliance, roster), version=__version__, principal_key=PRINCIPAL)
    return Front(
        {
            DAV_PREFIX.strip("/"): dav,
            PAST_PREFIX.strip("/"): PastApp(dav, face, PAST_PREFIX),
            **dict.fromkeys(PANEL_FACES, panel),
        },
        root,
        lambda: _require_ready(appliance),
        settings.public_urls,
        settings.trusted_proxies,
    )


def lives(settings: Settings) -> Lives:
    """How long browsers stay signed in."""
    return Lives(settings.session_idle_minutes * 60, settings.session_hours * 3600)


def _panel_services(appliance: Appliance, roster: Roster | None) -> Services:
    settings = appliance.settings
    return Services(
        database=appliance.database,
        sign_in=appliance.sign_in,
        lives=lives(settings),
        default_quota=settings.default_quota,
        public_urls=settings.public_urls,
        free_bytes=appliance.files.free_bytes,
        files=appliance.files,
        trash_days=settings.trash_days,
        processes=None if roster is None else roster.processes,
    )


class _Landing:
    """The page at "/", with the address under which the visitor sees the server."""

    def __init__(self, public_urls: tuple[str, ...]) -> None:
        self._page = LandingPage()
        self._public_urls = public_urls

    def __call__(self, environ: Environ) -> Answer:
        seen = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}"
        body = self._page.render(self._public_urls[0] if self._public_urls else seen, __version__)
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", LANDING_CSP),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Length", str(len(body))),
        ]
        return Answer(200, headers, [body])


def _require_ready(appliance: Appliance) -> None:
    """Raise unless database and blobs answer."""
    with appliance.database.read() as session:
        incarnation = session.value(_PING)
    if incarnation != appliance.files.incarnation:
        raise Unavailable(reason="the store was restored; this process has to restart")
    if appliance.backend.head(identity.KEY) is None:
        raise Unavailable(reason="the blobs are not there")


def _problem(folder: Path, error: Exception) -> str:
    """A clause that follows the name of the setting."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if _lacks_room(folder, cause):
        return f"{folder} has no room; free some, then start"
    if isinstance(cause, OSError):
        said = f"{cause.strerror or cause}: {cause.filename}" if cause.filename else cause.strerror or str(cause)
    elif isinstance(cause, BackendError):
        said = f"{cause.reason}: {cause.key}"
    else:
        said = str(cause).partition("\n")[0]
    return f"{folder} cannot be used ({said})"


def _lacks_room(folder: Path, error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, (Unavailable, sqlite3.Error)):
        # SQLite tells of an I/O error where it cannot make the files beside the database.
        free = free_bytes(folder)
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or (free is not None and free < LEAST)
    return isinstance(error, StorageFull)

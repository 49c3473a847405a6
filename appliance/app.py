"""The composition root: every service of a process is built here and handed to whoever needs it. No globals."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from admin_ui.pages import LANDING_CSP, LandingPage
from appliance import __version__
from appliance.accounts.signin import SignIn
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.chunks import identity
from appliance.chunks.store import ChunkStore
from appliance.config import Settings
from appliance.db import migrate
from appliance.db.sql import Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import ConfigError, Unavailable
from appliance.files.context import Files
from providers.dav.answer import Answer
from providers.dav.app import DavApp, Environ
from providers.dav.request import Face
from providers.dav.root import RootApp
from providers.front.app import Front

DAV_PREFIX = "/dav"

_PING = Sql("SELECT incarnation FROM store")


@dataclass(frozen=True, slots=True)
class Appliance:
    """The services of one process. Make it after a fork."""

    settings: Settings
    database: SqliteDatabase
    backend: DiskBackend
    chunks: ChunkStore
    files: Files

    def close(self) -> None:
        """Give the writer's lease back and close the database."""
        self.chunks.writers.retire()
        self.database.close()


def open_database(settings: Settings) -> SqliteDatabase:
    """The database of an existing data folder, whatever its revision."""
    return SqliteDatabase(settings.data / "holdfast.db", synced=settings.durability == "safe")


def open_backend(settings: Settings) -> DiskBackend:
    """The blobs of an existing data folder."""
    return DiskBackend(settings.data, synced=settings.durability == "safe")


def open_appliance(settings: Settings) -> Appliance:
    """The services over an existing data folder whose database is up to date.

    Raises:
        ConfigError: there is none, or it has to be migrated first, which only the server does.
    """
    if not (settings.data / "holdfast.db").exists():
        raise ConfigError(
            setting="data",
            problem=f"{settings.data} holds no store; start the server there once, or set another folder",
        )
    database = open_database(settings)
    if migrate.current_revision(migrate.sqlite_engine(database)) != migrate.head_revision():
        raise ConfigError(
            setting="data",
            problem=f"the database in {settings.data} is older than this program; start the server once to migrate it",
        )
    backend = open_backend(settings)
    chunks = ChunkStore(
        database,
        backend,
        identity.establish(database, backend),
        inline_threshold=settings.inline_threshold,
        synced=settings.durability == "safe",
    )
    files = Files(database, chunks, settings.max_file_size, lambda: _free_bytes(settings.data))
    return Appliance(settings, database, backend, chunks, files)


def build_wsgi(appliance: Appliance) -> Front:
    """The application that a worker serves."""
    settings = appliance.settings
    face = Face(
        files=appliance.files,
        prefix=DAV_PREFIX,
        public_urls=settings.public_urls,
        max_xml_bytes=settings.max_xml_size,
        lock_s=settings.lock_seconds,
        max_lock_s=settings.max_lock_seconds,
    )
    dav = DavApp(face, SignIn(appliance.database))
    root = RootApp(dav, face, _landing(settings.public_urls))
    return Front({DAV_PREFIX.strip("/"): dav}, root, lambda: _require_ready(appliance), settings.public_urls)


class _landing:  # noqa: N801
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
    backend: Backend = appliance.backend
    if backend.head(identity.KEY) is None:
        raise Unavailable(reason="the blobs are not there")


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None

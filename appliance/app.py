"""The composition root: every service of a process is built here and handed to whoever needs it. No globals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from admin_ui.app import FACES as PANEL_FACES
from admin_ui.app import Panel
from admin_ui.pages import LANDING_CSP, LandingPage
from admin_ui.request import Services
from appliance import __version__
from appliance.accounts.sessions import Lives
from appliance.accounts.signin import SignIn
from appliance.backends.base import Backend
from appliance.chunks import identity
from appliance.chunks.store import ChunkStore
from appliance.config import Settings
from appliance.db import location
from appliance.db.database import Database
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Sql
from appliance.errors import HoldfastError, Unavailable
from appliance.files.context import Files
from appliance.roster import Roster
from appliance.stores import HURRIED_S, PATIENT_S, blaming_blobs, open_store, puts_synced, room_for_content
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
    database: Database
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


def open_appliance(settings: Settings, *, guess_key: bytes | None = None, for_requests: bool = False) -> Appliance:
    """The services over an existing store whose database is up to date. ``guess_key`` is that of ``SignIn``.

    ``for_requests``: nothing may take long, and what is read of a far store stays near.

    Raises:
        ConfigError: as ``open_store``.
        StoreMismatch: database and blobs are not of one store.
    """
    database, backend = open_store(
        settings,
        synced=puts_synced(settings),
        statement_s=HURRIED_S if for_requests else PATIENT_S,
        is_cached=for_requests,
    )
    try:
        with blaming_blobs(settings, location.read(database)):
            who = identity.recognize(database, backend)
    except BaseException:
        database.close()
        raise
    chunks = ChunkStore(
        database,
        backend,
        who,
        inline_threshold=settings.inline_threshold,
        synced=puts_synced(settings) or isinstance(database, PostgresqlDatabase),
    )
    files = Files(database, chunks, settings.max_file_size, lambda: room_for_content(settings))
    return Appliance(settings, database, backend, chunks, files, SignIn(database, guess_key=guess_key))


def build_wsgi(
    appliance: Appliance, roster: Roster | None = None, *, is_leaving: Callable[[], bool] = lambda: False
) -> Front:
    """The application that a worker serves; ``roster`` tells of the processes around it.

    While ``is_leaving`` it says that it is not ready, and serves all the same.
    """
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
        lambda: _require_ready(appliance, is_leaving),
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


def _require_ready(appliance: Appliance, is_leaving: Callable[[], bool]) -> None:
    """Raise unless database and blobs answer, and will go on to."""
    if is_leaving():
        raise Unavailable(reason="this server is about to stop")
    with appliance.database.read() as session:
        incarnation = session.value(_PING)
    if incarnation != appliance.files.incarnation:
        raise Unavailable(reason="the store was restored; this process has to restart")
    if appliance.backend.head(identity.KEY) is None:
        raise Unavailable(reason="the blobs are not there")

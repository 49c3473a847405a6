"""The composition root: every service of a process is built here and handed to whoever needs it. No globals.

The faces over them are ``appliance.web``, which no command but the server has to load.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from appliance import clock
from appliance.accounts.sessions import Lives
from appliance.accounts.signin import SignIn
from appliance.audit.downloads import Downloads
from appliance.backends.base import Backend
from appliance.chunks import identity
from appliance.chunks.store import ChunkStore
from appliance.config import Settings
from appliance.db import location
from appliance.db.database import Database
from appliance.db.sql import POSTGRESQL
from appliance.errors import HoldfastError
from appliance.files.context import Files
from appliance.files.watch import Watch
from appliance.stores import HURRIED_S, PATIENT_S, blaming_blobs, open_store, puts_synced, room_for_content
from appliance.uploads.service import Uploads

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Appliance:
    """The services of one process. Make it after a fork."""

    settings: Settings
    database: Database
    backend: Backend
    chunks: ChunkStore
    files: Files
    uploads: Uploads
    watch: Watch
    sign_in: SignIn
    downloads: Downloads

    def close(self) -> None:
        """Give the writer's lease back, end the threads and close the database."""
        self.watch.close()
        try:
            self.sign_in.flush()
        except HoldfastError as error:
            _log.warning("the failed sign-ins of the last second are forgotten: %s", error)
        try:
            self.downloads.flush(everything=True)
        except HoldfastError as error:
            _log.warning("the last downloads are not in the audit trail: %s", error)
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
        synced=puts_synced(settings) or database.dialect is POSTGRESQL,
    )
    downloads = Downloads(database)
    files = Files(database, chunks, settings.max_file_size, room_for_content(settings), downloads)
    uploads = Uploads(files, settings.upload_hours * 3600 * clock.SECOND, settings.max_staged_size)
    sign_in = SignIn(database, guess_key=guess_key)
    return Appliance(settings, database, backend, chunks, files, uploads, Watch(database), sign_in, downloads)


def lives(settings: Settings) -> Lives:
    """How long browsers stay signed in."""
    return Lives(settings.session_idle_minutes * 60, settings.session_hours * 3600)

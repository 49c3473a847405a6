"""The blobs of the settings, and what of the local disk they have to spare."""

from __future__ import annotations

import socket

from appliance.backends.base import Backend
from appliance.backends.cached import CachedBackend
from appliance.backends.disk import DiskBackend
from appliance.backends.reserve import Reserve
from appliance.backends.retrying import Attempts, Circuit, RetryingBackend
from appliance.backends.s3_place import ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, parse_place, read_credentials
from appliance.config import Settings


def open_backend(settings: Settings, *, synced: bool = True, make: bool = False, is_cached: bool = False) -> Backend:
    """The blobs. Whose they are is not asked; nothing is made unless ``make``.

    ``is_cached``: what requests read stays near. Not for who wants to know what the store itself has.
    """
    folder = settings.blobs_folder
    if folder is None:
        return _open_s3(settings, is_cached)
    return DiskBackend(folder, synced=synced, make=make, host=socket.gethostname() if settings.is_shared else "")


def _open_s3(settings: Settings, is_cached: bool) -> Backend:
    """Asks the store nothing."""
    # Whoever has no S3 does not pay for its client at each start.
    from appliance.backends.s3 import S3Backend  # noqa: PLC0415

    assert settings.blobs_url is not None
    keys = {
        ACCESS_KEY: settings.s3_access_key,
        SECRET_KEY: settings.s3_secret_key,
        SESSION_TOKEN: settings.s3_session_token,
    }
    place = parse_place(settings.blobs_url.url)
    credentials = read_credentials({name: value for name, value in keys.items() if value})
    attempts = Attempts(Circuit())
    # Blocks for which memory has no room are on the disk of the data folder for a while, and have no name there.
    scratch = settings.data if settings.data.is_dir() else None
    store = RetryingBackend(S3Backend(place, credentials, scratch=scratch, again=attempts.run), attempts)
    return CachedBackend(store, settings.data / "cache", settings.cache_bytes) if is_cached else store


def are_remote(settings: Settings) -> bool:
    """Whether others keep the blobs."""
    return settings.blobs_folder is None


def puts_synced(settings: Settings) -> bool:
    """Whether what requests store has to be on stable storage before they are answered.

    Only where one machine has it all can the next start find out what a power cut took.
    """
    return settings.durability == "safe" or settings.is_shared or are_remote(settings)


def reserve_of(settings: Settings) -> Reserve:
    """Of the file system that is written to for every change: SQLite's, or that of the blobs."""
    path = settings.database_path
    return Reserve(path.parent if path is not None else settings.blobs_folder or settings.data, settings.reserve)


def room_for_content(settings: Settings) -> int | None:
    """Bytes that new content may take; None where nobody can tell, as of an S3 service."""
    folder = settings.blobs_folder
    return None if folder is None else Reserve(folder, settings.reserve).usable()

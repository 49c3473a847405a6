"""Places of blobs: that which the settings name, and those of a move, by the URLs that the row ``location`` keeps."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

from appliance.backends.base import Backend
from appliance.backends.cached import CachedBackend
from appliance.backends.disk import DiskBackend
from appliance.backends.moving import MovingBackend
from appliance.backends.retrying import Attempts, Circuit, RetryingBackend
from appliance.backends.s3_place import (
    ACCESS_KEY,
    SECRET_KEY,
    SESSION_TOKEN,
    Credentials,
    Place,
    parse_place,
    read_credentials,
)
from appliance.config import BlobPlace, Settings, blob_place
from appliance.db.location import ANNOUNCED, COPYING, DATA, Location
from appliance.errors import ConfigError


def named_blobs(settings: Settings) -> str:
    """The place that the settings name, as rows keep it."""
    return url_of(settings, settings.blobs_url)


def url_of(settings: Settings, place: BlobPlace | None) -> str:
    """A place as rows keep it: without a secret, and the same for all nodes."""
    if place is None or (place.path == settings.data and not settings.is_shared):
        # A folder may be mounted elsewhere tomorrow, and the database with it.
        return DATA
    return place.url if place.path is None else f"file://{quote(str(place.path))}"


def place_of(settings: Settings, url: str) -> Path | Place:
    """A folder, or what of a bucket is ours; of "" that which the settings name."""
    url = url or named_blobs(settings)
    if url == DATA:
        return settings.data
    place = blob_place(url)
    return parse_place(place.url) if place.path is None else place.path


def shown_blobs(settings: Settings, url: str) -> str:
    """A place for people, as ``blobs_url`` names it."""
    url = url or named_blobs(settings)
    return f"file://{quote(str(settings.data))}" if url == DATA else url


def is_same(settings: Settings, one: str, other: str) -> bool:
    """Whether two URLs name one place, as far as they can tell."""
    return _whereabouts(place_of(settings, one)) == _whereabouts(place_of(settings, other))


def lie_in_each_other(settings: Settings, one: str, other: str) -> bool:
    """Whether what belongs to one of two places would be found at the other as well."""
    here, there = place_of(settings, one), place_of(settings, other)
    if isinstance(here, Path) and isinstance(there, Path):
        owned = [folder / name for folder in (here, there) for name in ("blobs", "partial")]
        return any(folder == own or own in folder.parents for own in owned for folder in (here, there))
    if isinstance(here, Place) and isinstance(there, Place) and _whereabouts(here)[:2] == _whereabouts(there)[:2]:
        return here.prefix.startswith(there.prefix) or there.prefix.startswith(here.prefix)
    return False


def _whereabouts(place: Path | Place) -> tuple[str, str, str]:
    if isinstance(place, Path):
        return "file", str(place.resolve()), ""
    return place.endpoint or f"aws {place.region}", place.bucket, place.prefix


class Places:
    """Opens them, each once. Whose blobs are there is not asked, and nothing is made unless ``make``.

    ``is_cached``: what requests read stays near. Not for who wants to know what the store itself has.
    """

    def __init__(self, settings: Settings, *, synced: bool = True, make: bool = False, is_cached: bool = False) -> None:
        self._settings = settings
        self._synced = synced
        self._make = make
        self._is_cached = is_cached
        self._open: dict[str, Backend] = {}

    def at(self, url: str) -> Backend:
        """The place itself.

        Raises:
            ConfigError: there are no keys for it.
            BackendError, StorageFull: its folders cannot be made.
        """
        found = self._open.get(url)
        if found is None:
            place = place_of(self._settings, url)
            found = self._disk(place) if isinstance(place, Path) else self._s3(place, url)
            self._open[url] = found
        return found

    def view(self, now: Location) -> Backend:
        """All blobs, wherever they are."""
        if now.state == ANNOUNCED:
            return MovingBackend(self.at(now.blobs_url), self.at(now.previous_url), announced=True)
        if now.state == COPYING:
            return MovingBackend(self.at(now.previous_url), self.at(now.blobs_url))
        return self.at(now.blobs_url)

    def are_remote(self, now: Location) -> bool:
        """Whether others keep what is put from now on."""
        return isinstance(place_of(self._settings, now.blobs_url), Place)

    def _disk(self, folder: Path) -> DiskBackend:
        host = socket.gethostname() if self._settings.is_shared else ""
        return DiskBackend(folder, synced=self._synced, make=self._make, host=host)

    def _s3(self, place: Place, url: str) -> Backend:
        """Asks the store nothing."""
        # Whoever has no S3 does not pay for its client at each start.
        from appliance.backends.s3 import S3Backend  # noqa: PLC0415
        from appliance.backends.s3_presign import Presigner  # noqa: PLC0415

        settings = self._settings
        attempts = Attempts(Circuit())
        # Blocks for which memory has no room are on the disk of the data folder for a while, and have no name there.
        scratch = settings.data if settings.data.is_dir() else None
        keys = _keys_for(settings, url)
        presigner = None
        if settings.s3_presigned:
            # Of another place, from or to which blobs move, no other address is known.
            endpoint = settings.s3_public_endpoint if _is_named(settings, url) else None
            presigner = Presigner(place, keys, endpoint or "")
        backend = S3Backend(place, keys, scratch=scratch, again=attempts.run, presigner=presigner)
        store = RetryingBackend(backend, attempts)
        return CachedBackend(store, settings.data / "cache", settings.cache_bytes) if self._is_cached else store


def _keys_for(settings: Settings, url: str) -> Credentials:
    own = (settings.s3_access_key, settings.s3_secret_key, settings.s3_session_token)
    other = (settings.s3_other_access_key, settings.s3_other_secret_key, settings.s3_other_session_token)
    for one, name in ((other[0], "s3_other_access_key"), (other[1], "s3_other_secret_key")):
        if any(other) and not one:
            raise ConfigError(setting=name, problem="is not set, and another one of the same keys is; both are needed")
    keys = own if _is_named(settings, url) or not any(other) else other
    return read_credentials(
        {name: key for name, key in zip((ACCESS_KEY, SECRET_KEY, SESSION_TOKEN), keys, strict=True) if key}
    )


def _is_named(settings: Settings, url: str) -> bool:
    """Whether the settings name this S3 place."""
    return settings.blobs_folder is None and is_same(settings, url, "")

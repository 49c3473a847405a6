"""Blobs that a process has open, wherever they move: it hears of that, and opens them there."""

from __future__ import annotations

import logging
import threading

from appliance.backends.base import Backend
from appliance.backends.exchanged import ExchangedBackend
from appliance.backends.sealed import SealedBackend
from appliance.chunks import identity
from appliance.config import Settings
from appliance.db import location
from appliance.db.database import Database
from appliance.db.location import ANNOUNCED, Location
from appliance.errors import HoldfastError, Moved, StoreMismatch, Unavailable
from appliance.sealing import opening
from appliance.stores.places import Places, shown_blobs

_log = logging.getLogger(__name__)


def follow_blobs(
    settings: Settings, database: Database, places: Places, *, sealed_of: str | None = None
) -> ExchangedBackend:
    """The blobs of a database: where they are, and where they will be. From now on its commits hear of moves.

    ``sealed_of``: the id of the store, whose sealed blobs are opened; without it they stay sealed.

    Raises:
        ConfigError, KeysUnusable: they cannot be opened.
    """
    return _Follower(settings, database, places, sealed_of).backend


class _Follower:
    """Any thread."""

    def __init__(self, settings: Settings, database: Database, places: Places, store_id: str | None) -> None:
        self._settings = settings
        self._database = database
        self._places = places
        self._store_id = store_id
        self._mutex = threading.Lock()
        self._sealed: SealedBackend | None = None
        self._complained_of = 0
        now = self._read()
        self.backend = ExchangedBackend(self._open(now), self.look)
        self._generation = now.generation
        database.guard.expect(now.generation)
        database.guard.follow_with(self.look)

    def look(self) -> None:
        """Have the blobs open where they are now.

        Raises:
            Unavailable: where that is cannot be read, or nothing can be opened there.
        """
        with self._mutex:
            now = self._read()
            if now.moved_to:
                raise Moved(where=now.moved_to)
            if now.generation > self._generation:
                self._follow(now)
            if now.generation == self._generation:
                self._database.guard.expect(now.generation)

    def _read(self) -> Location:
        return location.read(self._database) or Location()

    def _follow(self, now: Location) -> None:
        try:
            inner = self._open(now)
        except HoldfastError as error:
            reason = (
                f"the blobs move to {shown_blobs(self._settings, _target(now))}, where they cannot be used: {error}"
            )
            if self._complained_of != now.generation:
                self._complained_of = now.generation
                _log.error("%s", reason)
            if now.state != ANNOUNCED:
                raise Unavailable(reason=reason) from error
            # They stay where they are, as long as this writer's row does not tell that it can use the other place.
            self._database.guard.tolerate(now.generation)
            return
        self.backend.inner = inner
        self._generation = now.generation

    def _open(self, now: Location) -> Backend:
        plain = self._places.view(now)
        if now.is_halfway:
            for url in (now.blobs_url, now.previous_url):
                self._require_there(url)
        if self._store_id is None:
            return plain
        are_remote = self._places.are_remote(now)
        if self._sealed is not None:
            return self._sealed.over(plain, seals=opening.is_on(self._settings, remote=are_remote))
        opened = opening.recognize(self._settings, self._database, plain, self._store_id, remote=are_remote)
        if isinstance(opened, SealedBackend):
            self._sealed = opened
        return opened

    def _require_there(self, url: str) -> None:
        """A folder that is not mounted here would look like one without blobs."""
        if identity.read_blob(self._places.at(url)) is None:
            raise StoreMismatch(reason=f"no blobs of a store are at {shown_blobs(self._settings, url)}")


def _target(now: Location) -> str:
    return now.previous_url if now.state == ANNOUNCED else now.blobs_url

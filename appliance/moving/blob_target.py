"""The place that blobs move to: whether they can, and what it needs before they do."""

from __future__ import annotations

import logging
from pathlib import Path

from appliance import sizes
from appliance.backends.base import Backend
from appliance.backends.reserve import free_bytes
from appliance.chunks import identity
from appliance.chunks.identity import ARRIVING, Identity
from appliance.config import Settings
from appliance.db.database import Database
from appliance.db.location import Location
from appliance.errors import BackendError, ConfigError, MoveRefused, StorageFull, StoreMismatch
from appliance.moving.blob_copy import is_pack, remove_all
from appliance.sealing import opening, wrapping
from appliance.stores.places import Places, lie_in_each_other, place_of, shown_blobs
from appliance.upkeep.check_report import Steps

_log = logging.getLogger(__name__)

# Files take whole blocks of a file system, and what is written meanwhile needs room too.
_ROOM = 1.05


class BlobTarget:
    """By its URL as rows keep it."""

    def __init__(self, settings: Settings, places: Places, url: str) -> None:
        self._settings = settings
        self._places = places
        self._url = url
        self._shown = shown_blobs(settings, url)

    def require_free(self, at: str, here: Backend, who: Identity) -> None:
        """Nothing is there, or what a move of this store has left, which is removed.

        Raises:
            MoveRefused: it cannot be used, or holds something else.
        """
        if lie_in_each_other(self._settings, at, self._url):
            raise MoveRefused(reason=f"{self._shown} and {shown_blobs(self._settings, at)} lie in each other")
        try:
            there = self._places.at(self._url)
            there.probe()
            self._require_nobodys(there, who)
        except (BackendError, StorageFull, OSError) as error:
            raise MoveRefused(reason=f"{self._shown} cannot be used: {error}; nothing was changed") from error
        self._require_room(here)

    def _require_nobodys(self, there: Backend, who: Identity) -> None:
        try:
            blob = identity.read_blob(there)
        except StoreMismatch as error:
            raise MoveRefused(reason=f"{self._shown} holds something else; nothing was changed there") from error
        if blob is None:
            if next(there.list(""), None) is not None:
                raise MoveRefused(reason=f"{self._shown} is not empty; nothing was changed there")
            return
        if blob["store"] != who.store_id:
            raise MoveRefused(
                reason=f"{self._shown} holds the blobs of another store ({blob['store']}); nothing was changed there"
            )
        if not blob[ARRIVING]:
            raise MoveRefused(
                reason=f"{self._shown} holds this very store, under another name or as it was; nothing was changed"
            )
        # A move was given up before anything was put there for good.
        remove_all(there, wrapping.KEY, identity.KEY, Steps(None))

    def _require_room(self, here: Backend) -> None:
        folder = place_of(self._settings, self._url)
        if not isinstance(folder, Path):
            return
        free = free_bytes(folder)
        needed = int(_ROOM * sum(blob.size for blob in here.list("") if is_pack(blob.key)))
        if free is not None and free < needed:
            raise MoveRefused(reason=f"{folder} has {sizes.show(free)} free, and {sizes.show(needed)} are needed")

    def have_keys(self, database: Database, here: Backend, who: Identity) -> None:
        """Where new blobs will be sealed from now on, every process has to find the data keys before it begins.

        Raises:
            ConfigError, KeysUnusable: there is no master key that all of them have.
        """
        settings = self._settings
        if not self._places.are_remote(Location(blobs_url=self._url)) or not opening.is_on(settings, remote=True):
            return
        if settings.is_shared and opening.master_of(settings) is None:
            raise ConfigError(
                setting="master_key",
                problem="what is put to S3 is sealed, with keys that all nodes need; make one with `holdfast key make "
                "FILE`, give it to each node, then move the blobs",
            )
        opening.establish(
            settings, database, here, who.store_id, remote=True, tell=lambda text: _log.warning("%s", text)
        )

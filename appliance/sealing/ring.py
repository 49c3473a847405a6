"""The data keys of a store as one process knows them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence

from appliance.backends.seal import DataKey
from appliance.db.database import Database
from appliance.errors import HoldfastError
from appliance.sealing import rows
from appliance.sealing.master import MasterKey
from appliance.sealing.wrapping import Wrapped, newest, unwrap

_log = logging.getLogger(__name__)

REFRESH_S = 30.0
"""So long a new data key may be unknown to a process that writes."""

# A blob whose first bytes are damaged names a key that nobody has; nobody looks for such ones all the time.
_AGAIN_S = 1.0
_MISSED_KEPT = 1000


class KeyRing:
    """Every data key, unwrapped. Keys that come later are found in the table; any thread."""

    def __init__(
        self,
        store_id: str,
        master: MasterKey,
        kept: Sequence[Wrapped],
        keys: Iterable[DataKey],
        database: Database | None = None,
    ) -> None:
        """``kept``: of which the newest is for what is sealed. Without a ``database`` no others are looked for."""
        self._database = database
        self._store_id = store_id
        self._master = master
        self._mutex = threading.Lock()
        self._keys = {key.id: key for key in keys}
        self._newest = self._keys[newest(kept).id]
        self._looked_at = time.monotonic()
        self._missed: dict[bytes, float] = {}

    def newest(self) -> DataKey:
        if time.monotonic() - self._looked_at > REFRESH_S:
            self._look()
        return self._newest

    def find(self, key_id: bytes) -> DataKey | None:
        found = self._keys.get(key_id)
        if found is None and time.monotonic() - self._missed.get(key_id, -_AGAIN_S) >= _AGAIN_S:
            self._look()
            found = self._keys.get(key_id)
            if found is None:
                self._note_missed(key_id)
        return found

    def _note_missed(self, key_id: bytes) -> None:
        with self._mutex:
            if len(self._missed) >= _MISSED_KEPT:
                self._missed.clear()
            self._missed[key_id] = time.monotonic()

    def _look(self) -> None:
        """Read the rows anew. What cannot be read now changes nothing."""
        if self._database is None:
            return
        with self._mutex:
            self._looked_at = time.monotonic()
            try:
                with self._database.read() as session:
                    kept = rows.load(session)
            except HoldfastError as error:
                _log.warning("the data keys could not be read anew: %s", error)
                return
            for each in kept:
                self._learn(each)
            known = [each for each in kept if each.id in self._keys]
            if known:
                self._newest = self._keys[newest(known).id]

    def _learn(self, kept: Wrapped) -> None:
        if kept.id in self._keys:
            return
        key = unwrap(kept, self._master, self._store_id)
        if key is None:
            _log.error(
                "the data key %s is wrapped with the master key %s, this process has %s; restart it with the other",
                kept.name, kept.master, self._master.fingerprint,
            )  # fmt: skip
            return
        self._keys[kept.id] = key

"""Removing the blobs of dropped packs, in which nothing that has a row lies any more."""

from __future__ import annotations

from collections.abc import Callable

from appliance import clock, faults
from appliance.backends.base import Backend
from appliance.chunks import fences
from appliance.chunks.pack import pack_key
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import BackendError, StorageFull
from appliance.upkeep.paging import LEAST, newest, paged

SKEW_S = 300
"""So far the clocks of nodes, of the database and of the store may be apart where URLs of blobs are given away."""

# One statement: a fence that is not there yet is raised by somebody who has yet to ask which packs there are.
_DROPPED = Sql("""
    SELECT id, writer_id, counter, size, dropped_at FROM pack
    WHERE id > :id AND dropped_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM fence) ORDER BY id LIMIT 100
""")
_REMOVE = Sql("DELETE FROM pack WHERE id IN (:ids*) AND dropped_at IS NOT NULL")


class Remover:
    """Of one run, with what it has done so far. ``waiting``: packs that somebody may still have a URL of.

    Who looked for a chunk before its pack was dropped may give away a URL a moment later; none lives longer than
    ``url_s`` from when it was looked for.
    """

    def __init__(self, database: Database, backend: Backend, pause: Callable[[], None]) -> None:
        """``pause`` is called before each blob, and may raise."""
        self.blobs = 0
        self.size = 0
        self.failed = 0
        self.waiting = 0
        self._database = database
        self._backend = backend
        self._pause = pause

    def remove(self) -> None:
        """Remove what is due, blobs before their rows; nothing while a fence stands."""
        fences.take_away_expired(self._database)
        self.waiting = 0
        for page in paged(newest(self._database), _DROPPED, {"id": LEAST}):
            due = [row[:4] for row in page if self._is_due(row[4])]
            self.waiting += len(page) - len(due)
            if not due:
                continue
            removed = [row[0] for row in due if self._remove_blob(*row[1:])]
            # A blob that came back after a power cut would have no row that tells of it.
            self._backend.sync_all()
            faults.point("prune.removed")
            self._delete_packs(removed)

    def _is_due(self, dropped_at: int) -> bool:
        url_s = self._backend.url_s
        return not url_s or dropped_at + (url_s + SKEW_S) * clock.SECOND <= clock.now()

    def _remove_blob(self, writer_id: int, counter: int, size: int) -> bool:
        self._pause()
        try:
            self._backend.delete(pack_key(writer_id, counter))
        except (BackendError, StorageFull):
            self.failed += 1
            return False
        self.blobs += 1
        self.size += size
        return True

    def _delete_packs(self, ids: list[int]) -> None:
        self._database.write(lambda session: session.run_by(_REMOVE, ids))

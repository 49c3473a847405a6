"""Pruning at its times, and at once while there is little room."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from appliance.backends.base import Backend
from appliance.chunks import fences
from appliance.db.database import Database
from appliance.upkeep.merging import tiny_packs
from appliance.upkeep.prune import Policy, Pruned, prune, tidy
from appliance.upkeep.turn import Turn

_log = logging.getLogger(__name__)

_COMPACTED_EVERY_S = 3600
_ROOMY = 268_435_456


class PruneJob:
    """``prune`` every ``every_s``, and whenever it is called while it ``hurries``; one call at a time.

    Calls in between merge the tiny packs that have come meanwhile, if there are many: each takes a file of its own, and
    a part of a block that nobody uses.

    Between two readings of all manifests is ten times what the first one took, however it ended. In a hurry nothing
    stays in quarantine.
    """

    _REST = 10
    # Calls come at their times, but not to the millisecond; one that is a little early must not wait for the next.
    _EARLY = 5

    def __init__(
        self,
        database: Database,
        backend: Backend,
        *,
        policy: Policy,
        source: Backend,
        every_s: float,
        hurries: Callable[[], bool],
        room: Callable[[], int | None],
        stopping: Callable[[], bool],
    ) -> None:
        self._database = database
        self._backend = backend
        self._policy = policy
        self._source = source
        self._every_s = every_s
        self._hurries = hurries
        self._room = room
        self._stopping = stopping
        self._due = -math.inf
        self._rests_until = -math.inf
        # The last pack that a call in between has looked at: what it could not merge waits for the next prune.
        self._tidied = 0
        self._compacts_from = -math.inf

    def __call__(self, turn: Turn) -> Pruned | None:
        """None: it was not yet time, and there was nothing to merge."""
        began = time.monotonic()
        hurries = self._hurries()
        if began < self._due and not hurries and not turn.is_asked:
            return self._tidy(turn)
        self._tidied = 0
        self._due = began + self._every_s - self._EARLY
        looks = began >= self._rests_until or turn.is_asked
        pruned: Pruned | None = None
        try:
            pruned = prune(
                self._database,
                self._backend,
                self._policy._replace(quarantine_s=0) if hurries else self._policy,
                source=self._backend if hurries else self._source,
                stopping=lambda: self._stopping() or turn.is_lost(),
                looks=looks,
                tell=turn.tell,
                room=self._room,
            )
        finally:
            if looks and (pruned is None or pruned.looked):
                ended = time.monotonic()
                self._rests_until = ended + self._REST * (ended - began)
        if not hurries:
            self._compact()
        if pruned.failed:
            _log.warning("%d packs that nobody needs could not be removed, and will be tried again", pruned.failed)
        return pruned

    def _tidy(self, turn: Turn) -> Pruned | None:
        # While somebody copies blobs none is merged; those that came meanwhile have their turn afterwards.
        packs = [] if fences.any_stands(self._database) else tiny_packs(self._database, self._tidied)
        if not packs:
            return None
        self._tidied = packs[-1].id
        done = tidy(
            self._database,
            self._backend,
            packs,
            source=self._source,
            stopping=lambda: self._stopping() or turn.is_lost(),
            tell=turn.tell,
            room=self._room,
        )
        if done.repacked:
            self._compact()
        return done

    def _compact(self) -> None:
        """Writers wait for it, and its log takes as much room as the database does: so seldom, and not in need."""
        room, now = self._room(), time.monotonic()
        if now >= self._compacts_from and (room is None or room >= _ROOMY) and self._database.compact():
            self._compacts_from = now + _COMPACTED_EVERY_S

"""A process that finds its database elsewhere ends; the one that the supervisor starts in its place opens it there.

Blobs that move are followed by the process itself: nothing that it answers comes to an end.
"""

from __future__ import annotations

import logging
import threading

from appliance.chunks.writers import Writers
from appliance.db import location
from appliance.db.database import Database
from appliance.serve.process import StopSignal, repeat

_log = logging.getLogger(__name__)

LOOK_S = 2.0


def follow_moves(database: Database, writers: Writers, stop: StopSignal, done: threading.Event) -> None:
    """Look every two seconds until ``done``. If the process has to end, what it answers comes to its end."""
    ended = threading.Event()

    def look() -> None:
        place = location.read(database)
        if place is None or ended.is_set():
            return
        if place.moved_to:
            ended.set()
            _log.warning("the store is elsewhere now; this process ends, and another one opens it there")
            stop.set()
            return
        database.guard.look(place.generation)
        # Whoever moves blobs waits for this.
        writers.catch_up()

    repeat(done, LOOK_S, look, name="whereabouts")

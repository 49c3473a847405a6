"""A process that finds its store elsewhere ends; the one that the supervisor starts in its place opens it there."""

from __future__ import annotations

import logging
import threading

from appliance.db import location
from appliance.db.database import Database
from appliance.serve.process import StopSignal, repeat

_log = logging.getLogger(__name__)

LOOK_S = 2.0


def end_when_moved(database: Database, stop: StopSignal, done: threading.Event) -> None:
    """Look every two seconds until ``done``. What this process answers comes to its end."""
    ended = threading.Event()

    def look() -> None:
        place = location.read(database)
        known = database.guard.generation
        if place is None or ended.is_set():
            return
        if place.moved_to or (known is not None and place.generation != known):
            ended.set()
            _log.warning("the store is elsewhere now; this process ends, and another one opens it there")
            stop.set()

    repeat(done, LOOK_S, look, name="whereabouts")

"""Waiting until every process that writes has heard of where blobs are, or has ended what it began before."""

from __future__ import annotations

import time
from typing import NamedTuple

from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.upkeep import sweep
from appliance.upkeep.check_report import Steps

_DEAF = Sql("SELECT host, pid FROM writer WHERE state = 'alive' AND opened < :generation ORDER BY id")
_BUSY = Sql("SELECT host, pid FROM writer WHERE state = 'alive' AND generation < :generation ORDER BY id")
_LOOK_S = 0.2


class Waits(NamedTuple):
    """Seconds. Processes look every two seconds where blobs are, also those that have never written."""

    hear: float = 3.0
    """Until a process that lives has heard, or will before it writes."""
    deaf: float = 60.0
    """At most, for one that writes and does not say that it has heard: it cannot use the place."""
    read: float = 5.0
    """Until nobody reads any more who has not heard; who does then looks again where blobs are."""


class Listeners:
    """The processes of a store."""

    def __init__(self, database: Database, steps: Steps) -> None:
        self._database = database
        self._steps = steps

    def deaf(self, generation: int, seconds: float) -> list[str]:
        """Those who have not opened the blobs of this generation after so long."""
        return self._those(_DEAF, generation, "hear where blobs are", seconds)

    def wait_until_heard(self, generation: int) -> None:
        """All have; those that are silent are declared dead in time, as always."""
        self._those(_DEAF, generation, "hear where blobs are", None)

    def wait_until_done(self, generation: int) -> None:
        """All uploads have ended that began before this generation."""
        self._those(_BUSY, generation, "end what they began", None)

    def _those(self, sql: Sql, generation: int, what: str, seconds: float | None) -> list[str]:
        until = None if seconds is None else time.monotonic() + seconds
        told: list[str] = []
        while True:
            sweep.declare_silent_dead(self._database)
            with self._database.read() as session:
                found = [f"{host} {pid}" for host, pid in session.rows(sql, generation=generation)]
            if not found or (until is not None and time.monotonic() > until):
                return found
            if found != told:
                told = found
                self._steps.begin(f"waiting for {', '.join(found[:5])} to {what}", len(found), "processes")
            time.sleep(_LOOK_S)

"""The job "audit": sealing what was committed since, and letting go of what is past its time."""

from __future__ import annotations

import time
from collections.abc import Callable

from appliance import clock
from appliance.audit import expire, seal
from appliance.audit.keys import AuditKeys
from appliance.db.database import Database

EVERY_S = 60
# What is past its time goes piece by piece: what comes meanwhile has to be sealed.
_EXPIRING_S = 10.0


class Auditing:
    """One run each call; ``stopping`` ends it at its next step. Returns how many rows went, if any did.

    ``database`` commits durably, whatever requests do. ``keys`` are asked for with the first run.
    """

    def __init__(self, database: Database, keys: Callable[[], AuditKeys], days: int) -> None:
        self._database = database
        self._find_keys = keys
        self._days = days
        self._keys: AuditKeys | None = None

    def __call__(self, stopping: Callable[[], bool]) -> str:
        if self._keys is None:
            self._keys = self._find_keys()
        seal.seal(self._database, self._keys, stopping=stopping)
        if not self._days:
            return ""
        until = time.monotonic() + _EXPIRING_S
        before = clock.now() - self._days * clock.DAY
        gone = expire.expire(
            self._database, self._keys, before, stopping=lambda: stopping() or time.monotonic() > until
        )
        return f"{gone} rows of the audit trail went with their time" if gone else ""

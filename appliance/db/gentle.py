"""Commits of which a job has many to make, one after the other, while requests wait for the same lock.

The lock of all writers is not fair: who lets go of it and wants it again at once mostly gets it, since whoever waits
has to wake up first.
"""

from __future__ import annotations

import time
from typing import TypeVar

from appliance.db.database import Database, Work

T = TypeVar("T")

_RESTS = 3
_MOST_S = 0.25


def write(database: Database, work: Work[T]) -> T:
    """``database.write``, and a rest of three times as long as that took, waiting for the lock included."""
    began = time.monotonic()
    result = database.write(work)
    time.sleep(min(_RESTS * (time.monotonic() - began), _MOST_S))
    return result

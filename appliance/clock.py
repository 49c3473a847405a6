"""Time, in microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import time

SECOND = 1_000_000
"""Microseconds in a second."""

DAY = 86_400 * SECOND
"""Microseconds in 24 hours."""


def now() -> int:
    """The wall clock. It may jump; where order matters, the tree's lock gives out times (``journal``)."""
    return time.time_ns() // 1_000

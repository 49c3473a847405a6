"""A limit, and the numbers that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyrate_limiter import Rate

from appliance import clock

WINDOW_S = 60
"""Every limit is of so many seconds."""
SHARES = 16
"""A worker draws so small a part of its share of a limit at once."""

Whose = Literal["user", "token", "address"]
What = Literal["requests", "bytes"]

# How much may be owed, in full buckets. A long transfer is charged when it has passed; what it took beyond that is
# forgiven.
_OWED: dict[What, int] = {"requests": 1, "bytes": 10}
# Numbers as they are counted in SQL: more would make the time of one too short for whole microseconds.
_STEPS = 100_000
# Nodes' clocks differ by no more than that.
_SKEW_S = 60


@dataclass(frozen=True, slots=True, eq=False)
class RateLimit:
    """``most`` of ``what`` in a minute, of each of ``whose``.

    SQL counts in units of ``unit`` requests or bytes; so do ``block``, what is drawn at once, and ``least``, for which
    whoever was refused has to wait. ``rate`` is what may be drawn, ``owing`` the same with what may be owed.
    ``horizon_us``: no bucket that was filled by these rules is full later than that.
    """

    whose: Whose
    what: What
    most: int
    unit: int
    block: int
    least: int
    rate: Rate
    owing: Rate
    horizon_us: int

    @classmethod
    def of(cls, whose: Whose, what: What, most: int, *, workers: int) -> RateLimit:
        """``workers``: how many processes of a node draw from it."""
        unit = max(1, most // _STEPS)
        units = most // unit
        buckets = 1 + _OWED[what]
        block = max(1, units // (SHARES * workers))
        return cls(
            whose,
            what,
            most,
            unit,
            block,
            min(block, max(1, units // WINDOW_S)),
            Rate(units, WINDOW_S * 1000),
            Rate(units, WINDOW_S * 1000, burst=units * buckets),
            # The algorithm rounds the time of a unit up.
            (WINDOW_S * clock.SECOND + units) * buckets + _SKEW_S * clock.SECOND,
        )

    @property
    def name(self) -> str:
        """As rows, headers and messages have it."""
        return f"{self.whose}-{self.what}"

    @property
    def units(self) -> int:
        """What a full bucket holds."""
        return self.rate.limit

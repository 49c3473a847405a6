"""How long the past is kept: everything for a while, then one moment an hour, a day, a week, a month.

Pure: times in, times out. Days, weeks and months are those of the machine's zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from appliance import clock, moments
from appliance.errors import BadRequest

DEFAULT = "all 24h, hourly 7d, daily 30d, weekly 26w, monthly"

_UNITS = {"h": 3600, "d": 86_400, "w": 604_800}
_FOR_EVER = 2**62
_FOUR_YEARS = 4 * 365 * clock.DAY
# From the finest to the coarsest.
_STEPS = ("all", "hourly", "daily", "weekly", "monthly")
_TIER = re.compile(rf"({'|'.join(_STEPS)})(?: +([0-9]{{1,5}})([hdw]))?")
_EXAMPLE = f'write for instance "{DEFAULT}": each step with how old it lets a moment become, the last one without'


class Tier(NamedTuple):
    """One of ``_STEPS`` and the age in microseconds up to which it keeps moments."""

    step: str
    until: int


class Retention(NamedTuple):
    """Tiers in the order of their age, each coarser than the one before. What is older than the last one goes."""

    tiers: tuple[Tier, ...]

    @property
    def all_for(self) -> int:
        """Microseconds for which every state is kept."""
        first = self.tiers[0]
        return first.until if first.step == "all" else 0

    @property
    def keeps_for(self) -> int:
        """The age in microseconds that nothing outlives."""
        return self.tiers[-1].until

    def shortened(self, halvings: int) -> Retention:
        """The same steps with ages half as long, so many times; what held for ever begins with four years."""
        if not halvings:
            return self
        return Retention(tuple(Tier(step, min(until, _FOUR_YEARS) >> halvings) for step, until in self.tiers))

    def bucket_end(self, at: int, now: int) -> int | None:
        """Of the states that changes until then have left, the last is kept; None: none of them is.

        ``at`` is the time of a change. The end may be later than ``now``.
        """
        for step, until in self.tiers:
            if now - at <= until:
                return at if step == "all" else _end(step, at)
        return None

    def tier_end(self, at: int, now: int) -> int:
        """The latest time whose changes fall to the same step as one made ``at``."""
        finer = [tier.until for tier in self.tiers if tier.until < now - at]
        return now - finer[-1] - 1 if finer else now

    def __str__(self) -> str:
        return ", ".join(_show(tier) for tier in self.tiers)


def parse(text: str) -> Retention:
    """``all 24h, hourly 7d, daily 30d, weekly 26w, monthly``: ages in hours, days or weeks, in rising order.

    Steps may be left out. One without an age, the last, holds for ever; ``none`` keeps no past at all.

    Raises:
        BadRequest: it is something else; the message says what.
    """
    if text.strip().lower() == "none":
        return Retention((Tier("all", 0),))
    tiers: list[Tier] = []
    for part in text.lower().split(","):
        found = _TIER.fullmatch(part.strip())
        if found is None:
            raise BadRequest(reason=f"{part.strip()[:40]!r} is no step of retention; {_EXAMPLE}")
        step, number, unit = found.groups()
        until = _FOR_EVER if number is None else int(number) * _UNITS[unit] * clock.SECOND
        if tiers and tiers[-1].until >= until:
            raise BadRequest(reason=f"{step!r} has to reach further back than the step before it; {_EXAMPLE}")
        if tiers and _STEPS.index(step) <= _STEPS.index(tiers[-1].step):
            raise BadRequest(reason=f"{step!r} has to be coarser than the step before it; {_EXAMPLE}")
        tiers.append(Tier(step, until))
    return Retention(tuple(tiers))


def _end(step: str, at: int) -> int:
    """The last microsecond of the hour, day, week or month that a change lies in.

    A change at the very border belongs to what ends there: a moment shows the changes at or before it. Months cut
    weeks in two, so that their borders are kept among those of weeks.
    """
    there = moments.in_zone(at - 1)
    if step == "hourly":
        # Hours count on while clocks are turned.
        into = timedelta(minutes=there.minute, seconds=there.second, microseconds=there.microsecond)
        return moments.at(there.astimezone(UTC) - into + timedelta(hours=1))
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    next_month = (midnight.replace(day=28) + timedelta(days=4)).replace(day=1)
    if step == "daily":
        return _local(midnight + timedelta(days=1))
    if step == "weekly":
        return _local(min(midnight + timedelta(days=7 - there.weekday()), next_month))
    return _local(next_month)


def _local(naive: datetime) -> int:
    return moments.at(naive.astimezone())


def _show(tier: Tier) -> str:
    if tier.until == _FOR_EVER:
        return tier.step
    seconds = tier.until // clock.SECOND
    unit = next(unit for unit in ("w", "d", "h") if seconds % _UNITS[unit] == 0)
    # As people write it: 30 days, not 4 weeks and 2 days; 24 hours, 7 days and 26 weeks are what they are.
    if unit == "w" and tier.step in ("all", "hourly", "daily"):
        unit = "d"
    if unit == "d" and tier.step == "all" and seconds <= 2 * _UNITS["d"]:
        unit = "h"
    return f"{tier.step} {seconds // _UNITS[unit]}{unit}"

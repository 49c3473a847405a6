"""Moments as people write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from appliance.errors import BadRequest

_AGO = re.compile(r"([0-9]{1,6})(s|m|h|d|w)-ago")
_SEQ = re.compile(r"seq-([0-9]{1,18})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,+Z-]+)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(NamedTuple):
    """A moment of a tree: ``at`` (microseconds since 1970), or right after change ``seq``; the other one is None."""

    at: int | None = None
    seq: int | None = None


def parse(text: str, *, now: datetime | None = None, zone: tzinfo | None = None) -> Moment:
    """``2026-11-20``, ``2026-11-20T09:00[:30[.5]][Z|+01:00]``, ``2h-ago``, ``yesterday`` or ``seq-12345``.

    Without an offset it is the time of ``zone``, by default the machine's. A day alone is its beginning,
    ``yesterday`` the same time of day.

    Raises:
        BadRequest: it is none of these.
    """
    present = (now or datetime.now(UTC)).astimezone(zone)
    text = text.strip()
    change = _SEQ.fullmatch(text)
    if change is not None:
        return Moment(seq=int(change[1]))
    try:
        return Moment(at=at(_time(text, present, zone)))
    except (ValueError, OverflowError, OSError) as error:
        raise BadRequest(
            reason=f"{text[:40]!r} is no moment; write 2026-11-20, 2026-11-20T09:00, 2h-ago, yesterday or seq-123"
        ) from error


def _time(text: str, present: datetime, zone: tzinfo | None) -> datetime:
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return present - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    if text == "yesterday":
        return present - timedelta(days=1)
    if _DATE.fullmatch(text) is None:
        raise ValueError
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=zone) if zone else moment.astimezone()


def at(when: datetime) -> int:
    """Microseconds since 1970 of a time that knows its zone."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def day_of(moment: int) -> date:
    """The day in the machine's zone."""
    return in_zone(moment).date()


def show(moment: int, *, exact: bool = False) -> str:
    """Date and time of the machine's zone with the offset, to the second, or to the microsecond if ``exact``.

    An exact text is one word that ``parse`` reads as the same moment. Clients may set times that the zone's rules, or
    the calendar, do not reach: those are shown in UTC, at the nearest moment that there is.
    """
    shown = in_zone(moment)
    return shown.isoformat(timespec="microseconds") if exact else shown.isoformat(sep=" ", timespec="seconds")


def in_zone(moment: int) -> datetime:
    """The time in the machine's zone; in UTC where that has no such time."""
    try:
        there = _EPOCH + timedelta(microseconds=moment)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if moment > 0 else datetime.min.replace(tzinfo=UTC)
    try:
        return there.astimezone()
    except (ValueError, OverflowError, OSError):
        return there

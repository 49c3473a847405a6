"""Dates as HTTP (RFC 9110 §5.6.7) and WebDAV (RFC 4918 §15.1) write them. No locale, no time zone but UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = {month.lower(): number for number, month in enumerate(_MONTHS, start=1)}
_TWO_DIGITS: Final = tuple(f"{number:02}" for number in range(60))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What four digits of a year can say.
MIN_EPOCH_S: Final = -62_135_596_800
MAX_EPOCH_S: Final = 253_402_300_799

# RFC 3339, without the forms of ISO 8601 that nobody sends: a time without its zone could mean another moment.
_iso = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,40}))?([Zz]|[+-][0-9]{2}:?[0-9]{2})"
).fullmatch
_CLOCK: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTH: Final = r"(?P<month>[A-Za-z]{3})"
_FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE).fullmatch
    for form in (
        rf"[a-z]{{3}}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_CLOCK} GMT",
        rf"[a-z]{{6,9}}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_CLOCK} GMT",
        rf"[a-z]{{3}} {_MONTH} (?P<day>[ 0-9][0-9]) {_CLOCK} (?P<year>[0-9]{{4}})",
    )
)


def parse_http_date(value: str, *, now_s: int | None = None) -> int | None:
    """Epoch seconds, or None for what is no date: RFC 9110 §13.1 has such a header ignored.

    Reads IMF-fixdate, the RFC 850 form and asctime. The day of the week is not compared with the date; a second of
    60 is a leap second. A two-digit year lies at most 50 years after ``now_s`` (default: the clock).
    """
    text = value.strip(" \t")
    for form in _FORMS:
        if found := form(text):
            break
    else:
        return None
    month = _MONTH_NUMBERS.get(found["month"].lower())
    if month is None:
        return None
    year, second = int(found["year"]), int(found["second"])
    if len(found["year"]) == 2:
        year = _full_year(year, int(time.time()) if now_s is None else now_s)
    leap = second == 60
    try:
        moment = datetime(
            year, month, int(found["day"]), int(found["hour"]), int(found["minute"]), second - leap, tzinfo=UTC
        )
    except ValueError:
        return None
    return int(moment.timestamp()) + leap


def parse_iso_date(value: str) -> int | None:
    """Epoch microseconds, rounded down; None for what is no date with time and zone, or outside the years 1 to 9999."""
    found = _iso(value.strip())
    if found is None:
        return None
    day, second, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{second}{zone.upper()}")
    except ValueError:
        return None
    passed = moment - _EPOCH
    epoch_s = passed.days * 86_400 + passed.seconds
    if not MIN_EPOCH_S <= epoch_s <= MAX_EPOCH_S:
        return None
    return epoch_s * 1_000_000 + int(f"{fraction or ''}000000"[:6])


def _full_year(two_digits: int, now_s: int) -> int:
    this_year = time.gmtime(_clamped(now_s)).tm_year
    year = this_year - this_year % 100 + two_digits
    return year - 100 if year > this_year + 50 else year


def format_http_date(epoch_s: int) -> str:
    """IMF-fixdate. Moments outside the years 1 to 9999 come out as the nearest one inside."""
    day, second = divmod(_clamped(epoch_s), 86_400)
    return f"{_day_names(day)[0]} {_clock(second)} GMT"


def format_iso_date(epoch_us: int) -> str:
    """RFC 3339 in whole seconds, ``…Z``, as creationdate wants it; bounds as ``format_http_date``."""
    day, second = divmod(_clamped(epoch_us // 1_000_000), 86_400)
    return f"{_day_names(day)[1]}T{_clock(second)}Z"


# Files of one listing differ by the second but share days; a cache of whole dates would hardly ever hit.
@lru_cache(maxsize=4096)
def _day_names(day: int) -> tuple[str, str]:
    at = time.gmtime(day * 86_400)
    month = _MONTHS[at.tm_mon - 1]
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {month} {at.tm_year:04}",
        f"{at.tm_year:04}-{at.tm_mon:02}-{at.tm_mday:02}",
    )


def _clock(second: int) -> str:
    minute, second = divmod(second, 60)
    return f"{_TWO_DIGITS[minute // 60]}:{_TWO_DIGITS[minute % 60]}:{_TWO_DIGITS[second]}"


def _clamped(epoch_s: int) -> int:
    return min(max(epoch_s, MIN_EPOCH_S), MAX_EPOCH_S)

"""Moments as people write and read them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from appliance import clock, moments
from appliance.errors import BadRequest

NOW = datetime(2026, 11, 23, 12, 30, 15, 250_000, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=1))


def at(*numbers: int) -> int:
    """Microseconds since 1970 of a moment in UTC."""
    moment = datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type, misc]
    return int(moment.timestamp()) * clock.SECOND + moment.microsecond


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20", at(2026, 11, 19, 23)),
        ("2026-11-20T09:00", at(2026, 11, 20, 8)),
        (" 2026-11-20 09:00 ", at(2026, 11, 20, 8)),
        ("2026-11-20T09:00:30", at(2026, 11, 20, 8, 0, 30)),
        ("2026-11-20T09:00:30.5", at(2026, 11, 20, 8, 0, 30, 500_000)),
        ("2026-11-20T09:00:30.123456", at(2026, 11, 20, 8, 0, 30, 123_456)),
        ("2026-11-20T09:00Z", at(2026, 11, 20, 9)),
        ("2026-11-20T09:00-05:00", at(2026, 11, 20, 14)),
        ("90s-ago", at(2026, 11, 23, 12, 28, 45, 250_000)),
        ("5m-ago", at(2026, 11, 23, 12, 25, 15, 250_000)),
        ("2h-ago", at(2026, 11, 23, 10, 30, 15, 250_000)),
        ("3d-ago", at(2026, 11, 20, 12, 30, 15, 250_000)),
        ("1w-ago", at(2026, 11, 16, 12, 30, 15, 250_000)),
        ("yesterday", at(2026, 11, 22, 12, 30, 15, 250_000)),
    ],
)
def test_moment_is_read_in_the_zone_unless_it_names_one(text: str, expected: int) -> None:
    """To the microsecond."""
    assert moments.parse(text, now=NOW, zone=BERLIN).at == expected


@pytest.mark.parametrize(
    "text",
    ["", "now-ish", "2026-13-01", "2026-11-20T25:00", "2h ago", "-2h-ago", "999999w-ago", "9" * 5000],
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    """Also a moment that no calendar has."""
    with pytest.raises(BadRequest, match="is no moment; write 2026-11-20") as caught:
        moments.parse(text, now=NOW, zone=timezone(timedelta(hours=14)))
    assert len(str(caught.value)) < 200


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    "moment",
    [
        at(2026, 3, 29, 1, 30),
        at(2026, 10, 25, 0, 30, 0, 999_999),
        at(2026, 10, 25, 1, 30, 0, 1),
        at(1970, 1, 1),
        at(1969, 12, 31, 23, 59, 59, 500_000),
        at(1901, 5, 5, 5, 5, 5, 5),
        at(9998, 12, 31, 23, 59, 59, 999_999),
    ],
)
def test_moment_shown_exactly_reads_back(moment: int) -> None:
    """To the microsecond, whatever the machine's zone, also in the hour that a clock shows twice; one word."""
    shown = moments.show(moment, exact=True)
    assert moments.parse(shown).at == moment
    assert len(shown.split()) == 1
    assert moments.parse(moments.show(moment)).at == moment - moment % clock.SECOND


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (-62_135_596_800 * clock.SECOND, "0001-01-01"),
        (-62_135_596_801 * clock.SECOND, "0001-01-01"),
        (at(9999, 12, 31, 23, 59, 59), "9999-12-31"),
        (at(9999, 12, 31, 23, 59, 59, 999_999) + 1, "9999-12-31"),
        (2**63 - 1, "9999-12-31"),
        (-(2**63), "0001-01-01"),
    ],
)
def test_moment_at_the_ends_of_the_calendar_is_shown(moment: int, day: str) -> None:
    """Clients may set any time; a zone's clock, or the calendar, does not reach each of them."""
    for exact in (False, True):
        shown = moments.show(moment, exact=exact)
        # A zone behind or before UTC may still reach it, and then it is another day there.
        there = datetime.fromisoformat(shown)
        assert abs((there - datetime.fromisoformat(day).replace(tzinfo=UTC)).total_seconds()) <= 86_400

"""Moments as people write and read them."""

from __future__ import annotations

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
    assert moments.parse(text, now=NOW, zone=BERLIN) == expected


@pytest.mark.parametrize(
    "text",
    ["", "now-ish", "2026-13-01", "2026-11-20T25:00", "2h ago", "-2h-ago", "999999w-ago", "9" * 5000],
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    """Also a moment that no calendar has."""
    with pytest.raises(BadRequest, match="is no moment; write 2026-11-20") as caught:
        moments.parse(text, now=NOW, zone=timezone(timedelta(hours=14)))
    assert len(str(caught.value)) < 200


def test_moment_shown_reads_back() -> None:
    """To the second, whatever the machine's zone."""
    moment = at(2026, 3, 29, 1, 30)
    assert moments.parse(moments.show(moment)) == moment

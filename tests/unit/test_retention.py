"""How long the past is kept: what people write, and which moments that means."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from appliance import clock, moments, retention
from appliance.errors import BadRequest
from appliance.retention import DEFAULT

HOUR = 3600 * clock.SECOND


@pytest.fixture(params=["UTC", "Europe/Berlin", "Asia/Kathmandu"], autouse=True)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> int:
    """Of a time in the machine's zone."""
    return moments.at(datetime.fromisoformat(text).astimezone())


@pytest.mark.parametrize(
    "text",
    [DEFAULT, "all 24h", "hourly 48h, monthly", "daily", "all 400d, weekly 3000w", "all 0h", "weekly 10w"],
)
def test_what_is_shown_reads_back(text: str) -> None:
    """And the default is shown as it stands in the settings."""
    found = retention.parse(text)
    assert retention.parse(str(found)) == found
    assert str(retention.parse(DEFAULT)) == DEFAULT
    assert retention.parse(text.upper().replace(", ", ",")) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no step"),
        ("all", None),
        ("daily 3 days", "is no step"),
        ("yearly", "is no step"),
        ("daily 7d, daily 30d", "has to be coarser"),
        ("daily 7d, hourly 30d", "has to be coarser"),
        ("hourly 7d, daily 7d", "reach further back"),
        ("monthly, weekly 3w", "reach further back"),
        ("hourly -7d", "is no step"),
        ("hourly 1234567d", "is no step"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, said: str | None) -> None:
    """With an example; ``all`` alone keeps everything for ever."""
    if said is None:
        assert retention.parse(text).bucket_end(0, 10**17) == 0
        return
    with pytest.raises(BadRequest, match=said) as caught:
        retention.parse(text)
    assert DEFAULT in str(caught.value)


@pytest.mark.parametrize(
    ("age_hours", "end"),
    [
        (1, None),
        (24 * 3, "2026-06-14T13:00"),
        (24 * 10, "2026-06-08T00:00"),
        (24 * 60, "2026-04-20T00:00"),
        # The week has a month's end in it.
        (24 * 45, "2026-05-04T00:00"),
        (24 * 48, "2026-05-01T00:00"),
        (24 * 365, "2025-07-01T00:00"),
    ],
)
def test_buckets_end_with_the_hour_day_week_and_month(age_hours: int, end: str | None) -> None:
    """In the machine's zone; what is younger than a day is kept one by one."""
    now = at("2026-06-17T12:30")
    change = now - age_hours * HOUR
    found = retention.parse(DEFAULT).bucket_end(change, now)
    assert found == (change if end is None else at(end))


def test_change_at_a_border_belongs_to_what_ends_there() -> None:
    """A moment shows the changes at or before it."""
    now = at("2026-06-17T12:30")
    border = at("2026-06-10T00:00")
    keeps = retention.parse("daily")
    assert keeps.bucket_end(border, now) == border
    assert keeps.bucket_end(border + 1, now) == at("2026-06-11T00:00")


def test_nothing_is_kept_beyond_the_last_age_and_with_none() -> None:
    """``none`` keeps the present alone."""
    now = at("2026-06-17T12:30")
    keeps = retention.parse("all 24h, daily 30d")
    assert keeps.bucket_end(now - 24 * 31 * HOUR, now) is None
    assert retention.parse("none").bucket_end(now - 1, now) is None
    assert retention.parse("none").all_for == 0

"""HTTP and ISO dates (RFC 9110 §5.6.7, RFC 3339)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dav.conditions import format_http_date, format_iso_date, parse_http_date
from providers.front.dates import MAX_EPOCH_S, MIN_EPOCH_S, parse_iso_date


@pytest.mark.parametrize(
    "value, epoch_s",
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Sun Nov 06 08:49:37 1994", 784111777),
        (" Sun, 06 Nov 1994 08:49:37 GMT ", 784111777),
        ("sun, 06 nov 1994 08:49:37 gmt", 784111777),
        ("Mon, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Mon, 01 Jan 1601 00:00:00 GMT", -11644473600),  # what Windows calls no date
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800),
        ("Thu, 29 Feb 2024 00:00:00 GMT", 1709164800),
    ],
)
def test_parse_http_date_three_forms_give_seconds(value: str, epoch_s: int) -> None:
    """IMF-fixdate, RFC 850 and asctime are all read."""
    assert parse_http_date(value) == epoch_s


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "-1",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Thu, 29 Feb 2023 00:00:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun Nov    08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=5",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_parse_http_date_other_text_is_none(value: str) -> None:
    """A bad date is ignored by its caller, so it is no error."""
    assert parse_http_date(value) is None


@pytest.mark.parametrize("two_digits, year", [("26", 2026), ("76", 2076), ("77", 1977), ("99", 1999), ("00", 2000)])
def test_parse_http_date_two_digit_year_is_at_most_fifty_years_ahead(two_digits: str, year: int) -> None:
    """RFC 9110 §5.6.7, seen from November 2026."""
    found = parse_http_date(f"Sunday, 01-Nov-{two_digits} 00:00:00 GMT", now_s=1_795_000_000)
    assert found == int(datetime(year, 11, 1, tzinfo=UTC).timestamp())


@given(
    st.one_of(
        st.text(), st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} [JFMASOND][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
    )
)
def test_parse_http_date_any_text_never_raises(value: str) -> None:
    """Seconds that can be written again, or None."""
    found = parse_http_date(value)
    assert found is None or MIN_EPOCH_S <= found <= MAX_EPOCH_S + 1


@given(st.integers(MIN_EPOCH_S, MAX_EPOCH_S))
def test_format_http_date_then_parse_gives_the_second_back(epoch_s: int) -> None:
    """Last-Modified that comes back in If-Range or If-Modified-Since is recognised."""
    assert parse_http_date(format_http_date(epoch_s)) == epoch_s


@given(st.integers(0, 4_000_000_000))
def test_format_http_date_agrees_with_the_standard_library(epoch_s: int) -> None:
    """The quick formatter writes what the slow one does."""
    assert format_http_date(epoch_s) == formatdate(epoch_s, usegmt=True)


@given(st.integers(MIN_EPOCH_S, MAX_EPOCH_S), st.integers(0, 999_999))
def test_format_iso_date_is_the_second_that_has_begun(epoch_s: int, microseconds: int) -> None:
    """Rounded down, before 1970 too, and readable by a strict reader."""
    text = format_iso_date(epoch_s * 1_000_000 + microseconds)
    assert int(datetime.fromisoformat(text).timestamp()) == epoch_s
    assert len(text) == 20
    assert text.endswith("Z")


@given(st.integers())
def test_format_dates_any_number_never_raises(moment: int) -> None:
    """A stored time outside the calendar shows as its nearest end."""
    assert len(format_http_date(moment)) == 29
    assert len(format_iso_date(moment)) == 20


@pytest.mark.parametrize(
    ("value", "epoch_us"),
    [
        ("1994-11-06T08:49:37Z", 784111777_000_000),
        ("1994-11-06 09:49:37+01:00", 784111777_000_000),
        ("1994-11-06t03:19:37-0530", 784111777_000_000),
        ("1994-11-06T08:49:37.1234567Z", 784111777_123_456),
        ("1969-12-31T23:59:59.5Z", -500_000),
        (" 1970-01-01T00:00:00,25z ", 250_000),
        # What could mean several moments, or none.
        ("1994-11-06T08:49:37", None),
        ("1994-11-06", None),
        ("1994-11-31T08:49:37Z", None),
        ("1994-11-06T25:49:37Z", None),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_parse_iso_date_gives_the_moment_in_any_zone(value: str, epoch_us: int | None) -> None:
    """Rounded down to a microsecond."""
    assert parse_iso_date(value) == epoch_us


@given(st.one_of(st.text(), st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{4}\Z")))
def test_parse_iso_date_any_text_never_raises(value: str) -> None:
    """What is no moment is None."""
    parse_iso_date(value)


@given(st.integers(MIN_EPOCH_S, MAX_EPOCH_S))
def test_format_iso_date_then_parse_gives_the_second_back(epoch_s: int) -> None:
    """What the server wrote it reads."""
    assert parse_iso_date(format_iso_date(epoch_s * 1_000_000)) == epoch_s * 1_000_000

"""Sizes as people write and read them."""

from __future__ import annotations

import pytest

from appliance import sizes
from appliance.errors import BadRequest


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "1.00 KB"), (1234, "1.23 KB"), (9_994, "9.99 KB"),
        (9_995, "10.0 KB"), (99_949, "99.9 KB"), (99_950, "100 KB"), (999_499, "999 KB"), (999_500, "1.00 MB"),
        (50_000_000_000, "50.0 GB"), (1024**6, "1153 PB"),
    ],
)  # fmt: skip
def test_size_is_shown_with_three_digits(size: int, text: str) -> None:
    """Never "1000 KB", which is one of the next unit."""
    assert sizes.show(size) == text


def test_exact_size_has_every_byte() -> None:
    """In groups of three."""
    assert sizes.exact(1_234_567) == "1,234,567 bytes"
    assert sizes.exact(1) == "1 byte"


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("50 GB", 50 * 10**9), ("50gb", 50 * 10**9), (" 1.5 GiB ", 3 * 2**29), ("0.5 kb", 500),
     ("1 EiB".replace("1 EiB", "1048576 TiB"), 1024**6)],
)  # fmt: skip
def test_size_is_read_as_people_type_it(text: str, size: int) -> None:
    """Whatever the letters' case, and with a point."""
    assert sizes.parse(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1,5 GB", "1 XB", "1e9", "1048577 TiB", "٣", "1 GB 2", "9" * 40])
def test_what_is_no_size_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(BadRequest):
        sizes.parse(text)


def test_what_is_shown_can_be_typed() -> None:
    """And means the same, to three digits."""
    for size in (0, 7, 999, 1000, 123_456, 50_000_000_000):
        assert sizes.parse(sizes.show(size)) == pytest.approx(size, rel=0.005)

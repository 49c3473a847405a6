"""What is kept of written listings: whole ones, the last used, no more than a bound."""

from __future__ import annotations

import pytest

from providers.dav import listings
from providers.dav.listings import Key, Listings
from providers.dav.xml_in import PropfindRequest

ALL = PropfindRequest("allprop")


def key(number: int) -> Key:
    """That of a folder of its own."""
    return Key("abcdef12", number, 1, f"/dav/{number}/", ALL)


def write(kept: Listings, number: int, *blocks: bytes, members: int = 1000) -> list[bytes]:
    """As a request does that found nothing."""
    assert kept.find(key(number)) is None
    return list(kept.keep(key(number), members, iter(blocks)))


def test_listing_is_kept_once_it_has_come_to_its_end() -> None:
    """One whose client went away in the middle would be told as the whole."""
    kept = Listings()
    begun = kept.keep(key(1), 1000, iter([b"a", b"b"]))
    assert next(begun) == b"a"
    assert kept.find(key(1)) is None
    assert list(begun) == [b"b"]
    assert kept.find(key(1)) == [b"a", b"b"]


def test_small_folder_is_not_kept() -> None:
    """It is written as quickly."""
    kept = Listings()
    assert write(kept, 1, b"a", members=3) == [b"a"]
    assert kept.find(key(1)) is None


def test_listing_that_would_take_most_of_the_room_is_passed_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of a million files must not be held in memory."""
    monkeypatch.setattr(listings, "_LARGEST_BYTES", 10)
    kept = Listings()
    assert write(kept, 1, b"x" * 6, b"y" * 6, b"z") == [b"x" * 6, b"y" * 6, b"z"]
    assert kept.find(key(1)) is None
    write(kept, 2, b"x" * 10)
    assert kept.find(key(2)) == [b"x" * 10]


def test_listing_that_was_not_used_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on the bytes of all."""
    monkeypatch.setattr(listings, "_LIMIT_BYTES", 30)
    kept = Listings()
    for number in (1, 2, 3):
        write(kept, number, b"0123456789")
    assert kept.find(key(1)) is not None
    write(kept, 4, b"0123", b"456789")
    assert [kept.find(key(number)) is not None for number in (1, 2, 3, 4)] == [True, False, True, True]
    write(kept, 5, b"0" * 30)
    assert [kept.find(key(number)) is not None for number in (1, 2, 3, 4, 5)] == [False] * 4 + [True]


def test_two_that_write_the_same_keep_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes count once."""
    monkeypatch.setattr(listings, "_LIMIT_BYTES", 30)
    kept = Listings()
    both = [kept.keep(key(1), 1000, iter([b"0123456789"])) for _ in range(2)]
    assert [list(each) for each in both] == [[b"0123456789"]] * 2
    for number in (2, 3):
        write(kept, number, b"0123456789")
    assert all(kept.find(key(number)) is not None for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("wanted", "can"),
    [
        (ALL, True),
        (PropfindRequest("prop", ("{DAV:}getetag", "{urn:x}dead", "{DAV:}getlastmodified")), True),
        (PropfindRequest("allprop", include=("{http://owncloud.org/ns}checksums",)), True),
        (PropfindRequest("allprop", include=("{urn:" + "x" * 5000 + "}a",)), False),
        (PropfindRequest("propname"), False),
        (PropfindRequest("prop", ("{DAV:}getetag", "{DAV:}lockdiscovery")), False),
        (PropfindRequest("prop", ("{DAV:}quota-used-bytes",)), False),
        (PropfindRequest("allprop", include=("{DAV:}quota-available-bytes",)), False),
    ],
)
def test_only_what_the_number_of_the_folder_tells_of_is_kept(wanted: PropfindRequest, can: bool) -> None:
    """A lock, or room that others took, changes no folder. The question takes room too."""
    assert Listings.can_keep(wanted) == can

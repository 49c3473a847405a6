"""Preferences of the client (RFC 7240, RFC 8144): shorter answers, and nothing else about them."""

from __future__ import annotations

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import clark, parse, propfind_body
from tests.server.syncing import PREFIXES, body

MINIMAL = {"Prefer": "return=minimal"}
WANTED = propfind_body("D:getetag", "D:quota-used-bytes", "A:x")
LACKING = propfind_body("A:x")


@pytest.fixture
def file(dav: Dav, area: str) -> str:
    """The path of a file."""
    dav.ok("PUT", f"{area}file", b"x")
    return f"{area}file"


def test_missing_properties_are_left_out(dav: Dav, area: str, file: str) -> None:
    """RFC 8144 §2.1; a second time too, when the listing may come from memory."""
    whole = dav("PROPFIND", area, WANTED, {"Depth": "1"})
    assert parse(whole)[file].refused == {clark("D:quota-used-bytes"): 404, clark("A:x"): 404}
    assert "preference-applied" not in whole.headers
    for _ in range(2):
        answer = dav("PROPFIND", area, WANTED, {"Depth": "1", **MINIMAL})
        assert {href: (list(entry.values), entry.refused) for href, entry in parse(answer).items()} == {
            area: ([clark("D:getetag"), clark("D:quota-used-bytes")], {}),
            file: ([clark("D:getetag")], {}),
        }
        assert answer.headers["preference-applied"] == "return=minimal"
    assert whole.headers["vary"] == answer.headers["vary"] == "Prefer"
    assert dav("PROPFIND", area, WANTED, {"Depth": "1"}).body == whole.body


def test_entry_that_lacks_all_of_it_has_an_empty_propstat(dav: Dav, file: str) -> None:
    """RFC 8144 §2.1: it must have one."""
    answer = dav("PROPFIND", file, LACKING, {"Depth": "0", **MINIMAL})
    assert "<D:propstat><D:prop></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>" in answer.text
    assert "404" not in answer.text


def test_report_leaves_out_the_missing_and_keeps_the_gone(dav: Dav, area: str, file: str) -> None:
    """The 404 of a response is what the client came for."""
    dav.ok("PUT", f"{area}other", b"x")
    first = dav("REPORT", area, body("", "D:getetag", "A:x"), MINIMAL)
    assert "404" not in first.text
    assert first.headers["preference-applied"] == "return=minimal"
    token = first.text.partition("<D:sync-token>")[2].partition("<")[0]
    dav.ok("DELETE", file)
    dav.ok("PUT", f"{area}other", b"y")
    second = dav("REPORT", area, body(token, "D:getetag", "A:x"), MINIMAL)
    assert second.text.count("404") == 1
    assert f"<D:href>{file}</D:href><D:status>HTTP/1.1 404 Not Found</D:status>" in second.text
    assert "preference-applied" not in dav("REPORT", area, body()).headers


def test_proppatch_that_succeeds_says_no_more(dav: Dav, file: str) -> None:
    """RFC 8144 §2.2; one that fails says why as ever."""
    setting = "<D:propertyupdate {}><D:set><D:prop>{}</D:prop></D:set></D:propertyupdate>"
    answer = dav("PROPPATCH", file, setting.format(PREFIXES, "<A:x>1</A:x>").encode(), MINIMAL)
    assert (answer.status, answer.body, answer.headers["preference-applied"]) == (200, b"", "return=minimal")
    assert parse(dav("PROPFIND", file, LACKING, {"Depth": "0"}))[file]["A:x"] == "1"
    answer = dav("PROPPATCH", file, setting.format(PREFIXES, "<D:getetag/><A:x>2</A:x>").encode(), MINIMAL)
    assert parse(answer)[file].refused == {clark("D:getetag"): 403, clark("A:x"): 424}
    assert "preference-applied" not in answer.headers
    assert parse(dav("PROPFIND", file, LACKING, {"Depth": "0"}))[file]["A:x"] == "1"


def test_root_is_left_out_of_a_listing(dav: Dav, area: str, file: str) -> None:
    """RFC 8144 §4: of the members' listing; asked about alone it is told."""
    prefer = {"Prefer": "depth-noroot, return=minimal"}
    answer = dav("PROPFIND", area, WANTED, {"Depth": "1", **prefer})
    assert list(parse(answer)) == [file]
    assert answer.headers["preference-applied"] == "return=minimal, depth-noroot"
    answer = dav("PROPFIND", area, WANTED, {"Depth": "0", **prefer})
    assert list(parse(answer)) == [area]
    assert answer.headers["preference-applied"] == "return=minimal"
    assert list(parse(dav("PROPFIND", file, WANTED, {"Depth": "1", **prefer}))) == [file]
    answer = dav("PROPFIND", "/", WANTED, {"Depth": "1", **prefer})
    assert list(parse(answer)) == ["/dav/"]
    assert "404" not in answer.text
    assert answer.headers["preference-applied"] == "return=minimal, depth-noroot"


@pytest.mark.parametrize(
    "value", ["", "return=representation", "minimal", "return", ',;="', "return=minimal2", "x" * 9999]
)
def test_preference_that_is_not_known_is_ignored(dav: Dav, file: str, value: str) -> None:
    """RFC 7240 §2."""
    answer = dav("PROPFIND", file, LACKING, {"Depth": "0", "Prefer": value})
    assert parse(answer)[file].refused == {clark("A:x"): 404}
    assert "preference-applied" not in answer.headers

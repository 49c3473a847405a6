"""MKCOL with a body: a folder that has its properties from the beginning (RFC 5689), or no folder."""

from __future__ import annotations

import pytest

from tests.server.content import chunked
from tests.server.dav_client import Answer, Dav
from tests.server.listing import NAMESPACES, Entry, clark, names, parse, properties
from tests.server.locking import lock

PREFIXES = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
PLAIN = "<D:resourcetype><D:collection/></D:resourcetype>"
CALENDAR = '<D:resourcetype><D:collection/><c:calendar xmlns:c="urn:ietf:params:xml:ns:caldav"/></D:resourcetype>'
XML = {"Content-Type": 'application/xml; charset="utf-8"'}


def asking(*groups: str) -> bytes:
    """The body, with a set element for each group of properties."""
    inner = "".join(f"<D:set><D:prop>{group}</D:prop></D:set>" for group in groups)
    return f'<?xml version="1.0"?><D:mkcol {PREFIXES}>{inner}</D:mkcol>'.encode()


def refusal(answer: Answer) -> Entry:
    """What the answer says of each property; it has the form of one response without an href."""
    assert answer.status == 403, f"{answer.status} {answer.text}"
    assert "<D:mkcol-response " in answer.text
    inner = answer.text.partition("<D:mkcol-response ")[2].partition(">")[2].removesuffix("</D:mkcol-response>")
    whole = f"<D:multistatus {PREFIXES}><D:response><D:href>x</D:href>{inner}</D:response></D:multistatus>"
    (entry,) = parse(Answer(207, {}, whole.encode())).values()
    return entry


def test_server_says_that_it_can(dav: Dav, area: str) -> None:
    """RFC 5689 §3.1."""
    for path in (area, "/dav/", "/"):
        assert "extended-mkcol" in dav("OPTIONS", path).headers["dav"].split(", ")


@pytest.mark.parametrize("group", [PLAIN, ""])
@pytest.mark.parametrize("content_type", ["application/xml", 'text/xml; charset="utf-8"', "Text/XML"])
def test_folder_is_made_with_its_properties(dav: Dav, area: str, group: str, content_type: str) -> None:
    """Dead ones and a time, in the order in which they stand; also if no type is asked for."""
    body = asking(
        group + "<A:colour>red</A:colour><D:getlastmodified>Sun, 09 Sep 2001 01:46:40 GMT</D:getlastmodified>",
        "<A:colour>blue</A:colour>",
    )
    answer = dav("MKCOL", f"{area}new/", body, {"Content-Type": content_type})
    assert (answer.status, answer.body) == (201, b"")
    told = properties(dav, f"{area}new/", "D:resourcetype", "A:colour", "D:getlastmodified")
    assert told.is_folder
    assert (told["A:colour"], told["D:getlastmodified"]) == ("blue", "Sun, 09 Sep 2001 01:46:40 GMT")
    assert names(dav, area) == {"new/"}
    assert names(dav, f"{area}new/") == set()


def test_body_may_be_chunked_expected_or_empty(dav: Dav, area: str) -> None:
    """The connection goes on after each."""
    body = asking("<A:x>1</A:x>")
    with dav.wire() as wire:
        wire.send(
            dav.head("MKCOL", f"{area}a", "Content-Type: text/xml", "Transfer-Encoding: chunked"), chunked(body, [9])
        )
        assert wire.answer().status == 201
        length = f"Content-Length: {len(body)}"
        wire.send(dav.head("MKCOL", f"{area}b", "Content-Type: text/xml", length, "Expect: 100-continue"))
        assert wire.answer().status == 100
        wire.send(body)
        assert wire.answer().status == 201
        wire.send(dav.head("MKCOL", f"{area}c", "Content-Type: text/xml", "Content-Length: 0"))
        assert wire.answer().status == 201
    assert {name: "A:x" in properties(dav, area + name, "A:x") for name in "abc"} == {"a": True, "b": True, "c": False}


@pytest.mark.parametrize(
    "group, refused",
    [
        (CALENDAR + "<A:x>1</A:x>", {"D:resourcetype": 403, "A:x": 424}),
        ("<D:resourcetype/><A:x>1</A:x>", {"D:resourcetype": 403, "A:x": 424}),
        (PLAIN + "<D:getetag>x</D:getetag><A:x>1</A:x>", {"D:resourcetype": 424, "D:getetag": 403, "A:x": 424}),
        (PLAIN + "<D:displayname>x</D:displayname>", {"D:resourcetype": 424, "D:displayname": 403}),
        ("<D:lastmodified>never</D:lastmodified><A:x>1</A:x>", {"D:lastmodified": 409, "A:x": 424}),
    ],
)
def test_property_that_cannot_be_set_makes_no_folder(dav: Dav, area: str, group: str, refused: dict[str, int]) -> None:
    """RFC 5689 §3: all or nothing, and the answer names each property."""
    answer = dav("MKCOL", f"{area}new", asking(group), XML)
    assert refusal(answer).refused == {clark(name): status for name, status in refused.items()}
    assert ("<D:valid-resourcetype/>" in answer.text) == (refused.get("D:resourcetype") == 403)
    assert names(dav, area) == set()


def test_property_that_is_too_large_makes_no_folder(dav: Dav, area: str) -> None:
    """The bounds of a PROPPATCH."""
    answer = dav("MKCOL", f"{area}new", asking(f"{PLAIN}<A:x>{'x' * 70_000}</A:x>"), XML)
    assert refusal(answer).refused == {clark("D:resourcetype"): 424, clark("A:x"): 507}
    assert names(dav, area) == set()


@pytest.mark.parametrize(
    "body, content_type, status",
    [
        (b"<a/>", "application/xml", 415),
        (b'<D:propertyupdate xmlns:D="DAV:"/>', "text/xml", 415),
        (b"nonsense", "text/xml", 400),
        (b'<!DOCTYPE a><D:mkcol xmlns:D="DAV:"/>', "text/xml", 400),
        (b'<D:mkcol xmlns:D="DAV:"><D:set/></D:mkcol>', "text/xml", 400),
        (b'<D:mkcol xmlns:D="DAV:"/>', "text/plain", 415),
        (b'<D:mkcol xmlns:D="DAV:"/>', "application/xmlish", 415),
        (b"<a>" + b"x" * 2_000_000 + b"</a>", "text/xml", 413),
    ],
)
def test_body_that_is_none_makes_no_folder(dav: Dav, area: str, body: bytes, content_type: str, status: int) -> None:
    """Other roots are reserved; what does not say that it is XML is not read."""
    assert dav("MKCOL", f"{area}new", body, {"Content-Type": content_type}).status == status
    dav.close()
    assert names(dav, area) == set()


@pytest.mark.parametrize("group", ["<A:x>1</A:x>", CALENDAR, "<D:getetag>x</D:getetag>"])
def test_what_refuses_a_plain_folder_comes_first(dav: Dav, area: str, group: str) -> None:
    """A taken name, no folder above, a condition, a lock: whatever is wrong with the properties."""
    dav.ok("MKCOL", f"{area}taken")
    dav.ok("MKCOL", f"{area}locked")
    body = asking(group)
    token = lock(dav, f"{area}locked", {"Depth": "infinity"})
    assert dav("MKCOL", f"{area}taken", body, XML).status == 405
    assert dav("MKCOL", f"{area}missing/new", body, XML).status == 409
    assert dav("MKCOL", f"{area}new", body, {**XML, "If": '(["x"])'}).status == 412
    assert dav("MKCOL", f"{area}locked/new", body, XML).status == 423
    made = dav("MKCOL", f"{area}locked/new", body, {**XML, "If": f"(<{token}>)"}).status
    assert made == (201 if group == "<A:x>1</A:x>" else 403)
    assert names(dav, area) == {"taken/", "locked/"}
    assert names(dav, f"{area}locked/") == ({"new/"} if made == 201 else set())
    assert dav("PROPFIND", f"{area}taken", b"", {"Depth": "0"}).text.count("colour") == 0

"""Properties as they are asked for and set: what is told, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import hashlib

import pytest

from tests.server.behind import tells_room
from tests.server.dav_client import Dav
from tests.server.listing import NAMESPACES, clark, parse, properties
from tests.server.locking import lock
from tests.server.running import Server

NOW = "Sun, 09 Sep 2001 01:46:40 GMT"
PREFIXES = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
WIN32 = "Z:Win32LastModifiedTime"


@pytest.fixture
def file(dav: Dav, area: str) -> str:
    """The path of a file with a time that a client set."""
    dav.ok("PUT", f"{area}file", b"x", {"X-OC-Mtime": "1000000000"})
    return f"{area}file"


def setting(*values: tuple[str, str]) -> bytes:
    """The body of a PROPPATCH that sets these."""
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in values)
    return f"<D:propertyupdate {PREFIXES}><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>".encode()


def asking(inner: str) -> bytes:
    """The body of a PROPFIND."""
    return f"<D:propfind {PREFIXES}>{inner}</D:propfind>".encode()


@pytest.mark.parametrize("name", [WIN32, "D:getlastmodified", "D:lastmodified"])
@pytest.mark.parametrize("value", ["nonsense", "", " ", "2026-11-22", "Sun, 99 Nov 2026 10:00:00 GMT", "1e99"])
def test_time_that_is_none_is_409_and_nothing_is_set(dav: Dav, file: str, name: str, value: str) -> None:
    """RFC 4918 §9.2.1: the value is no time; the others fail with it. The reason speaks of this property."""
    answer = dav("PROPPATCH", file, setting(("A:x", "1"), (name, value), ("A:y", "2")))
    (entry,) = parse(answer).values()
    assert entry.refused == {clark(name): 409, clark("A:x"): 424, clark("A:y"): 424}
    assert "modification time" in answer.text
    assert "X-OC-Mtime" not in answer.text
    now = properties(dav, file, "D:getlastmodified", "A:x", "A:y")
    assert now["D:getlastmodified"] == NOW
    assert set(now.refused.values()) == {404}


@pytest.mark.parametrize("name", [WIN32, "D:getlastmodified", "D:lastmodified"])
@pytest.mark.parametrize(
    "value", ["Sun, 22 Nov 2026 10:20:30 GMT", "2026-11-22T10:20:30Z", "2026-11-22T11:20:30.5+01:00", "1795342830"]
)
def test_time_is_read_in_each_form_that_clients_send(dav: Dav, file: str, name: str, value: str) -> None:
    """As HTTP writes it, as ISO 8601 does, and in seconds since 1970."""
    (entry,) = parse(dav("PROPPATCH", file, setting((name, value)))).values()
    assert (list(entry.values), entry.refused) == ([clark(name)], {})
    assert properties(dav, file, "D:getlastmodified")["D:getlastmodified"] == "Sun, 22 Nov 2026 10:20:30 GMT"


def test_protected_and_wrong_values_are_told_apart(dav: Dav, file: str) -> None:
    """403 for what nobody may set, 409 for what means nothing, 424 for the rest."""
    answer = dav("PROPPATCH", file, setting(("D:getetag", "x"), (WIN32, "x"), ("A:x", "1")))
    (entry,) = parse(answer).values()
    assert entry.refused == {clark("D:getetag"): 403, clark(WIN32): 409, clark("A:x"): 424}


@pytest.mark.parametrize("values", [("D:getetag", "x"), (WIN32, "nonsense"), ("A:x", "1")])
def test_locks_and_conditions_come_before_what_is_wrong_with_a_property(
    dav: Dav, file: str, values: tuple[str, str]
) -> None:
    """A client without the token learns that it needs one."""
    assert dav("PROPPATCH", file, setting(values), {"If-Match": '"other"'}).status == 412
    token = lock(dav, file)
    assert dav("PROPPATCH", file, setting(values)).status == 423
    assert dav("PROPPATCH", file, setting(values), {"If": f"(<{token}>)"}).status == 207
    assert dav("PROPPATCH", f"{file}-missing", setting(values)).status == 404


def test_property_in_the_namespace_of_xml_is_told_well_formed(dav: Dav, file: str) -> None:
    """Its prefix must not be declared as another one (Namespaces in XML §3)."""
    name = "{http://www.w3.org/XML/1998/namespace}odd"
    asked = asking("<D:prop><xml:odd/></D:prop>")
    (entry,) = parse(dav("PROPFIND", file, asked, {"Depth": "0"})).values()
    assert entry.refused == {name: 404}
    (entry,) = parse(dav("PROPPATCH", file, setting(("xml:odd", "1")))).values()
    assert list(entry.values) == [name]
    for body in (asked, asking("<D:propname/>"), b""):
        (entry,) = parse(dav("PROPFIND", file, body, {"Depth": "0"})).values()
        assert name in entry.values


def test_allprop_includes_the_room_that_is_left(server: Server, dav: Dav, area: str, file: str) -> None:
    """When asked for, or of one folder alone; also for a user without a quota, whose room is the store's (RFC 4331)."""
    if not tells_room(server):
        pytest.skip("the store has no end")
    quota = {clark("D:quota-available-bytes"), clark("D:quota-used-bytes")}
    asked = asking("<D:allprop/><D:include><D:quota-available-bytes/></D:include>")
    (entry,) = parse(dav("PROPFIND", area, asked, {"Depth": "0"})).values()
    assert int(entry["D:quota-available-bytes"]) > 0
    for body in (asked, b"", asking("<D:allprop/>")):
        (entry,) = parse(dav("PROPFIND", area, body, {"Depth": "0"})).values()
        assert quota <= set(entry.values)
    for told in (dav("PROPFIND", area, b"", {"Depth": "1"}), dav("PROPFIND", file, b"", {"Depth": "0"})):
        for entry in parse(told).values():
            assert not quota & {*entry.values, *entry.refused}


def test_propname_names_what_can_be_asked_for(server: Server, dav: Dav, area: str, file: str) -> None:
    """Checksums where there are some, the room that is left on folders; each of them has a value then."""
    checksum = hashlib.sha1(b"x", usedforsecurity=False).hexdigest()
    dav.ok("PUT", f"{area}checked", b"x", {"OC-Checksum": f"SHA1:{checksum}"})
    told = parse(dav("PROPFIND", area, asking("<D:propname/>"), {"Depth": "1"}))
    assert {path for path, entry in told.items() if "oc:checksums" in entry} == {f"{area}checked"}
    with_room = {path for path, entry in told.items() if "D:quota-available-bytes" in entry}
    assert with_room == ({area} if tells_room(server) else set())
    assert all("D:lockdiscovery" in entry for entry in told.values())


def test_root_tells_what_was_asked_for_only(dav: Dav) -> None:
    """The root of the server has few properties; it says which it lacks, and reads the question."""
    asked = asking("<D:prop><D:resourcetype/><D:getetag/><A:x/></D:prop>")
    told = parse(dav("PROPFIND", "/", asked, {"Depth": "1"}))
    assert list(told) == ["/", "/dav/"]
    for entry in told.values():
        assert (list(entry.values), entry.is_folder) == ([clark("D:resourcetype")], True)
        assert entry.refused == {clark("D:getetag"): 404, clark("A:x"): 404}
    (entry,) = parse(dav("PROPFIND", "/", asking("<D:propname/>"), {"Depth": "0"})).values()
    assert clark("D:creationdate") in entry.values
    assert not any("".join(value.itertext()) for value in entry.values.values())
    for body in (b"<nonsense", b"<a/>"):
        assert dav("PROPFIND", "/", body, {"Depth": "0"}).status == 400
    assert dav("PROPFIND", "/", b"", {"Depth": "infinity"}).status == 403

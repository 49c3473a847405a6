"""The requests of Cyberduck and Mountain Duck: asked before it is sent, never in parts, then put into its place."""

from __future__ import annotations

import pytest

from tests.server.behind import require_room
from tests.server.content import noise
from tests.server.dav_client import Answer, Dav
from tests.server.listing import Entry, names, parse, properties
from tests.server.running import Server

AGENT = "Cyberduck/9.1.3.42945 (Mac OS X/15.1) (aarch64)"
SPACE = 'xmlns:D="DAV:" xmlns:S="SAR:"'
STAMP = (
    f"<D:propertyupdate {SPACE}><D:set><D:prop><S:lastmodified>Sun, 22 Nov 2026 10:20:30 GMT</S:lastmodified>"
    "<S:lastmodified_server>Sun, 22 Nov 2026 10:25:00 GMT</S:lastmodified_server></D:prop></D:set></D:propertyupdate>"
).encode()
STAMPED = {
    "{SAR:}lastmodified": "Sun, 22 Nov 2026 10:20:30 GMT",
    "{SAR:}lastmodified_server": "Sun, 22 Nov 2026 10:25:00 GMT",
}
OLD = b"as it was " * 1000


def duck(dav: Dav, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """A request with the headers that all of them have."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return dav(method, path, body, {"User-Agent": AGENT, "Accept-Encoding": "gzip,deflate", **given})


def upload(dav: Dav, path: str, body: bytes, *lines: str) -> tuple[list[int], bytes]:
    """A PUT whose body is sent only when the server asks for it: every status that came, and the last answer's body."""
    statuses = []
    with dav.wire() as wire:
        head = [f"User-Agent: {AGENT}", f"Content-Length: {len(body)}", "Expect: 100-continue", *lines]
        wire.send(dav.head("PUT", path, *head))
        answer = wire.answer()
        statuses.append(answer.status)
        if answer.status == 100:
            wire.send(body)
            answer = wire.answer()
            statuses.append(answer.status)
    return statuses, answer.body


def stamps(entry: Entry) -> dict[str, str | None]:
    """Its own properties."""
    return {name: value.text for name, value in entry.values.items() if name.startswith("{SAR:}")}


def listed(dav: Dav, path: str) -> dict[str, Entry]:
    """The listing that it asks for: everything, one level deep."""
    body = b'<?xml version="1.0" encoding="utf-8" standalone="yes"?><propfind xmlns="DAV:"><allprop/></propfind>'
    return parse(duck(dav, "PROPFIND", path, body, Depth="1", Content_Type="text/xml; charset=utf-8"))


def test_connecting_lists_the_folder_and_tells_the_room(server: Server, dav: Dav, area: str) -> None:
    """HEAD of the folder, a listing, and the quota by name."""
    assert duck(dav, "HEAD", area).status == 200
    assert list(listed(dav, area)) == [area]
    quota = b'<propfind xmlns="DAV:"><prop><quota-available-bytes/><quota-used-bytes/></prop></propfind>'
    (entry,) = parse(duck(dav, "PROPFIND", area, quota, Depth="0")).values()
    require_room(server, entry)
    assert int(entry["D:quota-used-bytes"]) >= 0


def test_upload_is_asked_for_stored_and_stamped(dav: Dav, area: str) -> None:
    """100 and then 201; the times that it keeps in properties of its own come back in the next listing."""
    body = noise(3_000_000)
    assert upload(dav, f"{area}new", body)[0] == [100, 201]
    (entry,) = parse(duck(dav, "PROPPATCH", f"{area}new", STAMP, Content_Type="text/xml; charset=utf-8")).values()
    assert (set(entry.values), entry.refused) == (set(STAMPED), {})
    told = listed(dav, area)[f"{area}new"]
    assert stamps(told) == STAMPED
    assert told["D:getcontentlength"] == str(len(body))
    assert duck(dav, "GET", f"{area}new").body == body
    assert upload(dav, f"{area}new", b"again")[0] == [100, 204]
    assert stamps(listed(dav, area)[f"{area}new"]) == STAMPED


@pytest.mark.parametrize("lines, status", [(['If-Match: "x"'], 412), (["Content-Encoding: gzip"], 415)])
def test_upload_that_is_refused_costs_no_upload(dav: Dav, area: str, lines: list[str], status: int) -> None:
    """The answer comes in place of 100."""
    dav.ok("PUT", f"{area}old", OLD)
    assert upload(dav, f"{area}old", b"x" * 1000, *lines)[0] == [status]
    assert dav.ok("GET", f"{area}old").body == OLD


def test_upload_without_the_right_password_or_room_costs_no_upload(server: Server, area: str) -> None:
    """Nobody, a wrong password, more than the quota, a folder that is not there."""
    with server.add_user("donald", "--quota", "1000") as donald:
        assert upload(donald, "/dav/large", b"x" * 1001)[0] == [507]
        assert upload(donald, "/dav/missing/file", b"x")[0] == [409]
        assert upload(donald, "/dav/fits", b"x" * 1000)[0] == [100, 201]
        assert names(donald, "/dav/") == {"fits"}
        with server.dav("donald", "a wrong one") as wrong:
            assert upload(wrong, "/dav/fits", b"y")[0] == [401]
        with donald.wire() as wire:
            wire.send("PUT /dav/fits HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
            assert wire.answer().status == 401
        assert donald.ok("GET", "/dav/fits").body == b"x" * 1000


@pytest.mark.parametrize("content_range", ["bytes 5000-9999/10000", "bytes 0-4999/10000", "bytes */10000", "nonsense"])
def test_resumed_upload_is_refused_and_harms_nothing(dav: Dav, area: str, content_range: str) -> None:
    """RFC 9110 §14.5: 400 before the body, in words; it begins anew then, which succeeds."""
    etag = dav.ok("PUT", f"{area}old", OLD).etag
    for path in (f"{area}old", f"{area}new"):
        statuses, reason = upload(dav, path, OLD[5000:], f"Content-Range: {content_range}")
        assert statuses == [400]
        assert b"send the whole file" in reason
    found = dav.ok("GET", f"{area}old")
    assert (found.body, found.etag) == (OLD, etag)
    assert names(dav, area) == {"old"}
    assert upload(dav, f"{area}old", OLD[::-1])[0] == [100, 204]
    assert dav.ok("GET", f"{area}old").body == OLD[::-1]


@pytest.mark.parametrize("there", [True, False])
def test_upload_under_a_temporary_name_takes_its_place_at_once(
    server: Server, dav: Dav, area: str, there: bool
) -> None:
    """PUT beside, stamp, MOVE with Overwrite: one file with the new bytes and times, and the old version is kept."""
    path, temporary = f"{area}report.txt", f"{area}report.txt-6f0c1e"
    if there:
        dav.ok("PUT", path, OLD)
    assert duck(dav, "HEAD", path).status == (200 if there else 404)
    assert upload(dav, temporary, b"new")[0] == [100, 201]
    duck(dav, "PROPPATCH", temporary, STAMP)
    url = f"http://127.0.0.1:{dav.port}{path}"
    moved = duck(dav, "MOVE", temporary, Destination=url, Overwrite="T")
    assert moved.status == (204 if there else 201)
    assert names(dav, area) == {"report.txt"}
    assert dav.ok("GET", path).body == b"new"
    assert stamps(listed(dav, area)[path]) == STAMPED
    kept = server.holdfast("versions", path.removeprefix("/dav"), "--user", "admin").stdout
    assert len(kept.splitlines()) == (3 if there else 2)


def test_duplicate_and_rename_are_done_by_the_server(dav: Dav, area: str) -> None:
    """COPY and MOVE keep bytes and times; a folder goes with all that is in it."""
    dav.ok("MKCOL", f"{area}folder")
    dav.ok("PUT", f"{area}folder/a", OLD)
    duck(dav, "PROPPATCH", f"{area}folder/a", STAMP)
    base = f"http://127.0.0.1:{dav.port}{area}"
    assert duck(dav, "COPY", f"{area}folder/", Destination=f"{base}folder%20(copy)/", Overwrite="T").status == 201
    assert duck(dav, "MOVE", f"{area}folder/", Destination=f"{base}renamed/", Overwrite="F").status == 201
    assert names(dav, area) == {"folder (copy)/", "renamed/"}
    for folder in ("folder%20(copy)", "renamed"):
        assert dav.ok("GET", f"{area}{folder}/a").body == OLD
        assert stamps(listed(dav, f"{area}{folder}/")[f"{area}{folder}/a"]) == STAMPED
    assert duck(dav, "COPY", f"{area}renamed/a", Destination=f"{base}folder%20(copy)/a", Overwrite="F").status == 412


def test_download_goes_on_where_it_stopped(dav: Dav, area: str) -> None:
    """A range from the last byte that it has; what it has whole is 416, and it does not ask for more."""
    dav.ok("PUT", f"{area}old", OLD)
    rest = duck(dav, "GET", f"{area}old", Range="bytes=4000-")
    assert (rest.status, rest.body) == (206, OLD[4000:])
    assert duck(dav, "GET", f"{area}old", Range=f"bytes={len(OLD)}-").status == 416


def test_times_of_its_own_leave_those_of_the_server_alone(dav: Dav, area: str) -> None:
    """They are dead properties: getlastmodified stays what it was, unless it is set by its own name."""
    dav.ok("PUT", f"{area}old", OLD, {"X-OC-Mtime": "1000000000"})
    duck(dav, "PROPPATCH", f"{area}old", STAMP)
    assert properties(dav, f"{area}old", "D:getlastmodified")["D:getlastmodified"] == "Sun, 09 Sep 2001 01:46:40 GMT"

"""The requests of the macOS Finder (webdavfs), step by step."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.server.behind import require_room
from tests.server.dav_client import Answer, Dav
from tests.server.listing import Entry, clark, names, parse, properties, propfind_body
from tests.server.locking import XML, lockinfo, token_of
from tests.server.running import Server

OWNER = "<D:href>http://www.apple.com/webdav_fs/</D:href>"
STAT = ("D:getlastmodified", "D:getcontentlength", "D:creationdate", "D:resourcetype")
HEADERS = {"User-Agent": "WebDAVFS/3.0.0 (03008000) Darwin/25.1.0 (arm64)", "Accept": "*/*"}


class Finder:
    """Sends what webdavfs sends."""

    def __init__(self, dav: Dav) -> None:
        self.dav = dav

    def __call__(self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.dav(method, path, body, {**HEADERS, **given})

    def stat(self, path: str, *wanted: str, depth: str = "0") -> Answer:
        """A PROPFIND of named properties."""
        return self("PROPFIND", path, propfind_body(*(wanted or STAT)), Depth=depth, Content_Type="text/xml")

    def lock(self, path: str) -> Answer:
        """With an owner of its own, for ten minutes."""
        return self("LOCK", path, lockinfo(OWNER), Depth="0", Timeout="Second-600", Content_Type=XML)

    def write(self, path: str, body: bytes, token: str) -> Answer:
        """The body as a stream whose length is told in a header of Apple's own."""
        pieces = (body[start : start + 4096] for start in range(0, len(body), 4096))
        length = str(len(body))
        return self("PUT", path, pieces, If=f"(<{token}>)", X_Expected_Entity_Length=length)


def test_finder_mount_is_answered_as_it_expects(server: Server, dav: Dav, area: str) -> None:
    """Class 2, named properties with the unknown ones in a 404 propstat, and cheap 404s for its many probes."""
    finder = Finder(dav)
    assert dav("OPTIONS", "/dav/", headers=HEADERS, signed_in=False).status in (200, 401)
    assert "2" in finder("OPTIONS", "/dav/").headers["dav"].split(", ")
    (root,) = parse(finder.stat("/dav/")).values()
    assert root.is_folder
    assert clark("D:getcontentlength") in root.refused
    assert area in parse(finder.stat("/dav/", "D:resourcetype", depth="1"))
    quota = finder.stat("/dav/", "D:quota-available-bytes", "D:quota-used-bytes", "D:quota", "D:quotaused")
    (entry,) = parse(quota).values()
    require_room(server, entry)
    assert {clark("D:quota"), clark("D:quotaused")} <= set(entry.refused)
    probes = [".hidden", "._.", ".DS_Store", ".Spotlight-V100", ".metadata_never_index", "mach_kernel"]
    probes += ["Backups.backupdb", ".ql_disablethumbnails"]
    assert {finder.stat(f"/dav/{name}").status for name in probes} == {404}


def test_finder_listing_names_the_unknown_property_as_missing(dav: Dav, area: str) -> None:
    """Apple's own property is in a 404 propstat of each member."""
    dav.ok("PUT", f"{area}file", b"12345")
    listed = parse(Finder(dav).stat(area, *STAT, "A:appledoubleheader", depth="1"))
    assert list(listed) == [area, f"{area}file"]
    for entry in listed.values():
        assert entry.refused[clark("A:appledoubleheader")] == 404
    assert listed[f"{area}file"]["D:getcontentlength"] == "5"


@pytest.mark.parametrize("lock_first", [False, True])
def test_finder_copying_a_file_in_keeps_its_bytes(dav: Dav, area: str, lock_first: bool) -> None:
    """An empty PUT, then LOCK (or LOCK of the free name), GET, a chunked PUT, UNLOCK; for the file and its `._` twin.

    The second LOCK comes before the first UNLOCK.
    """
    finder = Finder(dav)
    bodies = {f"{area}b.txt": b"0123456789", f"{area}._b.txt": random.Random(5).randbytes(4096)}
    tokens: dict[str, str] = {}
    for path in bodies:
        assert finder.stat(path).status == 404
        if not lock_first:
            created = finder("PUT", path, b"", Content_Length="0")
            assert created.status == 201
            assert "date" in created.headers
        assert finder.stat(path).status == (404 if lock_first else 207)
        locked = finder.lock(path)
        assert locked.status == (201 if lock_first else 200)
        tokens[path] = token_of(locked)
    for path, body in bodies.items():
        read = finder("GET", path, If_Modified_Since="Sun, 22 Nov 2026 10:00:00 GMT")
        assert read.status in (200, 304)
        written = finder.write(path, body, tokens[path])
        assert written.status in (200, 201, 204)
        assert "etag" in written.headers
        assert "last-modified" in written.headers
    for path, token in tokens.items():
        assert finder("UNLOCK", path, Lock_Token=f"<{token}>").status == 204
    for path, body in bodies.items():
        (entry,) = parse(finder.stat(path)).values()
        assert entry["D:getcontentlength"] == str(len(body))
        assert dav.ok("GET", path).body == body


def test_finder_editing_in_place_with_refreshes(dav: Dav, area: str) -> None:
    """LOCK, GET, refresh without a body, chunked PUT, UNLOCK."""
    finder, path = Finder(dav), f"{area}b.txt"
    dav.ok("PUT", path, b"before")
    token = token_of(finder.lock(path))
    assert finder("GET", path).body == b"before"
    refreshed = finder("LOCK", path, If=f"(<{token}>)", Timeout="Second-600")
    assert refreshed.status == 200
    assert finder.write(path, b"after" * 10_000, token).status == 204
    assert finder("UNLOCK", path, Lock_Token=f"<{token}>").status == 204
    assert dav.ok("GET", path).body == b"after" * 10_000


def test_finder_safe_save_replaces_the_original(dav: Dav, area: str) -> None:
    """MOVE without an Overwrite header replaces: 204, the new bytes, one file."""
    finder, original = Finder(dav), f"{area}b.txt"
    dav.ok("PUT", original, b"before")
    assert finder("PUT", f"{area}b.txt.sb-1a2b3c", b"after").status == 201
    url = f"http://127.0.0.1:{dav.port}{original}"
    assert finder("MOVE", f"{area}b.txt.sb-1a2b3c", Destination=url).status == 204
    assert names(dav, area) == {"b.txt"}
    assert dav.ok("GET", original).body == b"after"


def test_finder_saves_by_a_temporary_folder_with_both_locks(server: Server, dav: Dav, area: str) -> None:
    """The If headers of source and target come apart; both files are locked, and the version before stays."""
    finder, original, folder = Finder(dav), f"{area}b.txt", f"{area}.TemporaryItems/folders.501"
    dav.ok("PUT", original, b"before")
    for path in (f"{area}.TemporaryItems", folder):
        assert finder("MKCOL", f"{path}/").status == 201
    new = f"{folder}/b.txt"
    assert finder("PUT", new, b"", Content_Length="0").status == 201
    held, token = token_of(finder.lock(original)), token_of(finder.lock(new))
    assert finder.write(new, b"after", token).status == 204
    lines = [f"{name}: {value}" for name, value in HEADERS.items()]
    lines += [f"Destination: http://127.0.0.1{original}"]
    conditions = [f"If: (<{token}>)", f"If: <{original}> (<{held}>)"]
    for given, status in (([], 423), (conditions[:1], 423), (conditions[1:], 423), (conditions, 204)):
        with dav.wire() as wire:
            wire.send(dav.head("MOVE", new, *lines, *given))
            assert wire.answer("MOVE").status == status
    for path in (folder, f"{area}.TemporaryItems"):
        assert finder("DELETE", f"{path}/").status == 204
    assert names(dav, area) == {"b.txt"}
    assert dav.ok("GET", original).body == b"after"
    assert finder("PUT", original, b"free again").status == 204
    kept = server.holdfast("versions", original.removeprefix("/dav"), "--user", "admin").stdout.splitlines()
    server.holdfast("restore", original.removeprefix("/dav"), "--user", "admin", "--version", kept[-1].split()[0])
    assert dav.ok("GET", original).body == b"before"


def test_finder_asks_whether_its_copy_is_still_good(dav: Dav, area: str) -> None:
    """304 to the date that it knows, until the file is replaced; a part of it that it reads ahead is 206."""
    finder, path = Finder(dav), f"{area}b.txt"
    dav.ok("PUT", path, b"0123456789", {"X-OC-Mtime": "1000000000"})
    date = finder("GET", path).headers["last-modified"]
    assert finder("GET", path, If_Modified_Since=date).status == 304
    part = finder("GET", path, Range="bytes=2-5")
    assert (part.status, part.body) == (206, b"2345")
    dav.ok("PUT", path, b"replaced")
    assert finder("GET", path, If_Modified_Since=date).body == b"replaced"


def test_finder_is_told_before_its_stream_that_there_is_no_room(server: Server) -> None:
    """X-Expected-Entity-Length beside a chunked body: 507, which it shows as a full disk; the file stays."""
    with server.add_user("mac", "--quota", "10000") as mac:
        finder = Finder(mac)
        mac.ok("PUT", "/dav/b.txt", b"before")
        token = token_of(finder.lock("/dav/b.txt"))
        with mac.wire() as wire:
            length = "X-Expected-Entity-Length: 20000"
            chunked = ["Transfer-Encoding: chunked", "Expect: 100-continue"]
            wire.send(mac.head("PUT", "/dav/b.txt", *chunked, length, f"If: (<{token}>)"))
            assert wire.answer().status == 507
        mac.close()
        assert mac.ok("GET", "/dav/b.txt").body == b"before"


def test_finder_renames_and_removes_file_and_twin(dav: Dav, area: str) -> None:
    """The `._` file goes along; members of a folder are removed before the folder."""
    finder = Finder(dav)
    dav.ok("MKCOL", f"{area}dir")
    for name in ("b.txt", "._b.txt"):
        dav.ok("PUT", f"{area}dir/{name}", name.encode())
    for name, new in (("b.txt", "c.txt"), ("._b.txt", "._c.txt")):
        url = f"http://127.0.0.1:{dav.port}{area}dir/{new}"
        assert finder("MOVE", f"{area}dir/{name}", Destination=url).status == 201
    assert names(dav, f"{area}dir") == {"c.txt", "._c.txt"}
    for name in ("._c.txt", "c.txt", ""):
        assert finder("DELETE", f"{area}dir/{name}").status == 204
    assert names(dav, area) == set()


def test_finder_resumes_by_date_only_while_the_file_is_the_same(dav: Dav, area: str) -> None:
    """`If-Range` with the Last-Modified of the answer before: 206, and 200 with the whole once it was replaced."""
    finder, path = Finder(dav), f"{area}large"
    body = random.Random(3).randbytes(50_000)
    dav.ok("PUT", path, body)
    first = finder("GET", path)
    date = first.headers["last-modified"]
    rest = finder("GET", path, If_Range=date, Range="bytes=20000-")
    assert (rest.status, rest.body) == (206, body[20_000:])
    dav.ok("PUT", path, body[::-1], {"X-OC-Mtime": "1000000000"})
    whole = finder("GET", path, If_Range=date, Range="bytes=20000-")
    assert (whole.status, whole.body) == (200, body[::-1])


def test_finder_and_windows_mean_the_same_file_by_either_form_of_an_umlaut(dav: Dav, area: str) -> None:
    """A name stored decomposed is found composed, keeps its spelling, and cannot be there twice."""
    finder = Finder(dav)
    assert finder("PUT", f"{area}u%CC%88.txt", b"decomposed").status == 201
    assert finder.stat(f"{area}%C3%BC.txt").status == 207
    assert dav.ok("GET", f"{area}%C3%BC.txt").body == b"decomposed"
    assert dav("PUT", f"{area}%C3%BC.txt", b"composed").status == 204
    listed: dict[str, Entry] = parse(finder.stat(area, depth="1"))
    assert list(listed)[1:] == [f"{area}u%CC%88.txt"]
    assert properties(dav, f"{area}u%CC%88.txt", "D:getcontentlength")["D:getcontentlength"] == "8"

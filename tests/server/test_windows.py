"""The requests of Windows Explorer (the WebClient service), step by step."""

from __future__ import annotations

import re

from tests.server.behind import require_room
from tests.server.dav_client import Answer, Dav
from tests.server.listing import Entry, names, parse, properties, propfind_body
from tests.server.locking import XML, lockinfo, token_of
from tests.server.running import Server

HEADERS = {
    "User-Agent": "Microsoft-WebDAV-MiniRedir/10.0.19045",
    "Connection": "Keep-Alive",
    "translate": "f",
    "Pragma": "no-cache",
}
OWNER = r"<D:href>DOMAIN\user</D:href>"


class Explorer:
    """Sends what the WebClient service sends."""

    def __init__(self, dav: Dav) -> None:
        self.dav = dav

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.dav(method, path, body, {**HEADERS, **given})

    def find(self, path: str) -> int:
        """The probe before everything else."""
        return self("PROPFIND", path, b"", Depth="0", Content_Length="0").status

    def stamp(self, path: str, token: str, *, modified: str, attributes: str) -> int:
        """Times and attributes, as written after a copy; all of them must be accepted."""
        values = {
            "Win32CreationTime": "Sun, 22 Nov 2026 10:00:00 GMT",
            "Win32LastAccessTime": "Sun, 22 Nov 2026 10:00:00 GMT",
            "Win32LastModifiedTime": modified,
            "Win32FileAttributes": attributes,
        }
        inner = "".join(f"<Z:{name}>{value}</Z:{name}>" for name, value in values.items())
        body = (
            '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" '
            f'xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>'
        ).encode()
        answer = self("PROPPATCH", path, body, If=f"(<{token}>)", Content_Type=XML)
        (entry,) = parse(answer).values()
        assert len(entry.values) == len(values)
        assert not entry.refused
        return answer.status

    def copy_in(self, path: str, body: bytes, *, modified: str = "Sun, 22 Nov 2026 10:20:30 GMT") -> None:
        """Explorer's way of writing a new file."""
        assert self.find(path) == 404
        assert self.find(path.rpartition("/")[0]) == 207
        assert self("PUT", path, b"", Content_Length="0").status == 201
        locked = self("LOCK", path, lockinfo(OWNER), Content_Type=XML, Timeout="Second-3600")
        assert locked.status == 200
        token = token_of(locked)
        self.stamp(path, token, modified=modified, attributes="00000000")
        assert self("HEAD", path).status == 200
        assert self("PUT", path, body).status == 423
        assert self("PUT", path, body, If=f"(<{token}>)").status in (200, 201, 204)
        self.stamp(path, token, modified=modified, attributes="00000020")
        assert self("UNLOCK", path, Lock_Token=f"<{token}>").status == 204
        entry = properties(self.dav, path, "D:getcontentlength", "D:getlastmodified", "Z:Win32FileAttributes")
        assert entry["D:getcontentlength"] == str(len(body))
        assert entry["D:getlastmodified"] == modified
        assert entry["Z:Win32FileAttributes"] == "00000020"


def test_windows_mount_is_answered_as_it_expects(server: Server, dav: Dav, area: str) -> None:
    """First without credentials, on the root and on the folder, with and without a slash; nothing redirects."""
    explorer = Explorer(dav)
    for path in ("/", "/dav"):
        anonymous = dav("OPTIONS", path, headers=HEADERS, signed_in=False)
        assert anonymous.status in (200, 401)
        answer = explorer("OPTIONS", path)
        assert answer.status == 200
        assert {"1", "2"} <= set(re.split(r", *", answer.headers["dav"]))
        assert answer.headers["ms-author-via"] == "DAV"
        assert {"PROPFIND", "LOCK", "PUT"} <= set(answer.headers["allow"].split(", "))
    assert dav("PROPFIND", "/dav", headers={**HEADERS, "Depth": "0"}, signed_in=False).status == 401
    (root,) = parse(explorer("PROPFIND", "/dav", b"", Depth="0", Content_Length="0")).values()
    assert root.is_folder
    wanted = propfind_body("D:quota-available-bytes", "D:quota-used-bytes")
    (quota,) = parse(explorer("PROPFIND", "/dav", wanted, Depth="0")).values()
    require_room(server, quota)
    assert int(quota["D:quota-used-bytes"]) >= 0
    listed = parse(explorer("PROPFIND", "/dav", b"", Depth="1", Content_Length="0"))
    assert area in listed
    assert [explorer.find(f"/dav/{name}") for name in ("desktop.ini", "AutoRun.inf")] == [404, 404]


def test_windows_root_propfind_shows_where_the_files_are(dav: Dav) -> None:
    """Explorer also looks above what is mounted."""
    listed = parse(dav("PROPFIND", "/", b"", {**HEADERS, "Depth": "1"}))
    assert list(listed) == ["/", "/dav/"]
    assert all(entry.is_folder for entry in listed.values())


def test_windows_copying_a_file_in_keeps_bytes_times_and_attributes(dav: Dav, area: str) -> None:
    """PUT of nothing, LOCK, PROPPATCH, HEAD, PUT, PROPPATCH, UNLOCK; without the token 423."""
    explorer = Explorer(dav)
    explorer.copy_in(f"{area}a.txt", b"from Windows\r\n" * 1000)
    assert dav.ok("GET", f"{area}a.txt").body == b"from Windows\r\n" * 1000


def test_windows_editing_a_file_replaces_it(dav: Dav, area: str) -> None:
    """LOCK, GET, PUT, PROPPATCH, UNLOCK; then read only."""
    explorer, path = Explorer(dav), f"{area}edit.txt"
    dav.ok("PUT", path, b"before")
    assert explorer.find(path) == 207
    token = token_of(explorer("LOCK", path, lockinfo(OWNER), Content_Type=XML, Timeout="Second-3600"))
    assert explorer("GET", path).body == b"before"
    assert explorer("PUT", path, b"after, and longer", If=f"(<{token}>)").status in (200, 204)
    explorer.stamp(path, token, modified="Sun, 22 Nov 2026 11:00:00 GMT", attributes="00000020")
    assert explorer("UNLOCK", path, Lock_Token=f"<{token}>").status == 204
    assert explorer.find(path) == 207
    assert explorer("GET", path).body == b"after, and longer"


def test_windows_new_folder_is_made_renamed_and_removed(dav: Dav, area: str) -> None:
    """Destination without a slash and with https; `Overwrite: F` spares what is there."""
    explorer = Explorer(dav)
    made, renamed = f"{area}New%20folder", f"{area}Docs"
    assert explorer.find(made) == 404
    assert explorer("MKCOL", made).status == 201
    assert explorer.find(made) == 207
    target = f"https://127.0.0.1:{dav.port}{renamed}"
    assert explorer("MOVE", made, Destination=target, Overwrite="F", Content_Length="0").status == 201
    assert names(dav, area) == {"Docs/"}
    explorer.copy_in(f"{renamed}/a.txt", b"a")
    dav.ok("MKCOL", f"{area}Other")
    again = explorer("MOVE", f"{area}Other", Destination=target, Overwrite="F", Content_Length="0")
    assert again.status == 412
    assert names(dav, renamed) == {"a.txt"}
    # Explorer lists a folder and removes what is in it first.
    entries: dict[str, Entry] = parse(explorer("PROPFIND", renamed, b"", Depth="1"))
    assert list(entries) == [f"{renamed}/", f"{renamed}/a.txt"]
    assert explorer("DELETE", f"{renamed}/a.txt").status == 204
    assert explorer("DELETE", renamed).status == 204
    assert names(dav, area) == {"Other/"}


def test_windows_listing_stays_below_its_limit_of_one_megabyte(dav: Dav, area: str) -> None:
    """An empty PROPFIND takes less than 430 bytes a picture, so that more than 2,000 of them are shown."""
    for number in range(1000, 1040):
        dav.ok("PUT", f"{area}IMG_{number}.jpg", b"x")
    answer = dav("PROPFIND", area, b"", {**HEADERS, "Depth": "1"})
    assert len(answer.body) / 41 < 430


_SET = (
    '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
    "<D:set><D:prop>{}</D:prop></D:set></D:propertyupdate>"
)
_CREATED = "Sun, 22 Nov 2026 10:00:00 GMT"


def win32_of(entry: Entry) -> dict[str, str | None]:
    """The Win32 properties of an entry."""
    space = "{urn:schemas-microsoft-com:}"
    return {name.removeprefix(space): value.text for name, value in entry.values.items() if name.startswith(space)}


def test_windows_sees_a_folder_of_2000_files_that_it_copied_in(dav: Dav, area: str) -> None:
    """It reads 1,000,000 bytes of a listing, and loses the folder where there are more."""
    stamp = _SET.format(
        f"<Z:Win32CreationTime>{_CREATED}</Z:Win32CreationTime>"
        f"<Z:Win32LastAccessTime>{_CREATED}</Z:Win32LastAccessTime>"
        f"<Z:Win32LastModifiedTime>{_CREATED}</Z:Win32LastModifiedTime>"
        "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>"
    ).encode()
    dav.ok("MKCOL", f"{area}photos/")
    for number in range(2000):
        path = f"{area}photos/IMG_20261122_{number:06d}.jpeg"
        dav.ok("PUT", path, b"x")
        dav.ok("PROPPATCH", path, stamp)
    explorer = Explorer(dav)
    answer = explorer("PROPFIND", f"{area}photos", b"", Depth="1", Content_Length="0")
    assert len(answer.body) < 1_000_000
    found = parse(answer)
    assert len(found) == 2001
    entry = found[f"{area}photos/IMG_20261122_000007.jpeg"]
    assert entry["D:creationdate"] == "2026-11-22T10:00:00Z"
    assert entry["D:getlastmodified"] == _CREATED


def test_windows_is_told_what_it_set_where_that_says_something(dav: Dav, area: str) -> None:
    """Hidden and read only in allprop, everything by name, and what is no date as it was sent."""
    path = f"{area}desktop.ini"
    dav.ok("PUT", path, b"x")
    made_here = properties(dav, path, "D:creationdate")["D:creationdate"]
    for sent, told in (
        ({"Win32FileAttributes": "00000026"}, {"Win32FileAttributes": "00000026"}),
        ({"Win32FileAttributes": "00000020"}, {}),
        ({"Win32FileAttributes": "00000080"}, {}),
        ({"Win32FileAttributes": "archive"}, {"Win32FileAttributes": "archive"}),
        ({"Win32FileAttributes": "00000020", "Win32CreationTime": "long ago"}, {"Win32CreationTime": "long ago"}),
        ({"Win32CreationTime": _CREATED, "Win32LastAccessTime": _CREATED}, {}),
    ):
        inner = "".join(f"<Z:{name}>{value}</Z:{name}>" for name, value in sent.items())
        dav.ok("PROPPATCH", path, _SET.format(inner).encode())
        (entry,) = parse(dav("PROPFIND", path, b"", {"Depth": "0"})).values()
        assert win32_of(entry) == told
        assert win32_of(properties(dav, path, *(f"Z:{name}" for name in sent))) == sent
    assert properties(dav, path, "D:creationdate")["D:creationdate"] == "2026-11-22T10:00:00Z"
    remove = _SET.replace("set>", "remove>").format("<Z:Win32CreationTime/>").encode()
    dav.ok("PROPPATCH", path, remove)
    assert properties(dav, path, "D:creationdate")["D:creationdate"] == made_here


def test_windows_folder_attributes_are_told_unless_they_are_a_folders(dav: Dav, area: str) -> None:
    """00000010 is what every folder has; archive and hidden are not."""
    dav.ok("MKCOL", f"{area}f/")
    for value, is_told in (("00000010", False), ("00000012", True), ("00000020", True)):
        inner = f"<Z:Win32FileAttributes>{value}</Z:Win32FileAttributes>"
        dav.ok("PROPPATCH", f"{area}f/", _SET.format(inner).encode())
        (entry,) = parse(dav("PROPFIND", f"{area}f/", b"", {"Depth": "0"})).values()
        assert ("Win32FileAttributes" in win32_of(entry)) == is_told


def test_windows_times_and_attributes_go_along(dav: Dav, area: str) -> None:
    """With MOVE and COPY, of files and of folders; new content takes them over until Explorer sets them again."""
    asked = ("Z:Win32CreationTime", "Z:Win32LastAccessTime", "Z:Win32FileAttributes", "Z:Win32LastModifiedTime")
    sent = {name.removeprefix("Z:"): _CREATED for name in asked} | {"Win32FileAttributes": "00000022"}
    inner = "".join(f"<Z:{name}>{value}</Z:{name}>" for name, value in sent.items())
    dav.ok("MKCOL", f"{area}f/")
    dav.ok("PUT", f"{area}f/a.txt", b"x")
    for path in (f"{area}f/a.txt", f"{area}f/"):
        (entry,) = parse(dav("PROPPATCH", path, _SET.format(inner).encode())).values()
        assert (len(entry.values), entry.refused) == (4, {})
    dav.ok("MOVE", f"{area}f", headers={"Destination": f"{area}moved"})
    dav.ok("COPY", f"{area}moved", headers={"Destination": f"{area}copy"})
    for path in ("moved/", "moved/a.txt", "copy/", "copy/a.txt"):
        entry = properties(dav, area + path, *asked, "D:creationdate", "D:getlastmodified")
        assert win32_of(entry) == sent, path
        assert (entry["D:creationdate"], entry["D:getlastmodified"]) == ("2026-11-22T10:00:00Z", _CREATED)
    dav.ok("PUT", f"{area}moved/a.txt", b"new")
    entry = properties(dav, f"{area}moved/a.txt", *asked)
    assert entry["Z:Win32FileAttributes"] == "00000022"
    assert entry["Z:Win32LastModifiedTime"] != _CREATED


def test_windows_replaces_and_removes_like_a_disk(dav: Dav, area: str) -> None:
    """Overwriting by copy-in, renaming a file over none, and removal of what it opened before."""
    explorer, path = Explorer(dav), f"{area}a.txt"
    explorer.copy_in(path, b"first")
    token = token_of(explorer("LOCK", path, lockinfo(OWNER), Content_Type=XML, Timeout="Second-3600"))
    assert explorer("PUT", path, b"", Content_Length="0", If=f"(<{token}>)").status == 204
    explorer.stamp(path, token, modified=_CREATED, attributes="00000000")
    assert explorer("PUT", path, b"second", If=f"(<{token}>)").status == 204
    explorer.stamp(path, token, modified=_CREATED, attributes="00000020")
    assert explorer("UNLOCK", path, Lock_Token=f"<{token}>").status == 204
    url = f"http://127.0.0.1:{dav.port}{area}b.txt"
    assert explorer("MOVE", path, Destination=url, Overwrite="F", Content_Length="0").status == 201
    assert explorer("GET", f"{area}b.txt").body == b"second"
    assert explorer.find(path) == 404
    assert explorer("DELETE", f"{area}b.txt").status == 204
    assert explorer("DELETE", f"{area}b.txt").status == 404
    assert names(dav, area) == set()

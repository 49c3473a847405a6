"""gvfs: what GNOME's file manager and its programs use, driven with gio."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.server.dav_client import Dav
from tests.server.desktop import Desktop
from tests.server.listing import names, tree
from tests.server.local_files import ODD_NAMES, contents, real_files
from tests.server.programs import needs
from tests.server.running import ADMIN, PASSWORD, Server

pytestmark = [needs("gio", "libglib2.0-bin"), needs("gvfsd-dav", "gvfs-backends"), needs("dbus-daemon")]
MANY = 120


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here."""
    return {"durability": "fast"}


@pytest.fixture(scope="module")
def gio(server: Server) -> Iterator[Desktop]:
    """A session with the server mounted; there is no keyring, so the password is typed."""
    with Desktop() as session:
        session("gio", "mount", _url(server, ""), typed=f"{ADMIN}\n{PASSWORD}\n".encode())
        yield session
        session("gio", "mount", "-u", _url(server, ""))
        session("gio", "list", _url(server, ""), succeeds=False)


def _url(server: Server, path: str) -> str:
    return f"{server.url.replace('http', 'dav', 1)}{path}"


@pytest.fixture
def there(server: Server, area: str) -> str:
    """The test's area as gvfs calls it."""
    return _url(server, area.removeprefix("/dav/"))


def test_gvfs_copies_lists_and_reads(gio: Desktop, dav: Dav, area: str, there: str, tmp_path: Path) -> None:
    """A file there and back, a folder, a stream, and what gio shows of them."""
    body = random.Random(2).randbytes(20_000_000)
    (tmp_path / "file").write_bytes(body)
    gio("gio", "copy", str(tmp_path / "file"), f"{there}file")
    gio("gio", "mkdir", f"{there}folder")
    gio("gio", "save", f"{there}folder/stream", typed=b"saved")
    gio("gio", "copy", f"{there}file", str(tmp_path / "back"))
    assert tree(dav, area) == {"file": body, "folder/": b"", "folder/stream": b"saved"}
    assert (tmp_path / "back").read_bytes() == body
    listed = gio("gio", "list", "-l", there).decode()
    assert {tuple(line.split("\t")) for line in listed.splitlines()} == {
        ("file", "20000000", "(regular)"),
        ("folder", "0", "(directory)"),
    }
    etag = dav("HEAD", f"{area}file").etag
    assert f"etag::value: {etag}" in gio("gio", "info", f"{there}file").decode()


def test_gvfs_saves_over_a_file_that_has_not_changed_only(gio: Desktop, dav: Dav, area: str, there: str) -> None:
    """Programs pass on the entity tag that they have read: what others wrote meanwhile is not overwritten."""
    dav.ok("PUT", f"{area}text", b"first")
    read = dav("HEAD", f"{area}text").etag
    gio("gio", "save", f"--etag={read}", f"{there}text", typed=b"second")
    assert dav.ok("GET", f"{area}text").body == b"second"
    gio("gio", "save", f"--etag={read}", f"{there}text", typed=b"third", succeeds=False)
    assert dav.ok("GET", f"{area}text").body == b"second"


def test_gvfs_every_name_arrives_exactly(gio: Desktop, dav: Dav, area: str, there: str) -> None:
    """Saved under a name that has to be encoded, renamed to the next, moved to another folder."""
    for name in ODD_NAMES:
        gio("gio", "save", there + quote(name), typed=name.encode())
    assert names(dav, area) == set(ODD_NAMES)
    assert set(gio("gio", "list", there).decode().splitlines()) == set(ODD_NAMES)
    for name in ODD_NAMES:
        gio("gio", "rename", there + quote(name), f"renamed {name}")
    dav.ok("MKCOL", f"{area}inner")
    for name in ODD_NAMES:
        gio("gio", "move", there + quote(f"renamed {name}"), f"{there}inner/{quote(name)}")
    assert tree(dav, area) == {"inner/": b""} | {f"inner/{name}": name.encode() for name in ODD_NAMES}
    gio("gio", "move", f"{there}inner", f"{there}outer")
    assert len(tree(dav, f"{area}outer/")) == len(ODD_NAMES)


def test_gvfs_rename_to_a_name_in_use_is_refused(gio: Desktop, dav: Dav, area: str, there: str) -> None:
    """`Overwrite: F` is obeyed, so nothing is lost."""
    dav.ok("PUT", f"{area}a", b"a")
    dav.ok("PUT", f"{area}b", b"b")
    gio("gio", "rename", f"{there}a", "b", succeeds=False)
    assert tree(dav, area) == {"a": b"a", "b": b"b"}


def test_gvfs_has_no_trash_of_its_own_and_removes(
    server: Server, gio: Desktop, dav: Dav, area: str, there: str
) -> None:
    """`gio trash` changes nothing; what `gio remove` removes lies in the server's trash."""
    dav.ok("PUT", f"{area}from gvfs".replace(" ", "%20"), b"once")
    gio("gio", "trash", f"{there}from%20gvfs", succeeds=False)
    assert names(dav, area) == {"from gvfs"}
    gio("gio", "remove", f"{there}from%20gvfs")
    assert names(dav, area) == set()
    assert "from gvfs" in server.holdfast("trash", "list", "--user", ADMIN).stdout


def test_gvfs_many_files_arrive_and_the_server_keeps_every_connection(
    server: Server, gio: Desktop, dav: Dav, area: str, there: str, tmp_path: Path
) -> None:
    """One `gio copy` of many small files. gvfs may end a connection after each request; the server ends none."""
    files = real_files(tmp_path / "here", MANY, most_bytes=20_000)
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, relative in enumerate(files):
        (tmp_path / "here" / relative).rename(flat / f"{number} {relative.name}")
    port = urlsplit(server.origin).port
    before = _ended_by_server(port)
    gio("gio", "copy", *map(str, flat.iterdir()), there)
    assert tree(dav, area) == contents(flat)
    # What was left before vanishes by itself after a minute.
    assert _ended_by_server(port) <= before


def _ended_by_server(port: int | None) -> int:
    """Connections in the state TIME_WAIT, which whoever closes first is left with, on the server's side."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "06" for row in rows)


def test_gvfs_tells_the_free_space(server: Server, gio: Desktop, there: str) -> None:
    """What a file manager shows in its status line: the quota's rest."""
    server.holdfast("user", "quota", ADMIN, "1000000000")
    try:
        told = dict(line.strip().split(": ", 1) for line in gio("gio", "info", "-f", there).decode().splitlines()[1:])
        assert int(told["filesystem::used"]) + int(told["filesystem::free"]) == 1_000_000_000
        assert told["filesystem::remote"] == "TRUE"
    finally:
        server.holdfast("user", "quota", ADMIN, "none")

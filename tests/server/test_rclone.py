"""rclone as WebDAV client, told that the server is an ownCloud (times and checksums) or anything (neither)."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, properties, tree
from tests.server.local_files import ODD_NAMES, contents, real_files
from tests.server.programs import needs
from tests.server.rclone_remotes import VENDORS, write_config
from tests.server.running import ADMIN, Server

pytestmark = needs("rclone")
FILES = 150
SOAK_FILES = 2_000


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """Many small files; the disk's sync is not what is tested here."""
    return {"durability": "fast"}


class _Rclone:
    """Runs rclone with one remote for each vendor, named like it. ``said``: what it logged the last time."""

    def __init__(self, scratch: Path, server: Server) -> None:
        self.scratch = scratch
        self.said = ""
        self._config = write_config(scratch / "rclone.conf", server)

    def __call__(self, *arguments: str, typed: bytes = b"", seconds: float = 110) -> str:
        """Its output; it has to succeed at the first attempt."""
        command = ["rclone", "--config", str(self._config), "--retries", "1", "--low-level-retries", "1", *arguments]
        environment = {**os.environ, "HOME": str(self.scratch), "XDG_CACHE_HOME": str(self.scratch / "cache")}
        result = subprocess.run(
            command, input=typed, capture_output=True, env=environment, timeout=seconds, check=False
        )
        self.said = result.stderr.decode(errors="replace")
        assert result.returncode == 0, self.said[-4000:]
        return result.stdout.decode()


@pytest.fixture
def rclone(tmp_path: Path, server: Server) -> _Rclone:
    """rclone against the shared server."""
    return _Rclone(tmp_path, server)


def _files_of(dav: Dav, area: str) -> dict[str, bytes]:
    return {name: body for name, body in tree(dav, area).items() if not name.endswith("/")}


def _edit(folder: Path, files: list[Path]) -> None:
    """Remove some files, lengthen others, add new ones with all kinds of names."""
    for number, relative in enumerate(files):
        if number % 10 == 0:
            (folder / relative).unlink()
        elif number % 10 == 1:
            with open(folder / relative, "ab") as file:
                file.write(b"and one more line\n")
    for name in ODD_NAMES:
        (folder / f"new {name}").mkdir()
        (folder / f"new {name}" / name).write_bytes(name.encode() * 999)


@pytest.mark.parametrize("vendor", VENDORS)
def test_rclone_copy_check_and_sync_keep_every_byte(
    rclone: _Rclone, dav: Dav, area: str, tmp_path: Path, vendor: str
) -> None:
    """After copy, and after a sync with removals, changes and odd names, all bytes are the same as here."""
    _copy_check_sync(rclone, dav, area, tmp_path, vendor, FILES)


@pytest.mark.soak
@pytest.mark.parametrize("vendor", VENDORS)
def test_rclone_carries_two_thousand_files(rclone: _Rclone, dav: Dav, area: str, tmp_path: Path, vendor: str) -> None:
    """The same with a whole site-packages of 2,000 files."""
    began = time.monotonic()
    _copy_check_sync(rclone, dav, area, tmp_path, vendor, SOAK_FILES)
    print(f"rclone ({vendor}): {SOAK_FILES} files copied, checked, synced, checked: {time.monotonic() - began:.0f} s")


def _copy_check_sync(rclone: _Rclone, dav: Dav, area: str, tmp_path: Path, vendor: str, count: int) -> None:
    here, there = tmp_path / "here", f"{vendor}:{area.removeprefix('/dav/')}"
    files = real_files(here, count)
    rclone("copy", str(here), there, seconds=1800)
    rclone("check", "--download", str(here), there, seconds=1800)
    assert _files_of(dav, area) == contents(here)
    _edit(here, files)
    rclone("sync", str(here), there, seconds=1800)
    rclone("check", "--download", str(here), there, seconds=1800)
    assert _files_of(dav, area) == contents(here)
    if vendor == "owncloud":
        compared = rclone("check", str(here), there, "--combined", "-", seconds=1800)
        assert {line[0] for line in compared.splitlines()} == {"="}
        assert "could not be checked" not in rclone.said


def test_rclone_compares_by_the_hashes_that_the_server_keeps(
    rclone: _Rclone, dav: Dav, area: str, tmp_path: Path
) -> None:
    """Both SHA1 and MD5 come back, and `rclone check` finds by hash what neither size nor time tell."""
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "file"
    body = random.Random(1).randbytes(100_000)
    path.write_bytes(body)
    remote = f"owncloud:{area.removeprefix('/dav/')}"
    rclone("copy", str(tmp_path / "here"), remote)
    (listed,) = json.loads(rclone("lsjson", "--hash", remote))
    assert listed["Hashes"] == {"sha1": hashlib.sha1(body).hexdigest(), "md5": hashlib.md5(body).hexdigest()}
    assert properties(dav, f"{area}file", "oc:checksums")["oc:checksums"].startswith("SHA1:")
    stat = path.stat()
    path.write_bytes(body[:-1] + b"x")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(AssertionError, match="1 differences found"):
        rclone("check", str(tmp_path / "here"), remote)


@pytest.mark.parametrize("vendor", VENDORS)
def test_rclone_moveto_any_name_arrives_exactly(rclone: _Rclone, dav: Dav, area: str, vendor: str) -> None:
    """A file moved from one odd name to the next has that very name, its bytes, and leaves nothing behind."""
    remote = f"{vendor}:{area.removeprefix('/dav/')}"
    body = b"moved around\n" * 500
    rclone("rcat", f"{remote}start", typed=body)
    before = "start"
    for name in ODD_NAMES:
        rclone("moveto", remote + before, remote + name)
        assert names(dav, area) == {name}
        before = name
    assert dav.ok("GET", area + quote(before)).body == body
    assert rclone("cat", remote + before).encode() == body


@pytest.mark.parametrize("vendor", VENDORS)
def test_rclone_moveto_a_folder_with_an_odd_name_keeps_what_is_in_it(
    rclone: _Rclone, dav: Dav, area: str, vendor: str
) -> None:
    """A folder is moved as a whole."""
    remote = f"{vendor}:{area.removeprefix('/dav/')}"
    dav.ok("MKCOL", f"{area}from")
    dav.ok("PUT", f"{area}from/file", b"inside")
    rclone("moveto", f"{remote}from", f"{remote}to ;?#%&+ é")
    assert tree(dav, area) == {"to ;?#%&+ é/": b"", "to ;?#%&+ é/file": b"inside"}


@pytest.mark.parametrize("vendor", VENDORS)
def test_rclone_rcat_stores_a_stream_of_unknown_length(rclone: _Rclone, dav: Dav, area: str, vendor: str) -> None:
    """Small and large streams arrive whole."""
    remote = f"{vendor}:{area.removeprefix('/dav/')}"
    for size in (0, 10, 300_000, 5_000_000):
        body = random.Random(size).randbytes(size)
        rclone("rcat", f"{remote}stream-{size}", typed=body)
        assert dav.ok("GET", f"{area}stream-{size}").body == body


def test_rclone_about_tells_quota_and_use(server: Server, rclone: _Rclone, dav: Dav, area: str) -> None:
    """What `rclone about` shows is the ledger's use and what the quota leaves."""
    dav.ok("PUT", f"{area}ten", b"0123456789")
    used = int(properties(dav, "/dav/", "D:quota-used-bytes")["D:quota-used-bytes"])
    server.holdfast("user", "quota", ADMIN, "1000000000")
    try:
        told = json.loads(rclone("about", "--json", "owncloud:"))
        assert (told["used"], told["free"]) == (used, 1_000_000_000 - used)
    finally:
        server.holdfast("user", "quota", ADMIN, "none")


def _bisync(rclone: _Rclone, dav: Dav, area: str, tmp_path: Path, count: int) -> None:
    here, there = tmp_path / "here", f"owncloud:{area.removeprefix('/dav/').rstrip('/')}"
    files = real_files(here, count)
    rclone("bisync", str(here), there, "--resync", seconds=1800)
    assert _files_of(dav, area) == contents(here)
    # Both sides change: other files, in other ways.
    _edit(here, files[: count // 2])
    theirs = files[count // 2 :]
    dav.ok("DELETE", area + quote(theirs[0].as_posix()))
    dav.ok("PUT", area + quote(theirs[1].as_posix()), b"changed on the server")
    dav.ok("PUT", f"{area}{quote('from the server; é')}", b"new on the server")
    expected = contents(here) | {theirs[1].as_posix(): b"changed on the server"}
    expected["from the server; é"] = b"new on the server"
    del expected[theirs[0].as_posix()]
    rclone("bisync", str(here), there, seconds=1800)
    assert contents(here) == expected
    assert _files_of(dav, area) == expected
    rclone("bisync", str(here), there, seconds=1800)
    assert _files_of(dav, area) == contents(here) == expected


def test_rclone_bisync_carries_changes_both_ways(rclone: _Rclone, dav: Dav, area: str, tmp_path: Path) -> None:
    """`bisync --resync`, changes on both sides, bisync: both sides have all of them, byte for byte."""
    _bisync(rclone, dav, area, tmp_path, FILES // 3)


@pytest.mark.soak
def test_rclone_bisync_of_two_thousand_files(rclone: _Rclone, dav: Dav, area: str, tmp_path: Path) -> None:
    """The same with 2,000 files."""
    began = time.monotonic()
    _bisync(rclone, dav, area, tmp_path, SOAK_FILES)
    print(f"rclone bisync: {SOAK_FILES} files, three runs: {time.monotonic() - began:.0f} s")


def test_rclone_keeps_modification_times(rclone: _Rclone, dav: Dav, area: str, tmp_path: Path) -> None:
    """With vendor owncloud a file's own time arrives with the PUT, to the second, and a second copy sends nothing."""
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "old"
    path.write_bytes(b"from long ago")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    remote = f"owncloud:{area.removeprefix('/dav/')}"
    rclone("copy", str(tmp_path / "here"), remote)
    assert dav("HEAD", f"{area}old").headers["last-modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    etag = dav("HEAD", f"{area}old").etag
    rclone("copy", str(tmp_path / "here"), remote)
    assert dav("HEAD", f"{area}old").etag == etag


def test_rclone_with_a_token_reads_and_does_not_write(
    server: Server, rclone: _Rclone, dav: Dav, area: str, tmp_path: Path
) -> None:
    """As a backup that pulls would have it."""
    secret = server.holdfast("token", "add", "pull", "--scope", "files:read", "--user", ADMIN).stdout.strip()
    remote = f':webdav,url="{server.url}",vendor=owncloud,bearer_token={secret}:{area.removeprefix("/dav/")}'
    dav.ok("PUT", area + "file", b"content")
    rclone("copy", remote, str(tmp_path / "pulled"))
    assert (tmp_path / "pulled" / "file").read_bytes() == b"content"
    with pytest.raises(AssertionError, match="403"):
        rclone("rcat", f"{remote}written", typed=b"x")
    assert dav("GET", area + "written").status == 404

"""A file system that is filled to its end, by uploads and from outside: what is stored stays, and order can be made."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.running import Server, until
from tests.support.mounts import MIB, ext4, fill, tmpfs

SIZE = 200 * MIB
RESERVE = 16 * MIB
CLIENTS = 4
NUMBER = 400
_AVAILABLE = re.compile(r"quota-available-bytes>(\d+)<")
_ASK = b'<D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/></D:prop></D:propfind>'
Mount = Callable[[Path, int], AbstractContextManager[Path]]


@pytest.fixture(
    params=[pytest.param((tmpfs, "fast"), marks=pytest.mark.soak), (ext4, "safe")], ids=["tmpfs, fast", "ext4, safe"]
)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """With its data folder on a file system of 200 MiB; a tenth of that is taken by something else."""
    mount: Mount
    mount, durability = request.param
    with mount(tmp_path / "disk", SIZE) as disk:
        (disk / "other things").write_bytes(bytes(SIZE // 10))
        made = Server(tmp_path, durability=durability, settings={"data": disk / "data"})
        made.data = disk / "data"
        yield made.start()
        if made.process is not None and made.process.poll() is None:
            made.kill_all()


def free(disk: Path) -> int:
    """Bytes, as an ordinary user sees it."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def available(dav: Dav) -> int:
    """What the server tells its clients."""
    found = _AVAILABLE.search(dav.ok("PROPFIND", "/dav/", _ASK, {"Depth": "0"}).text)
    assert found is not None
    return int(found[1])


def require_refused(dav: Dav, method: str, path: str, *arguments: object) -> None:
    """507, with the reason that clients know."""
    answer = dav(method, path, *arguments)  # type: ignore[arg-type]
    assert answer.status == 507
    assert "<D:sufficient-disk-space" in answer.text
    dav.close()


def require_refused_unread(dav: Dav, size: int) -> None:
    """An upload whose length is known is not even asked for."""
    with dav.wire() as wire:
        wire.send(dav.head("PUT", "/dav/large", f"Content-Length: {size}", "Expect: 100-continue"))
        answer = wire.answer()
    assert answer.status == 507
    assert b"<D:sufficient-disk-space" in answer.body
    assert dav("GET", "/dav/large").status == 404


def upload(server: Server, client: int) -> dict[str, bytes]:
    """Put files of all sizes, announced and chunked, until one is refused for want of room; those that were stored."""
    stored: dict[str, bytes] = {}
    with server.dav() as dav:
        for number in itertools.count():
            body = noise((3_000, 70_000, 3_500_000, 900_000)[number % 4], seed=1000 * client + number)
            path = f"/dav/{client}-{number}"
            answer = dav("PUT", path, iter([body]) if number % 3 == 0 else body)
            if answer.status != 201:
                assert answer.status == 507
                assert "<D:sufficient-disk-space" in answer.text
                return stored
            stored[path] = body
    raise AssertionError


ONE_PAGE = 32 + 24 + 4096
"""Bytes of a log that rests."""


def fill_by_uploads(server: Server) -> dict[str, bytes]:
    """Several clients at once until each was refused, then small files until those are refused too.

    Refused for good: for the database's log as well, which is given back at rest.
    """
    log = server.data / "holdfast.db-wal"
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = pool.map(lambda client: upload(server, client), range(CLIENTS))
        stored = {path: body for each in found for path, body in each.items()}
    with server.dav() as dav:
        rests = False
        for number in itertools.count():
            body = noise(90_000, seed=-number)
            if dav("PUT", f"/dav/s-{number}", body).status == 201:
                stored[f"/dav/s-{number}"] = body
                rests = False
            elif rests:
                return stored
            else:
                until(lambda: log.stat().st_size <= ONE_PAGE, what="the log's end")
                rests = True
    raise AssertionError


def require_stored(dav: Dav, stored: dict[str, bytes]) -> None:
    """Every byte of them."""
    for path, body in stored.items():
        assert dav.ok("GET", path).body == body, path


def require_order_can_be_made(dav: Dav, name: str) -> None:
    """Everything but new content is possible."""
    dav.ok("PROPFIND", "/dav/", headers={"Depth": "1"})
    dav.ok("MOVE", f"/dav/many/{name}", headers={"Destination": f"/dav/many/{name}-moved"})
    dav.ok("PROPPATCH", f"/dav/many/{name}-moved",
           b'<propertyupdate xmlns="DAV:"><set><prop><a xmlns="urn:x">b</a></prop></set></propertyupdate>')  # fmt: skip
    lock = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    token = dav.ok("LOCK", f"/dav/many/{name}-moved", lock).headers["lock-token"]
    dav.ok("UNLOCK", f"/dav/many/{name}-moved", headers={"Lock-Token": token})
    dav.ok("DELETE", f"/dav/many/{name}-moved")


def require_clean(server: Server) -> None:
    """Beside the running server."""
    report = server.holdfast("check", "--read-data", seconds=300)
    assert report.stdout.endswith("clean\n"), report.stdout + report.stderr


def fill_and_use(server: Server) -> dict[str, bytes]:
    """By uploads, and some small files to remove: what was stored."""
    disk = server.data.parent
    with server.dav() as dav:
        dav.ok("MKCOL", "/dav/many")
        for number in range(NUMBER):
            dav.ok("PUT", f"/dav/many/{number}", b"%d" % number)
        assert 0 < available(dav) <= free(disk) - RESERVE // 2
        require_refused_unread(dav, available(dav) + 1)
        stored = fill_by_uploads(server)
        assert sum(map(len, stored.values())) > SIZE * 6 // 10
        assert (server.data / "reserve").stat().st_size == RESERVE // 2
        assert free(disk) > RESERVE // 4
        assert available(dav) < 100_000
        assert os.listdir(server.data / "partial") == []
        require_refused(dav, "PUT", "/dav/new", b"x" * 100_000)
        require_refused(dav, "PUT", "/dav/new", iter([b"x" * 100_000]))
        require_stored(dav, stored)
        require_order_can_be_made(dav, "0")
        remove(dav, 1, 100)
    return stored


def remove(dav: Dav, first: int, end: int) -> None:
    """Some of the small files."""
    for number in range(first, end):
        dav.ok("DELETE", f"/dav/many/{number}")


@pytest.mark.timeout(600)
def test_full_file_system_keeps_all_and_lets_order_be_made(server: Server) -> None:
    """Filled by uploads, then from outside to its last byte: reads, removals, the check and restarts go on."""
    others = server.data.parent / "other things"
    stored = fill_and_use(server)
    require_clean(server)
    server.restart()

    fill(others)
    with server.dav() as dav:
        remove(dav, 100, 200)
        require_order_can_be_made(dav, "200")
        for method in ("PUT", "MKCOL"):
            require_refused(dav, method, "/dav/new")
        require_refused(dav, "COPY", "/dav/many", None, {"Destination": "/dav/copy"})
        require_stored(dav, stored)
        assert available(dav) == 0
        remove(dav, 201, 300)
    require_clean(server)
    assert server.stop() == 0
    fill(others)
    require_clean(server)
    server.start()
    with server.dav() as dav:
        require_stored(dav, stored)
        remove(dav, 300, NUMBER - 1)
    server.kill_all()
    server.start()
    server.holdfast("user", "add", "bob", "--password-stdin", typed="password of bob\n")
    server.holdfast("user", "remove", "bob", "--purge")

    others.unlink()
    with server.dav() as dav:
        dav.ok("PUT", "/dav/soon", b"there is room at once")
    server.restart()
    with server.dav() as dav:
        require_stored(dav, stored)
        assert dav.ok("GET", f"/dav/many/{NUMBER - 1}").body == b"%d" % (NUMBER - 1)
        assert available(dav) > SIZE // 20
        dav.ok("PUT", "/dav/new", noise(SIZE // 20))
        dav.ok("COPY", "/dav/new", headers={"Destination": "/dav/copy"})
    assert (server.data / "reserve").stat().st_size == RESERVE // 2
    server.finish()

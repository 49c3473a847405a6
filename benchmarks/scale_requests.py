"""What one request costs a node, PostgreSQL and S3: processor time, statements, round trips, log, requests."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks import multistatus
from benchmarks.failures import WrongAnswer
from benchmarks.measure import say
from benchmarks.payload import MIB
from benchmarks.processes import cpu_seconds
from benchmarks.relay import Relay
from benchmarks.scale_place import DatabaseServer, ask
from benchmarks.site import Site, make_folder

_LISTED = 20
_SMALL = 4096
_MEDIUM = 128 * 1024
_LARGE = 2 * MIB
_ANSWERED = (200, 201, 204, 207)
_TOKEN = re.compile(rb"<(?:\w+:)?sync-token>([^<]+)</")
_SYNC = (
    '<?xml version="1.0" encoding="utf-8"?>\n<D:sync-collection xmlns:D="DAV:"><D:sync-token>%s</D:sync-token>'
    "<D:sync-level>infinite</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"
)
_WAL = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"


class Cost(NamedTuple):
    """Of one request, or of one mebibyte of a large file. ``node_us`` and ``database_us`` are processor time."""

    node_us: float
    database_us: float
    statements: float
    trips: float
    wal_bytes: float
    s3: dict[str, float]

    @property
    def s3_requests(self) -> float:
        return sum(self.s3.values())


class _Kind(NamedTuple):
    """``make`` puts what is needed into a folder of its own, and gives so many requests: a ``share`` of those that are
    made of the cheap ones.
    """

    name: str
    make: Callable[[Site, str, int], list[bytes]]
    share: float = 1.0


def _puts(site: Site, folder: str, count: int, size: int) -> list[bytes]:
    return site.put_requests(folder, os.urandom(count * size), size)


def _put(size: int) -> Callable[[Site, str, int], list[bytes]]:
    return lambda site, folder, count: _puts(site, folder, count, size)


def _put_again(site: Site, folder: str, count: int) -> list[bytes]:
    send(site, _puts(site, folder, count, _SMALL))
    return _puts(site, folder, count, _SMALL)


def _there(method: str, size: int = _SMALL) -> Callable[[Site, str, int], list[bytes]]:
    def make(site: Site, folder: str, count: int) -> list[bytes]:
        send(site, _puts(site, folder, count, size))
        found = []
        for number in range(count):
            target = {"Destination": site.endpoint.url(f"{folder}m{number:05d}.dat")} if method == "MOVE" else {}
            found.append(site.endpoint.head(method, f"{folder}f{number:05d}.dat", target))
        return found

    return make


def _folders(site: Site, folder: str, count: int) -> list[bytes]:
    return [site.endpoint.head("MKCOL", f"{folder}d{number:05d}/") for number in range(count)]


def _look(depth: str) -> Callable[[Site, str, int], list[bytes]]:
    def make(site: Site, folder: str, count: int) -> list[bytes]:
        send(site, _puts(site, folder, _LISTED, 16))
        name = folder if depth == "1" else f"{folder}f00007.dat"
        return [multistatus.request(site.endpoint, name, depth, multistatus.PROPS)] * count

    return make


def _poll(site: Site, folder: str, count: int) -> list[bytes]:
    send(site, _puts(site, folder, _LISTED, 16))
    with site.connect() as connection:
        body = (_SYNC % "").encode()
        answer = connection.request("REPORT", folder, body, multistatus.headers("0")).require("REPORT", 207)
    found = _TOKEN.search(answer.body)
    if found is None:
        raise WrongAnswer("REPORT: no sync token")
    body = (_SYNC % found[1].decode()).encode()
    return [site.endpoint.head("REPORT", folder, multistatus.headers("0"), len(body)) + body] * count


KINDS = (
    _Kind("PUT 4 KiB, new", _put(_SMALL)),
    _Kind("PUT 4 KiB, over another", _put_again),
    _Kind("PUT 128 KiB", _put(_MEDIUM), share=0.1),
    _Kind("GET 4 KiB", _there("GET")),
    _Kind("GET 128 KiB", _there("GET", _MEDIUM), share=0.1),
    _Kind("PUT 2 MiB", _put(_LARGE), share=0.02),
    _Kind("GET 2 MiB", _there("GET", _LARGE), share=0.02),
    _Kind("PROPFIND 0", _look("0")),
    _Kind("PROPFIND 1, 20 files", _look("1")),
    _Kind("sync poll, nothing new", _poll),
    _Kind("MKCOL", _folders, share=0.2),
    _Kind("MOVE", _there("MOVE"), share=0.2),
    _Kind("DELETE", _there("DELETE"), share=0.2),
)
PUT_MIB, GET_MIB = "PUT of a large file, a MiB", "GET of a large file, a MiB"


class Meters(NamedTuple):
    """``direct`` is the node whose processor time counts, ``counted`` one behind the relays."""

    direct: Site
    counted: Site
    database_url: str
    database: Relay
    blobs: Relay


def measure_requests(meters: Meters, *, requests: int, large_mib: int) -> dict[str, Cost]:
    """Every kind of request, ``requests`` of the cheap ones; and a large file."""
    server = DatabaseServer(meters.database_url)
    found = {}
    for kind in KINDS:
        count = max(10, int(requests * kind.share))
        found[kind.name] = _measure(meters, server, kind, count)
        say(f"{kind.name:26} {found[kind.name]}")
    for name, run in ((PUT_MIB, _put_large), (GET_MIB, _get_large)):
        found[name] = _large(meters, server, run, large_mib)
        say(f"{name:26} {found[name]}")
    return found


def _measure(meters: Meters, server: DatabaseServer, kind: _Kind, count: int) -> Cost:
    prepared = kind.make(meters.direct, _folder(meters.direct), count)
    _quiet()
    before = (cpu_seconds(meters.direct.pid), server.cpu_seconds(), ask(meters.database_url, _WAL))
    send(meters.direct, prepared)
    after = (cpu_seconds(meters.direct.pid), server.cpu_seconds(), ask(meters.database_url, _WAL))
    node_s, database_s, wal = (float(end) - float(start) for start, end in zip(before, after, strict=True))
    few = max(10, count // 10)
    prepared = kind.make(meters.counted, _folder(meters.counted), few)
    _clear(meters)
    send(meters.counted, prepared, connections=1)
    return Cost(node_s / count * 1e6, database_s / count * 1e6, *_counted(meters, few, wal / count))


def _large(meters: Meters, server: DatabaseServer, run: Callable[[Site], None], mib: int) -> Cost:
    _quiet()
    before = (cpu_seconds(meters.direct.pid), server.cpu_seconds(), ask(meters.database_url, _WAL))
    run(meters.direct)
    after = (cpu_seconds(meters.direct.pid), server.cpu_seconds(), ask(meters.database_url, _WAL))
    node_s, database_s, wal = (float(end) - float(start) for start, end in zip(before, after, strict=True))
    if run is _put_large:
        meters.counted.payload.refresh()
    _clear(meters)
    run(meters.counted)
    return Cost(node_s / mib * 1e6, database_s / mib * 1e6, *_counted(meters, mib, wal / mib))


def _put_large(site: Site) -> None:
    site.put_blob("large.bin", 0)


def _get_large(site: Site) -> None:
    size = site.payload.size
    room = bytearray(size)
    with site.connect() as connection:
        connection.get_into(f"{site.run}large.bin", memoryview(room)).require("GET", 200)


def _counted(meters: Meters, by: int, wal: float) -> tuple[float, float, float, dict[str, float]]:
    of = meters.database.counts
    s3 = {name: count / by for name, count in sorted(meters.blobs.counts.items())}
    return of["statements"] / by, of["trips"] / by, wal, s3


def _clear(meters: Meters) -> None:
    meters.database.clear()
    meters.blobs.clear()


def _quiet() -> None:
    """What was answered before has come to its end."""
    os.sync()
    time.sleep(0.3)


def _folder(site: Site) -> str:
    folder = f"{site.run}{os.urandom(4).hex()}/"
    with site.connect() as connection:
        make_folder(connection, folder)
    return folder


def send(site: Site, requests: Sequence[bytes], *, connections: int = 4) -> float:
    """Requests a second; all of them were answered well."""
    outcome = site.send(requests, connections=connections, most_s=600)
    for answer in outcome.answers:
        answer.require("a request", *_ANSWERED)
    return outcome.rate

"""Large files: PUT, GET, ranges, COPY."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from benchmarks.failures import WrongAnswer
from benchmarks.site import Site
from benchmarks.wire import Connection
from benchmarks.workloads import Taken, Workload

_RANGE = 65_536
_STORED = (200, 201, 204)
_MB = 1e6


def together(works: Sequence[Callable[[], None]]) -> float:
    """Seconds until all of them are done, each in a thread of its own (they sit in system calls)."""
    errors: list[Exception] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except (WrongAnswer, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if errors:
        raise errors[0]
    return seconds


def _upload(site: Site, names: dict[str, int]) -> float:
    """MB/s of parallel uploads, by name and number of the blob."""
    connections = {name: site.connect() for name in names}

    def put(name: str) -> None:
        blob = site.payload.blob(names[name])
        answer = connections[name].put_file(site.run + name, blob.descriptor, blob.size)
        answer.require("PUT", *_STORED)

    for connection in connections.values():
        connection.open()
    for number in names.values():
        site.payload.blob(number)
    seconds = together([partial(put, name) for name in names])
    _close(connections.values())
    site.stored |= set(names)
    return len(names) * site.payload.size / seconds / _MB


def _put_large(site: Site) -> Taken:
    return Taken(_upload(site, {"large.bin": 0}), lambda: site.require_blob("large.bin", 0))


def _put_duplicate(site: Site) -> Taken:
    def check() -> None:
        site.require_blob("twin.bin", 0)
        site.delete("twin.bin")
        # Its twin has to survive that.
        site.require_blob("large.bin", 0)

    return Taken(_upload(site, {"twin.bin": 0}), check)


def _put_two(site: Site) -> Taken:
    def check() -> None:
        for number in (1, 2):
            site.require_blob(f"pair{number}.bin", number)
            site.delete(f"pair{number}.bin")

    return Taken(_upload(site, {"pair1.bin": 1, "pair2.bin": 2}), check)


def _download(site: Site, count: int) -> Taken:
    connections = [site.connect() for _ in range(count)]
    for number, connection in enumerate(connections):
        site.payload.room(number).clear()
        connection.open()

    def get(number: int) -> None:
        connections[number].get_into(f"{site.run}large.bin", site.payload.room(number).view)

    seconds = together([partial(get, number) for number in range(count)])
    _close(connections)

    def check() -> None:
        for number in range(count):
            site.payload.room(number).require(site.payload.blob(0))

    return Taken(count * site.payload.size / seconds / _MB, check)


def _ranges(site: Site) -> Taken:
    chosen = random.Random(7)
    starts = [chosen.randrange(site.payload.size - _RANGE) for _ in range(site.sizes.ranges)]
    requests = [
        site.endpoint.head("GET", f"{site.run}large.bin", {"Range": f"bytes={start}-{start + _RANGE - 1}"})
        for start in starts
    ]
    outcome = site.send(requests, connections=1)

    def check() -> None:
        for start, answer in zip(starts, outcome.answers, strict=False):
            if answer.require("GET of a range", 206).body != site.payload.blob(0).part(start, _RANGE):
                raise WrongAnswer(f"the range at {start} has other bytes")

    return Taken(outcome.rate, check)


def _copy(site: Site) -> Taken:
    with site.connect() as connection:
        connection.open()
        headers = {"Destination": site.endpoint.url(f"{site.run}copy.bin"), "Overwrite": "F"}
        began = time.perf_counter()
        answer = connection.request("COPY", f"{site.run}large.bin", headers=headers)
        seconds = time.perf_counter() - began
    answer.require("COPY", *_STORED)

    def check() -> None:
        site.require_blob("copy.bin", 0)
        site.delete("copy.bin")

    return Taken(seconds, check)


def _close(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.close()


WORKLOADS = (
    Workload("put_large", "PUT of {large_mib} MiB", "MB/s", _put_large, writes=True, large=True),
    Workload(
        "put_large_dup",
        "PUT of the same {large_mib} MiB again, other name",
        "MB/s",
        _put_duplicate,
        prepare=Site.have_large,
        writes=True,
        large=True,
    ),
    Workload("put_large_x2", "PUT of two files of {large_mib} MiB at once", "MB/s", _put_two, writes=True, large=True),
    Workload(
        "get_large",
        "GET of {large_mib} MiB",
        "MB/s",
        lambda site: _download(site, 1),
        prepare=Site.have_large,
        large=True,
    ),
    Workload(
        "get_large_x4",
        "four GETs of {large_mib} MiB at once",
        "MB/s",
        lambda site: _download(site, 4),
        prepare=Site.have_large,
        large=True,
    ),
    Workload("get_range", "GET of 64 KiB ranges, one by one", "requests/s", _ranges, prepare=Site.have_large),
    Workload("copy_large", "COPY of {large_mib} MiB", "s", _copy, prepare=Site.have_large, writes=True, large=True),
)

"""A node over PostgreSQL and S3 beside the embedded default and bare S3 clients, and two nodes beside one."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import holdfast
from benchmarks.bare_s3 import Bare, clients
from benchmarks.compare import temporary_folder
from benchmarks.payload import MIB, Payload
from benchmarks.processes import cpu_seconds
from benchmarks.servers import Place, Ports, Server
from benchmarks.site import Site, Sizes
from benchmarks.suite import BY_NAME

_SMALL = ("put_small_c1", "put_small_c8", "get_small_c1", "get_small_c8")
_LARGE = {"put_large": 0.8, "get_large": 0.8}
_MARKS = {**_LARGE, "put_small_c1": 0.35, "put_small_c8": 0.35, "get_small_c1": 0.45, "get_small_c8": 0.45}
_SECOND_MOST = 1.2
_REQUESTS = 2000


class Figure(NamedTuple):
    """``ours`` and ``other`` in ``unit``; ``ratio``: the median of the rounds' ratios; ``mark``: what it has to be."""

    what: str
    ours: float
    other: float
    unit: str
    ratio: float
    mark: float
    is_most: bool = False

    @property
    def holds(self) -> bool:
        return self.ratio <= self.mark if self.is_most else self.ratio >= self.mark

    def __str__(self) -> str:
        sign = "≤" if self.is_most else "≥"
        verdict = "holds" if self.holds else "MISSED"
        return (
            f"{self.what:34} {self.ratio:5.2f} ({sign} {self.mark}: {verdict})   "
            f"{self.ours:.4g} beside {self.other:.4g} {self.unit}"
        )


def measure_nodes(
    database_url: str,
    blobs_url: str,
    *,
    rounds: int,
    first_port: int,
    scratch: Path | None = None,
    variables: Mapping[str, str] = os.environ,
) -> list[Figure]:
    """``database_url`` is of an empty database, ``blobs_url`` of a place in a bucket, both on this machine."""
    with ExitStack() as closing:
        folder = closing.enter_context(temporary_folder(scratch))
        ports = Ports(first_port)
        payload = Payload(512 * MIB)
        closing.callback(payload.close)
        far = {
            "HOLDFAST_DATABASE_URL": database_url,
            "HOLDFAST_BLOBS_URL": blobs_url,
            "HOLDFAST_CACHE_BYTES": "0",
            **{name: value for name, value in variables.items() if name.startswith(("HOLDFAST_S3_", "AWS_"))},
        }

        def start(name: str, settings: Mapping[str, str]) -> Site:
            place = Place(folder / name, ports.take())
            place.make()
            server: Server = closing.enter_context(
                holdfast.start(place, durability="safe", name=name, workers=2, settings=settings)
            )
            return Site(name, server.endpoint, server.pid, Sizes(), payload)

        embedded, first = start("embedded", {}), start("node 1", far)
        figures = _compared(embedded, first, clients(blobs_url, variables, payload, closing), rounds)
        key = (folder / "node 1" / "data" / "master.key").read_text(encoding="ascii").strip()
        second = start("node 2", {**far, "HOLDFAST_MASTER_KEY": key})
        figures.append(_second_node(first, second, rounds))
        return figures


def _compared(embedded: Site, node: Site, bares: Sequence[Bare], rounds: int) -> list[Figure]:
    taken: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for turn in range(rounds):
        for site in (embedded, node):
            site.begin_run(turn)
        for bare in bares:
            # Else it would be stored already.
            node.payload.refresh()
            for name in _LARGE:
                taken[name, bare.name].append(_beside(node, bare, name, bare_first=bool(turn % 2)))
        for name in _SMALL:
            sites = (node, embedded) if turn % 2 else (embedded, node)
            values = {site.name: _value(site, name) for site in sites}
            taken[name, "embedded"].append((values[node.name], values[embedded.name]))
        for site in (embedded, node):
            site.end_run()
    return [_figure(name, other, pairs) for (name, other), pairs in taken.items()]


def _beside(node: Site, bare: Bare, name: str, *, bare_first: bool) -> tuple[float, float]:
    """Each begins with nothing left to be written by the disk."""
    values: dict[bool, float] = {}
    for is_bare in (bare_first, not bare_first):
        os.sync()
        values[is_bare] = bare.rates[name]() if is_bare else _value(node, name)
    return values[False], values[True]


def _value(site: Site, name: str) -> float:
    workload = BY_NAME[name]
    workload.prepare(site)
    os.sync()
    found = workload.run(site)
    found.check()
    return found.value


def _figure(name: str, other: str, pairs: list[tuple[float, float]]) -> Figure:
    ratio = statistics.median(ours / other for ours, other in pairs)
    ours, others = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Figure(f"{name}, {other}", ours, others, "MB/s" if name in _LARGE else "requests/s", ratio, _MARKS[name])


def _second_node(first: Site, second: Site, rounds: int) -> Figure:
    """Processor time of a GET when two nodes answer side by side, beside that of one alone."""
    second.begin_run(0)
    first.begin_run(rounds)
    for site in (first, second):
        BY_NAME["get_small_c8"].prepare(site)
    pairs = [(_cost([first, second]), _cost([first])) for _ in range(rounds)]
    ratio = statistics.median(two / one for two, one in pairs)
    two, one = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Figure("processor time of a GET, 2 nodes", two * 1e6, one * 1e6, "µs", ratio, _SECOND_MOST, is_most=True)


def _cost(sites: list[Site]) -> float:
    """Seconds of a request, of the nodes' processes."""
    before = sum(cpu_seconds(site.pid) for site in sites)
    with ThreadPoolExecutor(len(sites)) as pool:
        counts = list(pool.map(lambda site: _ask(site, 8 // len(sites)), sites))
    return (sum(cpu_seconds(site.pid) for site in sites) - before) / sum(counts)


def _ask(site: Site, connections: int) -> int:
    folder = next(iter(site.small))
    names = [f"{folder}f{number % 500:05d}.dat" for number in range(_REQUESTS)]
    outcome = site.send([site.endpoint.head("GET", name) for name in names], connections=connections)
    for answer in outcome.answers:
        answer.require("GET", 200)
    return len(outcome.answers)

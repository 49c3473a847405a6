"""`bigstore-measure`: is a generated store slower than one that is almost empty, and what does a row cost on disk?"""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import holdfast, multistatus
from benchmarks.bigstore import DATA, Notes
from benchmarks.compare import temporary_folder
from benchmarks.failures import WrongAnswer
from benchmarks.figures import ratio, show
from benchmarks.measure import say, turned
from benchmarks.payload import Payload
from benchmarks.report import table
from benchmarks.servers import Place, Ports, Server
from benchmarks.site import Site, Sizes, require_stored
from benchmarks.wire import Answer

MOST_SLOWER = 1.5
"""A big store may be slower by less than this."""

READY_WITHIN_S = 2.0

_LISTINGS = 5
_REQUESTS = 300
_STARTS = 3


@dataclass
class Side:
    """One of the two stores while its server runs; ``listed`` is a folder, ``small_files`` can be downloaded."""

    name: str
    site: Site
    listed: str
    listed_files: int
    small_files: Sequence[str]


@dataclass(frozen=True)
class Step:
    """``unit`` of its figures; ``judged``: a mark is on the ratio."""

    name: str
    unit: str
    run: Callable[[Side, int], float]


def _list(side: Side, _: int) -> float:
    took: list[float] = []
    answers: list[Answer] = []
    with side.site.connect() as connection:
        connection.open()
        while len(took) < _LISTINGS:
            began = time.perf_counter()
            answers.append(connection.request("PROPFIND", side.listed, multistatus.PROPS, multistatus.headers("1")))
            took.append(time.perf_counter() - began)
    found = multistatus.members(side.site.endpoint, answers[-1], side.listed)
    if len(found) != side.listed_files:
        raise WrongAnswer(f"{side.listed} lists {len(found)} of {side.listed_files} files")
    return statistics.median(took) * 1000


def _put(side: Side, number: int) -> float:
    site = side.site
    folder = f"{site.base}put{number}/"
    with site.connect() as connection:
        connection.request("MKCOL", folder).require("MKCOL", 201)
    outcome = site.send(site.put_requests(folder, os.urandom(_REQUESTS * 4096), 4096), connections=1)
    require_stored(outcome, _REQUESTS)
    return outcome.rate


def _get(side: Side, number: int) -> float:
    # Other files each time, from all over the tree.
    start = number * _REQUESTS
    names = [side.small_files[index % len(side.small_files)] for index in range(start, start + _REQUESTS)]
    outcome = side.site.send([side.site.endpoint.head("GET", name) for name in names], connections=1)
    for answer in outcome.answers:
        answer.require("GET", 200)
    return outcome.rate


STEPS = (
    Step("PROPFIND of 1,000 entries", "ms", _list),
    Step("PUT of 4 KiB", "requests/s", _put),
    Step("GET of a small file", "requests/s", _get),
)


@dataclass(frozen=True)
class Outcome:
    """Figures by step and store, run by run; seconds until ready by store; bytes of tables."""

    notes: Notes
    figures: dict[str, dict[str, list[float]]]
    ready_s: dict[str, list[float]]
    tables: dict[str, tuple[int, int]]
    database_bytes: int

    def slowdown(self, step: Step) -> float:
        """How many times slower the big store is."""
        by_store = self.figures[step.name]
        found = ratio(by_store["empty"], by_store["big"], more_is_better=step.unit.endswith("/s"))
        assert found is not None
        return found

    @property
    def holds(self) -> bool:
        quick = all(statistics.median(found) <= READY_WITHIN_S for found in self.ready_s.values())
        return quick and all(self.slowdown(step) < MOST_SLOWER for step in STEPS)


def measure_store(folder: Path, *, rounds: int, first_port: int, scratch: Path | None) -> Outcome:
    """Hold the store of ``folder`` against a new one. What is written to it goes to its trash at the end."""
    notes = Notes.load(folder)
    figures: dict[str, dict[str, list[float]]] = {step.name: {"empty": [], "big": []} for step in STEPS}
    ready_s: dict[str, list[float]] = {"empty": [], "big": []}
    with ExitStack() as closing_all:
        within = closing_all.enter_context(temporary_folder(scratch))
        ports = Ports(first_port)
        places = {name: Place(within / name, ports.take()) for name in ("empty", "big")}
        for place in places.values():
            place.make()
        data = {"empty": places["empty"].folder / DATA, "big": (folder / DATA).resolve()}
        for number in range(_STARTS):
            for name, place in places.items():
                with holdfast.start(place, data=data[name], name=name) as server:
                    if number or name == "big":
                        ready_s[name].append(round(server.ready_s, 3))
        servers = {
            name: closing_all.enter_context(holdfast.start(place, data=data[name], name=name))
            for name, place in places.items()
        }
        sides = [_empty_side(servers["empty"]), _big_side(servers["big"], notes)]
        _read_through(folder / DATA / "holdfast.db")
        for number in range(rounds + 1):
            for index, step in enumerate(STEPS):
                for side in turned(sides, number + index):
                    value = step.run(side, number)
                    # The first round fills caches.
                    if number:
                        figures[step.name][side.name].append(value)
                        say(f"round {number} of {rounds}  {step.name:26} {side.name:6} {show(value):>8} {step.unit}")
        for side in sides:
            side.site.end()
    path = folder / DATA / "holdfast.db"
    return Outcome(notes, figures, ready_s, table_bytes(path), path.stat().st_size)


def _read_through(path: Path) -> None:
    """Let both databases be in memory: what is compared is the size of the store, not of the machine."""
    block = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while file.readinto(block):
            pass


def _site(server: Server) -> Site:
    site = Site(server.name, server.endpoint, server.pid, Sizes(), Payload(0))
    site.begin_run(0)
    return site


def _big_side(server: Server, notes: Notes) -> Side:
    return Side("big", _site(server), f"{notes.listed}/", notes.listed_files, notes.small_files)


def _empty_side(server: Server) -> Side:
    """A folder of a thousand files of as many bytes as the big store's."""
    site = _site(server)
    folder = f"{site.base}listed/"
    site.fill(folder, 1000, 200)
    return Side("empty", site, folder, 1000, [f"{folder}f{number:05d}.dat" for number in range(1000)])


def table_bytes(database: Path) -> dict[str, tuple[int, int]]:
    """Bytes of each table with its indexes, and its rows; empty where SQLite was built without its statistics."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            sizes = connection.execute(
                "SELECT m.tbl_name, SUM(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name "
                "WHERE s.aggregate = TRUE GROUP BY m.tbl_name"
            ).fetchall()
        except sqlite3.OperationalError:
            return {}
        return {
            name: (size, connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]) for name, size in sizes
        }


def describe(outcome: Outcome) -> str:
    """Markdown: speeds, starts, bytes."""
    rows = []
    for step in STEPS:
        by_store = outcome.figures[step.name]
        medians = [f"{show(statistics.median(by_store[name]))} {step.unit}" for name in ("empty", "big")]
        rows.append([step.name, *medians, f"{outcome.slowdown(step):.2f}x"])
    starts = [f"{statistics.median(outcome.ready_s[name]):.2f} s" for name in ("empty", "big")]
    rows.append(["start until /readyz is 200", *starts, "–"])
    notes = outcome.notes
    parts = [
        f"{notes.nodes:,} nodes, {notes.versions:,} versions (seed {notes.seed}, made in {notes.seconds:.0f} s)",
        table(["", "almost empty", "big", "slower by"], rows, left=1),
        _bytes(outcome),
    ]
    return "\n\n".join(parts)


def _bytes(outcome: Outcome) -> str:
    rows = [
        [f"`{name}`", f"{count:,}", f"{size / 1e6:,.1f} MB", f"{size / count:.0f}"]
        for name, (size, count) in sorted(outcome.tables.items(), key=lambda item: -item[1][0])
        if count >= 1000
    ]
    versions, nodes = outcome.tables.get("version", (0, 0))[1], outcome.tables.get("node", (0, 0))[1]
    total = f"The database has {outcome.database_bytes / 1e6:,.0f} MB"
    if versions and nodes:
        per_node = outcome.tables["node"][0] / nodes
        of_versions = sum(size for name, (size, _) in outcome.tables.items() if name != "node")
        total += (
            f": {per_node:.0f} bytes a node, and {of_versions / versions:.0f} a version with all that belongs to it"
        )
    return f"{total}.\n\n" + table(["table, with its indexes", "rows", "size", "bytes a row"], rows, left=1)

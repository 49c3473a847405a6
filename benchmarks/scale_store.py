"""Generated stores in PostgreSQL: one of `bigstore` that has moved there, and larger ones that are copies of it.

A larger one has every user of the first so many times, each with a tree of their own, and as many chunks and small
contents more that nobody names, so that each index is as large as it would be. What files hold stays the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from appliance import config
from appliance.backends.base import Backend
from appliance.db.database import Database
from appliance.db.postgresql import PostgresqlDatabase
from appliance.jobs import steering
from appliance.stores import open_store
from appliance.upkeep import prune_plan, scrub
from appliance.upkeep.check import check
from appliance.upkeep.prune import Policy
from benchmarks import holdfast, multistatus
from benchmarks.bigstore import DATA, Notes, generate
from benchmarks.failures import NotAvailable, WrongAnswer
from benchmarks.measure import say, turned
from benchmarks.payload import Payload
from benchmarks.scale_place import Store, ask, database_beside, plain
from benchmarks.scale_requests import send
from benchmarks.servers import USER, Ports
from benchmarks.site import Site

_LOOKS = 240
_PEOPLE = 8

# By table: the columns that a copy shifts, and by the highest of which id.
_NODE, _TREE, _USER = "node", "tree", "user"
_SHIFTED: dict[str, dict[str, str]] = {
    "user": {"id": _USER},
    "tree": {"id": _TREE, "owner_id": _USER, "root_id": _NODE},
    "node": {"id": _NODE, "tree_id": _TREE, "parent_id": _NODE},
    "placement": {"node_id": _NODE, "tree_id": _TREE, "parent_id": _NODE},
    "version": {"node_id": _NODE},
    "journal": {
        "tree_id": _TREE,
        "node_id": _NODE,
        "from_parent_id": _NODE,
        "to_parent_id": _NODE,
        "user_id": _USER,
    },
    "trash": {"node_id": _NODE, "tree_id": _TREE, "parent_id": _NODE, "user_id": _USER},
}
_FRESH = {"chunk": "id", "small": "sha256"}
"""Contents, by their digest: the others of a copy have one of their own."""

_SIZES = """
    SELECT c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid), c.reltuples::bigint
    FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname
"""


@dataclass
class Table:
    """Bytes of a table, and of its indexes."""

    rows: int
    heap: int
    indexes: int

    @property
    def row_bytes(self) -> float:
        return (self.heap + self.indexes) / self.rows if self.rows else 0.0


@dataclass
class Size:
    """One generated store. ``small_bytes``: of content in the table `small`, on average. ``ms`` by what was asked: the
    time of one request on one connection.
    """

    nodes: int
    users: int
    small_bytes: float = 0.0
    tables: dict[str, Table] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Size:
        return cls(**{**found, "tables": {name: Table(**table) for name, table in found["tables"].items()}})


class Generated:
    """A context: databases beside ``database_url``, the first moved there from SQLite; dropped at the end."""

    def __init__(self, database_url: str, folder: Path, *, nodes: int, versions: int, times: Sequence[int]) -> None:
        self._database_url = database_url
        self._folder = folder
        self._nodes = nodes
        self._versions = versions
        self._times = times
        self._closing = ExitStack()
        # Of the databases, the smallest first.
        self.urls: list[str] = []
        self.data = folder / "generated" / DATA

    def __enter__(self) -> Generated:
        with self._closing:
            self.notes = generate(self._folder / "generated", nodes=self._nodes, versions=self._versions, seed=1)
            self.urls.append(self._closing.enter_context(database_beside(self._database_url)))
            _move(self.data, self.urls[0])
            _analyze(self.urls[0])
            for count in self._times:
                url = self._closing.enter_context(database_beside(self._database_url, template=self.urls[0]))
                began = time.monotonic()
                _grow(url, count)
                say(f"{count} times as many nodes in {time.monotonic() - began:.0f} s")
                self.urls.append(url)
            self._closing = self._closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def blobs(self, name: str) -> Path:
        """A data folder of a node of its own over one of the databases."""
        data = self._folder / name
        shutil.copytree(self.data / "blobs", data / "blobs")
        (data / "partial").mkdir()
        return data

    def sizes(self) -> list[Size]:
        found = []
        for url in self.urls:
            with psycopg.connect(plain(url)) as connection:
                tables = {row[0]: Table(int(row[3]), int(row[1]), int(row[2])) for row in connection.execute(_SIZES)}
            users = int(ask(url, 'SELECT count(*) FROM "user"'))
            content = float(ask(url, "SELECT coalesce(avg(octet_length(data)), 0) FROM small"))
            found.append(Size(int(ask(url, "SELECT count(*) FROM node")), users, content, tables))
        return found


def _move(data: Path, url: str) -> None:
    """The database of a data folder goes to PostgreSQL.

    Raises:
        NotAvailable: it does not.
    """
    done = subprocess.run(
        [*holdfast.program(), "migrate", "database", "--to", url],
        env={**os.environ, "HOLDFAST_DATA": str(data), "HOLDFAST_CONFIG": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotAvailable(f"the generated store cannot be moved: {done.stderr.strip() or done.stdout.strip()}")


def _analyze(url: str) -> None:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _grow(url: str, times: int) -> None:
    """Let there be ``times`` as many users, with all that they have."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        highest = {name: _first(connection, f'SELECT max(id) FROM "{name}"') for name in (_USER, _TREE, _NODE)}
        for table, shifted in _SHIFTED.items():
            columns = _columns(connection, table)
            taken = [f"{name} + copy.n * {highest[shifted[name]]}" if name in shifted else name for name in columns]
            if table == "user":
                taken[columns.index("name")] = "name || '-' || copy.n"
            _copy(connection, table, columns, taken, times)
        for table, digest in _FRESH.items():
            columns = [name for name in _columns(connection, table) if name == digest or name != "id"]
            taken = [f"sha256({name} || int4send(copy.n))" if name == digest else name for name in columns]
            _copy(connection, table, columns, taken, times)
        for name, last in highest.items():
            connection.execute(f"SELECT setval('{name}_id_seq', {last * times})".encode())
        connection.execute("VACUUM ANALYZE")


def _first(connection: psycopg.Connection[Any], text: str) -> int:
    row = connection.execute(text.encode()).fetchone()
    return int(row[0]) if row else 0


def _columns(connection: psycopg.Connection[Any], table: str) -> list[str]:
    text = "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
    return [f'"{row[0]}"' if row[0] == "offset" else row[0] for row in connection.execute(text, (table,))]


def _copy(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[str], taken: Sequence[str], times: int
) -> None:
    text = (
        f'INSERT INTO "{table}" ({", ".join(columns)}) SELECT {", ".join(taken)} '
        f'FROM "{table}" CROSS JOIN generate_series(1, {times - 1}) AS copy (n)'
    )
    connection.execute(text.encode())


# -- what a request takes ---------------------------------------------------------------------------------------------


def measure_lookups(generated: Generated, sizes: list[Size], ports: Ports, *, rounds: int) -> None:
    """Fill ``ms`` of the sizes, taking turns between them; the first round fills caches."""
    with ExitStack() as stack:
        payload = Payload(0)
        sides = []
        for number, (url, size) in enumerate(zip(generated.urls, sizes, strict=True)):
            within = generated.blobs(f"node-{number}")
            _let_jobs_rest(url)
            store = Store(url, within, ports, payload, stack)
            node = store.start("serving", data=within)
            sides.append((size, _people(store, node, size.users)))
        taken: dict[tuple[int, str], list[float]] = {}
        for number in range(rounds + 1):
            for kind in ("GET", "PROPFIND 0", "PROPFIND 1", "PUT"):
                for size, people in turned(sides, number):
                    ms = _asked(kind, people, generated.notes, number)
                    if number:
                        taken.setdefault((size.nodes, kind), []).append(ms)
    for size in sizes:
        size.ms = {kind: median(values) for (nodes, kind), values in taken.items() if nodes == size.nodes}
        say(f"{size.nodes:,} nodes: {size.ms}")


def _let_jobs_rest(url: str) -> None:
    """What passes over the whole store has its own figures."""
    with closing(PostgresqlDatabase(url)) as database:
        for name in ("measure", "prune", "expire", "scrub"):
            steering.pause(database, name, None)


def _people(store: Store, node: Site, users: int) -> list[Site]:
    """Users that have the first one's files, from all over the table."""
    copies = users // 4
    chosen = {0, *(copies * number // _PEOPLE for number in range(1, _PEOPLE))}
    return [store.site_of(node, USER if number == 0 else f"{USER}-{number}") for number in sorted(chosen)]


def _asked(kind: str, people: list[Site], notes: Notes, number: int) -> float:
    """Milliseconds of a request; other files each time."""
    took = []
    each = _LOOKS // len(people)
    for index, site in enumerate(people):
        start = (number * len(people) + index) * each
        names = [notes.small_files[at % len(notes.small_files)] for at in range(start, start + each)]
        took.append(each / send(site, _requests(kind, site, names), connections=1))
    return sum(took) / (each * len(people)) * 1000


def _requests(kind: str, site: Site, names: list[str]) -> list[bytes]:
    if kind == "GET":
        return [site.endpoint.head("GET", name) for name in names]
    if kind == "PUT":
        folder = f"{site.run}{time.monotonic_ns():x}/"
        with site.connect() as connection:
            connection.request("MKCOL", folder).require("MKCOL", 201)
        return site.put_requests(folder, os.urandom(len(names) * 4096), 4096)
    if kind == "PROPFIND 1":
        names = [f"{name.rpartition('/')[0]}/" for name in names]
    return [multistatus.request(site.endpoint, name, kind[-1], multistatus.PROPS) for name in names]


# -- what passes over everything --------------------------------------------------------------------------------------


def measure_jobs(generated: Generated, size: Size) -> dict[str, float]:
    """Rows a second of what passes over the first store: versions for prune, rows of all tables for check."""
    data = generated.blobs("jobs")
    with opened(data, {"HOLDFAST_DATABASE_URL": generated.urls[0]}) as (database, backend):
        began = time.perf_counter()
        prune_plan.plan(database, backend, Policy())
        pruned = time.perf_counter()
        report = check(database, backend, read_data=False)
        checked = time.perf_counter()
    if not report.clean:
        raise WrongAnswer(f"the generated store is not clean: {report.findings[0]}")
    rows = sum(table.rows for table in size.tables.values() if table.rows > 0)
    return {
        "prune_versions_per_s": size.tables["version"].rows / (pruned - began),
        "check_rows_per_s": rows / (checked - pruned),
    }


def measure_scrub(data: Path, settings: Mapping[str, str]) -> float:
    """Bytes a second of one process that verifies all blobs of a store."""
    with opened(data, settings) as (database, backend):
        began = time.perf_counter()
        done = scrub.everything(database, backend)
        return done.bytes / (time.perf_counter() - began)


@contextmanager
def opened(data: Path, settings: Mapping[str, str]) -> Iterator[tuple[Database, Backend]]:
    """Database and blobs, as a command of `holdfast` opens them."""
    found = config.load(None, {**settings, "HOLDFAST_DATA": str(data.resolve())}, {})
    database, backend = open_store(found)
    with closing(database):
        yield database, backend

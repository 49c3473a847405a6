"""Which partitions a use case touches where the large tables are cut by PostgreSQL (PARTITION BY HASH).

The tables of a copied database are replaced by partitioned ones of the same columns and names, and the product's own
use cases run over them, unchanged. Each statement is planned and run twice: once under EXPLAIN (ANALYZE), which is
rolled back and tells which partitions were really read or written, then as the product means it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from appliance import config
from appliance.accounts import users
from appliance.app import open_appliance
from appliance.db.database import Database, Work
from appliance.db.sql import Cursor, Seen, Session
from appliance.files import folders, history, lock, properties, read, remove, sync, transfer, trash, write
from appliance.files.context import Files
from appliance.files.lock import Wanted
from appliance.principal import Principal
from appliance.tree.paths import parse
from benchmarks.scale_place import plain

T = TypeVar("T")

PARTITIONS = 8

CUT_BY = {
    "node": "tree_id",
    "placement": "tree_id",
    "journal": "tree_id",
    # It has no number of its tree.
    "version": "node_id",
    # Content belongs to nobody: what two users stored is there once.
    "chunk": "id",
    "small": "sha256",
}
"""Tables and the column that cuts each."""

# Unique keys have to hold the column that cuts; lookups that do not name it need an index without it.
_INDEXES = {
    "node": ("UNIQUE (tree_id, id)", "UNIQUE (tree_id, parent_id, name_key)", "(id)", "(parent_id, name_key)"),
    "placement": ("UNIQUE (tree_id, node_id, from_seq)", "(node_id, from_seq)", "(parent_id, name_key)"),
    "journal": ("UNIQUE (tree_id, seq)",),
    "version": ("UNIQUE (node_id, seq)",),
    "chunk": ("UNIQUE (id)",),
    "small": ("UNIQUE (sha256)", "(id)"),
}
_PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")

# The lookup of a path as it is, and with the tree named wherever a node is.
_PATH = """
    EXPLAIN (ANALYZE, FORMAT JSON) SELECT n1.id FROM node n0 JOIN node n1 ON n1.parent_id = n0.id
    AND n1.name_key = 'scale' {tree} WHERE n0.id = (SELECT root_id FROM tree WHERE id = 1) {root}
"""


def cut(database_url: str, *, partitions: int = PARTITIONS) -> None:
    """Replace the tables by partitioned ones with the same rows."""
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for table, column in CUT_BY.items():
            for statement in _statements(table, column, partitions):
                connection.execute(statement.encode())


def _statements(table: str, column: str, partitions: int) -> Iterator[str]:
    # It stays: the sequence of ids is its own.
    yield f"ALTER TABLE {table} RENAME TO {table}_whole"
    yield f"CREATE TABLE {table} (LIKE {table}_whole INCLUDING DEFAULTS) PARTITION BY HASH ({column})"
    for number in range(partitions):
        yield (
            f"CREATE TABLE {table}_p{number} PARTITION OF {table} "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number})"
        )
    yield f"INSERT INTO {table} SELECT * FROM {table}_whole"
    for index in _INDEXES[table]:
        unique, _, columns = index.rpartition("UNIQUE")
        yield f"CREATE {'UNIQUE ' if 'UNIQUE' in index else ''}INDEX ON {table} {columns or unique}"
    yield f"ANALYZE {table}"


@dataclass
class Touched:
    """Of one use case: how many statements met a cut table, and by table how many partitions one of those that met
    several met at most.
    """

    statements: int = 0
    several: int = 0
    tables: dict[str, int] = field(default_factory=dict)

    def add(self, partitions: dict[str, set[str]]) -> None:
        if not partitions:
            return
        self.statements += 1
        wide = {table: len(names) for table, names in partitions.items() if len(names) > 1}
        self.several += bool(wide)
        for table, count in wide.items():
            self.tables[table] = max(count, self.tables.get(table, 0))


def measure_partitions(database_url: str, data: Path, user: str) -> dict[str, Touched]:
    """Run each use case in the tree of ``user``; the tables of the database are cut already."""
    settings = config.load(
        None, {"HOLDFAST_DATA": str(data.resolve()), "HOLDFAST_DATABASE_URL": plain(database_url)}, {}
    )
    found: dict[str, Touched] = {}
    with closing(open_appliance(settings)) as appliance:
        recording = Recording(appliance.database)
        files = replace(appliance.files, database=recording)
        of = users.get(appliance.database, user)
        who = Principal("user", of.id, of.name, of.role, of.id, None, "dav", "127.0.0.1")
        for name, run in USE_CASES.items():
            recording.touched = found[name] = Touched()
            run(files, who)
    with psycopg.connect(plain(database_url)) as connection:
        for name, tree, root in (
            ("a path, as it is asked for", "", ""),
            ("a path, with the tree named", "AND n1.tree_id = 1", "AND n0.tree_id = 1"),
        ):
            row = connection.execute(_PATH.format(tree=tree, root=root).encode()).fetchone()
            assert row is not None
            found[name] = Touched()
            found[name].add(partitions_in(row[0][0]["Plan"]))
    return found


# -- use cases --------------------------------------------------------------------------------------------------------

UseCase = Callable[[Files, Principal], object]


def _put(path: str, content: bytes) -> UseCase:
    return lambda files, who: write.put_file(files, who, parse(path), io.BytesIO(content), length=len(content))


def _get(files: Files, who: Principal) -> None:
    opened = read.open_path(files, who, parse("/scale/a"))
    b"".join(bytes(block) for block in read.content(files, opened, 0, opened.node.bytes))


def _lock(files: Files, who: Principal) -> None:
    taken = lock.take(files, who, parse("/scale/b"), Wanted("exclusive", "0", None, 60))
    lock.release(files, who, parse("/scale/b"), taken.lock.token)


def _put_back(files: Files, who: Principal) -> None:
    trash.restore_removed(files, who, trash.list_trash(files, who)[0].node_id)


def _restore_version(files: Files, who: Principal) -> None:
    oldest = history.list_versions(files, who, parse("/scale/a"))[-1]
    history.restore_version(files, who, parse("/scale/a"), str(oldest.seq))


def _sync(files: Files, who: Principal) -> None:
    first = sync.changes(files, who, parse("/scale"), None, deep=True)
    sync.changes(files, who, parse("/scale"), first.cursor, deep=True)


USE_CASES: dict[str, UseCase] = {
    "MKCOL": lambda files, who: folders.make_folder(files, who, parse("/scale")),
    "PUT, new": _put("/scale/a", b"first"),
    "PUT, over another": _put("/scale/a", b"second"),
    "PUT of chunks": _put("/scale/b", bytes(range(256)) * 400),
    "GET": _get,
    "PROPFIND 0": lambda files, who: read.list_path(files, who, parse("/scale/a"), members=False),
    "PROPFIND 1": lambda files, who: read.list_path(files, who, parse("/scale"), members=True),
    "sync, all and again": _sync,
    "PROPPATCH": lambda files, who: properties.patch(files, who, parse("/scale/a"), [("{x:}y", "<y/>")]),
    "LOCK, UNLOCK": _lock,
    "COPY": lambda files, who: transfer.copy(files, who, parse("/scale/a"), parse("/scale/c"), overwrite=False),
    "MOVE": lambda files, who: transfer.move(files, who, parse("/scale/c"), parse("/scale/d"), overwrite=False),
    "DELETE": lambda files, who: remove.remove(files, who, parse("/scale/d")),
    "out of the trash": _put_back,
    "an earlier version": _restore_version,
}
"""In their order: each goes on from what the ones before it have left."""


# -- recording --------------------------------------------------------------------------------------------------------


class Recording(Database):
    """Another database, whose statements are explained before they are run."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.dialect = inner.dialect
        self.guard = inner.guard
        self.touched = Touched()

    @contextmanager
    def read(self, seen: Seen | None = None) -> Iterator[Session]:
        with self._inner.read(seen) as session:
            yield self._watched(session, within=False)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        with self._inner.snapshot() as session:
            yield self._watched(session, within=True)

    def write(self, work: Work[T], *, line: Hashable = None) -> T:
        return self._inner.write(lambda session: work(self._watched(session, within=True)), line=line)

    def maintain(self, work: Work[T]) -> T:
        return self._inner.maintain(work)

    def close(self) -> None:
        self._inner.close()

    def _watched(self, session: Session, *, within: bool) -> Session:
        session.cursor = _Watched(session.cursor, session.connection.cursor(), self.touched, within)
        return session


class _Watched:
    """A cursor; ``within``: of a transaction that is open."""

    def __init__(self, inner: Cursor, beside: Any, touched: Touched, within: bool) -> None:
        self._inner = inner
        self._beside = beside
        self._touched = touched
        self._begin, self._end = ("SAVEPOINT seen", "ROLLBACK TO seen") if within else ("BEGIN", "ROLLBACK")

    @property
    def rowcount(self) -> int:
        return self._inner.rowcount

    def execute(self, text: str, parameters: Sequence[Any] = (), /) -> Any:
        self._explain(text, parameters)
        return self._inner.execute(text, parameters)

    def executemany(self, text: str, parameters: Any, /) -> Any:
        for each in parameters[:1]:
            self._explain(text, each)
        return self._inner.executemany(text, parameters)

    def fetchone(self) -> Any:
        return self._inner.fetchone()

    def fetchmany(self, size: int, /) -> Any:
        return self._inner.fetchmany(size)

    def fetchall(self) -> Any:
        return self._inner.fetchall()

    def _explain(self, text: str, parameters: Sequence[Any]) -> None:
        if not text.startswith(_PLANNED):
            return
        self._beside.execute(self._begin)
        self._beside.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", parameters)
        plan = self._beside.fetchone()[0][0]["Plan"]
        self._beside.execute(self._end)
        self._touched.add(partitions_in(plan))


def partitions_in(plan: dict[str, Any]) -> dict[str, set[str]]:
    """By cut table, the partitions that a plan really read or changed; one that only inserts goes to one."""
    found: dict[str, set[str]] = {}
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        name = str(node.get("Relation Name", ""))
        table, _, number = name.rpartition("_p")
        if table in CUT_BY and number.isdigit() and node.get("Actual Loops", 0):
            found.setdefault(table, set()).add(name)
        elif name in CUT_BY:
            found.setdefault(name, set())
    return found

"""How many commits a second: of uploads through one node and two, and of PostgreSQL by itself.

PostgreSQL alone is asked for three things by any number of connections: the rows of a small upload, written by one
function without any round trip in between, each in another user's tree or all in one; and a transaction that writes
nothing but as much log as an upload does, so that what is left is the wait for the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Barrier, Event, Thread
from typing import Any

import psycopg
from psycopg import errors

from benchmarks.measure import say
from benchmarks.scale_place import Store, ask, plain
from benchmarks.scale_requests import send
from benchmarks.site import Site, make_folder

CONNECTIONS = (1, 2, 4, 8, 16, 32)
DELAY_US = 500
_SMALL = 4096
_TREES = 32

# What a PUT of a small file into a folder below the root writes, in the product's order of locks; the tables are
# copies that are thrown away.
_MAKE = """
    CREATE SCHEMA scale;
    CREATE TABLE scale.tree (LIKE public.tree INCLUDING ALL);
    CREATE TABLE scale.node (LIKE public.node INCLUDING ALL);
    CREATE TABLE scale.version (LIKE public.version INCLUDING ALL);
    CREATE TABLE scale.journal (LIKE public.journal INCLUDING ALL);
    CREATE TABLE scale.small (LIKE public.small INCLUDING ALL);
    INSERT INTO scale.tree (id, owner_id, root_id, seq, changed_at)
        SELECT n, n, 2 * n, 0, 0 FROM generate_series(1, 32) n;
    INSERT INTO scale.node (id, tree_id, parent_id, name, name_key, kind, placed_seq, subtree_seq, files, bytes,
                            created_at, modified_at)
        SELECT 2 * n + f, n, CASE f WHEN 1 THEN 2 * n END, 'folder', 'folder', 1, 0, 0, 0, 0, 0, 0
        FROM generate_series(1, 32) n, generate_series(0, 1) f;
    CREATE FUNCTION scale.put(of bigint, content bytea) RETURNS bigint LANGUAGE plpgsql SET search_path = scale AS $$
        DECLARE s bigint; made bigint; name text; digest bytea := sha256(content);
        BEGIN
            SELECT seq + 1 INTO s FROM tree WHERE id = of FOR NO KEY UPDATE;
            name := 'f' || s;
            INSERT INTO small (sha256, length, codec, wanted, data)
                VALUES (digest, length(content), 0, 1, content)
                ON CONFLICT (sha256) DO UPDATE SET wanted = excluded.wanted;
            INSERT INTO node (tree_id, parent_id, name, name_key, kind, placed_seq, subtree_seq, files, bytes,
                              version_seq, created_at, modified_at)
                VALUES (of, 2 * of + 1, name, name, 2, s, s, 1, length(content), s, s, s) RETURNING id INTO made;
            INSERT INTO version (node_id, seq, size, modified_at, created_at, manifest)
                VALUES (made, s, length(content), s, s, 'S'::bytea || digest || '1234'::bytea);
            INSERT INTO journal (tree_id, seq, at, kind, node_id, to_parent_id, to_name, user_id, face, address)
                VALUES (of, s, s, 'create', made, 2 * of + 1, name, of, 'dav', '127.0.0.1');
            UPDATE node SET subtree_seq = s, files = files + 1, bytes = bytes + length(content)
                WHERE id IN (2 * of, 2 * of + 1);
            UPDATE tree SET seq = s, changed_at = s WHERE id = of;
            RETURN s;
        END $$;
"""
_PUT = b"SELECT scale.put(%s, %b)"
_LOG = b"SELECT pg_logical_emit_message(true, 'holdfast', repeat('x', %s)::bytea)"
_DELAY = f"SET commit_delay = {DELAY_US}; SET commit_siblings = 1"


@dataclass
class Commits:
    """Rates by number of connections. ``settings``: what decides on the wait for the disk; ``log`` None: only a
    superuser may measure it (``delayed`` likewise). ``connections``: of one node to PostgreSQL, at most.
    """

    settings: dict[str, str] = field(default_factory=dict)
    one_node: dict[int, float] = field(default_factory=dict)
    two_nodes: dict[int, float] = field(default_factory=dict)
    one_tree: dict[int, float] = field(default_factory=dict)
    database: dict[int, float] = field(default_factory=dict)
    database_delayed: dict[int, float] = field(default_factory=dict)
    database_one_tree: dict[int, float] = field(default_factory=dict)
    log: dict[int, float] = field(default_factory=dict)
    log_delayed: dict[int, float] = field(default_factory=dict)
    connections: int = 0

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Commits:
        rates = {
            name: {int(count): rate for count, rate in value.items()}
            for name, value in found.items()
            if name not in ("settings", "connections")
        }
        return cls(settings=found["settings"], connections=found["connections"], **rates)


def measure_commits(
    store: Store, first: Site, second: Site, *, users: int, uploads: int, seconds: float, wal_bytes: int,
    connections: Sequence[int] = CONNECTIONS,
) -> Commits:  # fmt: skip
    """``uploads`` of so many ``users`` in each step, ``seconds`` for each of PostgreSQL alone; ``wal_bytes``: what an
    upload writes.
    """
    names = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "commit_delay", "shared_buffers")
    found = Commits({name: str(ask(store.database_url, f"SELECT current_setting('{name}')")) for name in names})
    people = store.add_users(users)
    of_all = [[store.site_of(site, name) for name in people] for site in (first, second)]
    with _Watch(store.database_url) as watch:
        for count in connections:
            _through_nodes(found, of_all, first, count, uploads)
    # While one node was asked, the other had next to none; both together is what was seen.
    found.connections = max(watch.most // 2, 1)
    _alone(store.database_url, found, connections, seconds, wal_bytes)
    return found


def _through_nodes(found: Commits, of_all: list[list[Site]], first: Site, count: int, uploads: int) -> None:
    found.one_node[count] = _uploaded([of_all[0]], count, uploads)
    found.two_nodes[count] = _uploaded(of_all, count, uploads)
    found.one_tree[count] = _uploaded([[first]], count, uploads)
    say(
        f"{count:2} connections: {found.one_node[count]:.0f} PUTs/s through one node, {found.two_nodes[count]:.0f} "
        f"through two, {found.one_tree[count]:.0f} of one user"
    )


def _uploaded(sides: list[list[Site]], connections: int, uploads: int) -> float:
    """PUTs a second of small new files, users taking turns; ``connections`` in all, over the nodes."""
    prepared = [list(_turns(side, uploads // len(sides))) for side in sides]
    each = max(1, connections // len(sides))
    used = sides[: max(1, min(len(sides), connections))]
    began = time.perf_counter()
    with ThreadPoolExecutor(len(used)) as pool:
        list(pool.map(lambda pair: send(pair[0][0], pair[1], connections=each), zip(used, prepared, strict=False)))
    return sum(len(those) for those in prepared[: len(used)]) / (time.perf_counter() - began)


def _turns(sites: list[Site], uploads: int) -> Iterator[bytes]:
    each = -(-uploads // len(sites))
    by_user = []
    for site in sites:
        folder = f"{site.run}{time.monotonic_ns():x}/"
        with site.connect() as connection:
            make_folder(connection, folder)
        content = _random(each * _SMALL)
        by_user.append(site.put_requests(folder, content, _SMALL))
    for number in range(uploads):
        yield by_user[number % len(sites)][number // len(sites)]


def _random(size: int) -> bytes:
    with open("/dev/urandom", "rb") as file:
        return file.read(size)


def _alone(database_url: str, found: Commits, connections: Sequence[int], seconds: float, wal_bytes: int) -> None:
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        connection.execute(_MAKE)
        try:
            for count in connections:
                trees = [number % _TREES + 1 for number in range(count)]
                put = [_putting(tree) for tree in trees]
                found.database[count] = rate(database_url, put, seconds)
                found.database_one_tree[count] = rate(database_url, [_putting(1)] * count, seconds)
                log = [_logging(wal_bytes)] * count
                for rates, works, begin in (
                    (found.database_delayed, put, _DELAY), (found.log, log, ""), (found.log_delayed, log, _DELAY)
                ):  # fmt: skip
                    try:
                        rates[count] = rate(database_url, works, seconds, begin)
                    except errors.InsufficientPrivilege:
                        continue
                say(
                    f"{count:2} connections, PostgreSQL alone: {found.database[count]:.0f} uploads' rows a second, "
                    f"{found.log.get(count, 0):.0f} transactions that only write log"
                )
        finally:
            connection.execute("DROP SCHEMA scale CASCADE")


Work = Callable[[psycopg.Cursor[tuple[object, ...]]], object]


def _putting(tree: int) -> Work:
    return lambda cursor: cursor.execute(_PUT, (tree, _random(_SMALL)), prepare=True)


def _logging(size: int) -> Work:
    return lambda cursor: cursor.execute(_LOG, (size,), prepare=True)


def rate(database_url: str, works: Sequence[Work], seconds: float, begin: str = "") -> float:
    """Commits a second of all connections together."""
    ready = Barrier(len(works) + 1)
    stop = Event()
    with ExitStack() as closing:
        cursors = []
        for _ in works:
            connection = closing.enter_context(psycopg.connect(plain(database_url), autocommit=True))
            if begin:
                connection.execute(begin.encode())
            cursors.append(connection.cursor())

        def run(pair: tuple[Work, psycopg.Cursor[tuple[object, ...]]]) -> int:
            work, cursor = pair
            try:
                work(cursor)
            finally:
                ready.wait()
            done = 0
            while not stop.is_set():
                work(cursor)
                done += 1
            return done

        with ThreadPoolExecutor(len(works)) as pool:
            running = [pool.submit(run, pair) for pair in zip(works, cursors, strict=True)]
            ready.wait()
            began = time.perf_counter()
            time.sleep(seconds)
            stop.set()
            done = sum(each.result() for each in running)
            return done / (time.perf_counter() - began)


class _Watch:
    """How many connections nodes have to PostgreSQL, at most."""

    _COUNT = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast' AND datname = current_database()"
    )

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._done = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self.most = 0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        with psycopg.connect(plain(self._database_url), autocommit=True) as connection:
            while not self._done.wait(0.25):
                row = connection.execute(self._COUNT.encode()).fetchone()
                self.most = max(self.most, int(row[0]) if row else 0)

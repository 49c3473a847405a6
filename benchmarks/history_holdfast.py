"""Holdfast as a store of a series: changed files come through WebDAV, as from a client that keeps a folder equal."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

from appliance import config
from appliance.app import Appliance, open_appliance
from appliance.chunks import packing
from appliance.db.sql import Sql
from appliance.files import history
from appliance.principal import Principal, system
from appliance.tree import nodes, past
from appliance.tree.nodes import Node
from appliance.upkeep import merging
from benchmarks import holdfast
from benchmarks.failures import WrongAnswer
from benchmarks.history import Step
from benchmarks.servers import Place
from benchmarks.wire import Connection

_TRANSFERS = 4
"""Files sent at a time: what rclone does."""

_TREE = Sql("SELECT owner_id, root_id FROM tree")
_MANIFEST = Sql("SELECT manifest, size FROM version WHERE node_id = :node_id AND seq = :seq")


class Holdfast:
    """A server over a new data folder, with its defaults. ``settle_s``: the most time that it has to merge its small
    packs, which it does by itself every minute, before it is stopped.
    """

    name = "holdfast"

    def __init__(self, folder: Path, port: int, *, settle_s: float) -> None:
        place = Place(folder, port)
        place.make()
        self.data = folder / "data"
        self._settle_s = settle_s
        self._server = holdfast.start(place, durability="safe")
        self.label = self._server.label
        self._folders: set[str] = set()
        # Of each version: the number of the tree's last change, and what all files were then.
        self._states: list[tuple[int, dict[str, bytes]]] = []
        self._sent: dict[str, int] = {}

    def push(self, step: Step, tree: Path) -> None:
        """MKCOL, PUT and DELETE until the tree equals the version; what is equal is not sent again."""
        wanted = step.folders
        self._each(self._delete, step.removed)
        for folder in sorted(self._folders - wanted, reverse=True):
            self._each(self._delete, [f"{folder}/"])
        for folder in sorted(wanted - self._folders):
            self._each(self._make_folder, [f"{folder}/"])
        self._each(lambda connection, path: _put(connection, path, step.changed[path]), step.changed)
        self._folders = wanted
        for path in step.changed:
            self._sent[path] = self._sent.get(path, 0) + 1
        self._states.append((self._last_change(), step.digests))

    def _each(self, action: Callable[[Connection, str], None], paths: Iterable[str]) -> None:
        """On every path, several at a time over connections that are kept."""
        free: SimpleQueue[Connection] = SimpleQueue()
        connections = [Connection(self._server.endpoint) for _ in range(_TRANSFERS)]
        for connection in connections:
            free.put(connection)

        def run(path: str) -> None:
            connection = free.get()
            try:
                action(connection, path)
            finally:
                free.put(connection)

        with ThreadPoolExecutor(_TRANSFERS) as pool:
            for done in [pool.submit(run, path) for path in paths]:
                done.result()
        for connection in connections:
            connection.close()

    @staticmethod
    def _delete(connection: Connection, path: str) -> None:
        connection.request("DELETE", path).require(f"DELETE {path}", 204)

    @staticmethod
    def _make_folder(connection: Connection, path: str) -> None:
        connection.request("MKCOL", path).require(f"MKCOL {path}", 201)

    def _last_change(self) -> int:
        with closing(sqlite3.connect(f"file:{self.data / 'holdfast.db'}?mode=ro", uri=True)) as connection:
            found: int = connection.execute("SELECT seq FROM tree").fetchone()[0]
        return found

    def rest(self) -> Path:
        until = time.monotonic() + self._settle_s
        while time.monotonic() < until and self._is_untidy():
            time.sleep(1)
        # What the run that did it has yet to do.
        time.sleep(1)
        self._server.stop()
        if self._server.process.returncode != 0:
            raise WrongAnswer(f"holdfast ended with {self._server.process.returncode}")
        return self.data

    def _is_untidy(self) -> bool:
        with closing(sqlite3.connect(f"file:{self.data / 'holdfast.db'}?mode=ro", uri=True)) as connection:
            # With those that are merged, and whose blobs are still to be removed.
            tiny = "SELECT COUNT(*) FROM pack WHERE size < ?"
            count: int = connection.execute(tiny, [packing.PACK_SIZE // merging.TINY_PART]).fetchone()[0]
            return count >= merging.MERGED_FROM

    def abandon(self) -> None:
        self._server.stop()

    def verify(self) -> None:
        """Every version as a whole tree, each file's bytes by their SHA-256; every path by the list of its versions."""
        settings = config.load(None, {"HOLDFAST_DATA": str(self.data)}, {})
        appliance = open_appliance(settings)
        try:
            with appliance.database.read() as session:
                row = session.row(_TREE)
                root = None if row is None else nodes.get(session, row[1])
            assert row is not None
            assert root is not None
            seen: dict[tuple[int, int], bytes] = {}
            for number, (seq, digests) in enumerate(self._states, 1):
                if _tree_at(appliance, root, seq, seen) != digests:
                    raise WrongAnswer(f"version {number} reads back differently")
            _require_listed(appliance, system(row[0], face="cli"), self._sent)
        finally:
            appliance.close()


def _put(connection: Connection, path: str, content: bytes) -> None:
    connection.request("PUT", path, content).require(f"PUT {path}", 201, 204)


def _tree_at(appliance: Appliance, root: Node, seq: int, seen: dict[tuple[int, int], bytes]) -> dict[str, bytes]:
    """SHA-256 by path of all files as they were after a change; what was ``seen`` is not read again."""
    found: dict[str, bytes] = {}
    waiting = [(root.id, "")]
    while waiting:
        folder_id, prefix = waiting.pop()
        with appliance.database.snapshot() as session:
            state = past.state_after(session, root.tree_id, root, seq)
            members = past.children(session, folder_id, state)
        for member in members:
            if member.version_seq is None:
                waiting.append((member.id, f"{prefix}{member.name}/"))
                continue
            key = (member.id, member.version_seq)
            if key not in seen:
                seen[key] = _digest(appliance, *key)
            found[prefix + member.name] = seen[key]
    return found


def _digest(appliance: Appliance, node_id: int, seq: int) -> bytes:
    with appliance.database.read() as session:
        row = session.row(_MANIFEST, node_id=node_id, seq=seq)
    assert row is not None
    digest = hashlib.sha256()
    for block in appliance.chunks.read(bytes(row[0]), 0, row[1]):
        digest.update(block)
    return digest.digest()


def _require_listed(appliance: Appliance, principal: Principal, sent: dict[str, int]) -> None:
    """What `holdfast versions` prints has a line for each time that a path was sent."""
    for path, times in sent.items():
        listed = len(history.list_versions(appliance.files, principal, tuple(path.split("/"))))
        if listed != times:
            raise WrongAnswer(f"{path} has {listed} versions instead of {times}")

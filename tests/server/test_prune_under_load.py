"""Clients at full speed while the past is let go, pruned in a loop with nothing kept for later, and backed up."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from appliance import retention
from appliance.app import open_appliance
from appliance.db.sql import Sql
from appliance.stores import open_store
from appliance.upkeep import expire
from appliance.upkeep.expire import Rules
from appliance.upkeep.prune import Policy, prune, undo
from appliance.upkeep.sweep import sweep
from tests.server import behind
from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.mixed_clients import Stored
from tests.server.mixed_load import Load, require_clean
from tests.server.running import Server

MIB = 1_048_576
HURRIED = (sys.executable, str(Path(__file__).with_name("hurried.py")))
_VERSION = Sql("SELECT manifest, size FROM version WHERE node_id = :node_id AND seq = :seq")
_PACKS = Sql("SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM pack WHERE dropped_at IS NULL")


class Housekeeper:
    """Lets the past go and prunes, again and again, in a process that is not the server's."""

    def __init__(self, server: Server) -> None:
        self.done: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._settings = behind.settings(server)
        self._thread = threading.Thread(target=self._run, name="housekeeper")
        self._thread.start()

    def _run(self) -> None:
        try:
            database, backend = open_store(self._settings)
            chance = random.Random(4)
            while not self._stop.is_set():
                expire.expire(database, Rules(retention.parse("none"), 0))
                pruned = prune(database, backend, Policy(quarantine_s=chance.choice([0, 0, 2])))
                self.done.update({name: int(value) for name, value in pruned._asdict().items()})
                self.done["runs"] += 1
                if chance.random() < 0.1:
                    self.done["undone"] += undo(database).chunks
                sweep(database, backend)
            database.close()
        except BaseException as error:  # noqa: BLE001 (raised again by whoever ends it)
            self.error = error

    def end(self) -> None:
        """Raises what it met."""
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


class Crawl:
    """One upload that takes so many seconds: a little every tenth of one, and the rest at the end.

    As long as it goes on, nothing that was stored since it began is forgotten.
    """

    BODY = noise(24 * MIB, seed=50)

    def __init__(self, server: Server, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._dav = server.dav(timeout=120)
        self.status = 0
        self._thread = threading.Thread(target=self._run, name="crawl")
        self._thread.start()

    def _run(self) -> None:
        wire = self._dav.wire()
        wire.send(self._dav.head("PUT", "/dav/crawl", f"Content-Length: {len(self.BODY)}", "Connection: close"))
        # What came this far is found by nobody else, and named by nothing.
        wire.send(self.BODY[: 18 * MIB])
        sent = 18 * MIB
        while time.monotonic() < self._until and sent < 22 * MIB:
            time.sleep(0.1)
            wire.send(self.BODY[sent : sent + 1000])
            sent += 1000
        wire.send(self.BODY[sent:])
        answer = b"".join(iter(lambda: wire.sock.recv(65536), b""))
        wire.sock.close()
        self._dav.close()
        self.status = int(answer.split(b" ", 2)[1])

    def end(self) -> int:
        """The status of its answer."""
        self._thread.join(120)
        return self.status


def require_what_is_left(server: Server, stored: list[Stored]) -> int:
    """Each acknowledged version that is still there has every byte; returns how many are."""
    appliance = open_appliance(behind.settings(server))
    there = 0
    try:
        for each in stored:
            with appliance.database.read() as session:
                row = session.row(_VERSION, node_id=each.node_id, seq=each.seq)
            if row is not None:
                there += 1
                digest = hashlib.sha256()
                for block in appliance.chunks.read(bytes(row[0]), 0, row[1]):
                    digest.update(block)
                assert digest.digest() == each.digest
        return there
    finally:
        appliance.close()


class Backups:
    """One after the other by the command, while the load goes on."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.taken = 0
        self._server = server
        self._folder = folder
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="backups")
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(2):
                self._server.holdfast("backup", str(self._folder), seconds=120)
                self.taken += 1
        except BaseException as error:  # noqa: BLE001 (raised again by whoever ends it)
            self._errors.append(error)

    def end(self) -> None:
        """Raises what it met."""
        self._stop.set()
        self._thread.join(180)
        assert not self._thread.is_alive()
        if self._errors:
            raise self._errors[0]

    def require_restorable(self, scratch: Path) -> None:
        """What is in the folder is whole, and so is the store that comes of it."""
        assert "clean" in self._server.holdfast("check-backup", str(self._folder), seconds=300).stdout
        (scratch / "restored").mkdir()
        there = Server(scratch / "restored")
        there.holdfast("restore-backup", str(self._folder), seconds=300)
        require_clean(there)


def work(start: Start, tmp_path: Path, seconds: float, *, crawls: float) -> None:
    """Eight clients know what has to be there, and look; what they no longer need goes all the time."""
    # Half of what clients store comes into packs: while nothing is let go there are enough, on slow machines as well.
    settings = {"quarantine_hours": 0, "inline_threshold": 2048}
    server = start(workers=2, settings=settings, program=HURRIED)
    crawl = Crawl(server, crawls)
    housekeeper = Housekeeper(server)
    backups = Backups(server, tmp_path / "backup")
    began = time.monotonic()
    try:
        load = Load(server, seconds=seconds, kill_every=0)
    finally:
        housekeeper.end()
        backups.end()
    backups.require_restorable(tmp_path)
    took = time.monotonic() - began
    assert crawl.end() == 201
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/crawl").body == Crawl.BODY
    assert server.stop() == 0
    there = require_what_is_left(server, load.stored)
    require_clean(server)
    database, _ = open_store(behind.settings(server))
    with database.read() as session:
        packs, size = session.rows(_PACKS)[0]
    database.close()
    print(
        f"{took:.0f} s: {len(load.stored)} PUTs acknowledged, {there} of them still versions, all whole; "
        f"{dict(housekeeper.done)}; {backups.taken} backups; "
        f"{packs} packs of {size / 1e6:.0f} MB are left; slowest answer {load.slowest:.2f} s"
    )
    assert housekeeper.done["runs"] > seconds / 4
    assert backups.taken > seconds / 20
    assert housekeeper.done["chunks"] > 100
    assert housekeeper.done["repacked"] > 10


def test_prune_in_a_loop_beside_writers_at_full_speed_loses_nothing(start: Start, tmp_path: Path) -> None:
    """With an upload that crawls."""
    work(start, tmp_path, 20, crawls=5)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_five_minutes_of_prune_in_a_loop_beside_writers_at_full_speed(start: Start, tmp_path: Path) -> None:
    """The upload takes longer than every lease."""
    work(start, tmp_path, 300, crawls=150)

"""kill -9 of one worker after the other while clients go on: nothing acknowledged is lost, and nobody is refused."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from appliance import config
from appliance.app import open_appliance
from appliance.db.sql import Sql
from tests.server.memory import MB, proportional
from tests.server.mixed_clients import SHARED, MixedClient, Stored
from tests.server.running import Server, children

CLIENTS = 8
WORKERS = 4
MINUTE = 60
_VERSION = Sql("SELECT manifest, size FROM version WHERE node_id = :node_id AND seq = :seq")


def workers_of(server: Server) -> list[int]:
    """The processes that accept connections, without the supervisor."""
    listening = [
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        if line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "0A"
    ]
    assert server.process is not None
    return [pid for pid in children(server.process.pid) if _holds(pid, f"socket:[{listening[0]}]")]


def _holds(pid: int, what: str) -> bool:
    try:
        return any(os.readlink(each) == what for each in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # ended meanwhile, or closed the file


class Load:
    """Clients at work for some seconds, a random worker killed every so many; ``memory``: bytes, once a second."""

    def __init__(self, server: Server, *, seconds: float, kill_every: float) -> None:
        self.kills = 0
        self.memory: list[int] = []
        with server.dav() as dav:
            dav.ok("MKCOL", SHARED)
        done = threading.Event()
        self.clients = [MixedClient(server, number, done) for number in range(CLIENTS)]
        for client in self.clients:
            client.prepare()
        for client in self.clients:
            client.start()
        try:
            self._kill(server, seconds, kill_every)
        finally:
            done.set()
        for client in self.clients:
            client.finish()
        self.stored = [stored for client in self.clients for stored in client.stored]
        self.answers = sum((client.answers for client in self.clients), Counter[str]())
        self.resets = sum((client.resets for client in self.clients), Counter[str]())

    def _kill(self, server: Server, seconds: float, kill_every: float) -> None:
        chosen = random.Random()
        begin = time.monotonic()
        for second in range(1, int(seconds) + 1):
            time.sleep(max(begin + second - time.monotonic(), 0))
            assert all(client.is_alive() for client in self.clients), [client.error for client in self.clients]
            self.memory.append(proportional(server.pids()))
            if second % kill_every == 0 and (found := workers_of(server)):
                os.kill(chosen.choice(found), signal.SIGKILL)
                self.kills += 1


def require_stored(server: Server, stored: list[Stored]) -> None:
    """Each of them is a version still, with every byte: also of files that were replaced, moved or deleted since."""
    assert len({each[:2] for each in stored}) == len(stored)
    appliance = open_appliance(config.load(None, server.environment(), {"data": str(server.data)}))
    try:
        for each in stored:
            with appliance.database.read() as session:
                row = session.row(_VERSION, node_id=each.node_id, seq=each.seq)
            assert row is not None, "an acknowledged version is gone"
            digest = hashlib.sha256()
            for block in appliance.chunks.read(bytes(row[0]), 0, row[1]):
                digest.update(block)
            assert digest.digest() == each.digest
    finally:
        appliance.close()


def require_clean(server: Server) -> None:
    """Every byte of the store is read."""
    report = server.holdfast("check", "--read-data", succeeds=False, seconds=1200)
    assert report.stdout.endswith("clean\n"), report.stdout + report.stderr


def test_workers_killed_again_and_again_lose_nothing_acknowledged(tmp_path: Path) -> None:
    """Eight clients of everything: whole answers or reset connections, never a server error, never a lost write."""
    server = Server(tmp_path, workers=WORKERS).start()
    load = Load(server, seconds=20, kill_every=2)
    assert server.stop() == 0
    require_stored(server, load.stored)
    server.finish()
    assert load.kills >= 5
    assert load.resets, "no kill hit a request: the test did not test it"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_workers_killed_for_ten_minutes_lose_nothing_and_memory_is_flat(tmp_path: Path) -> None:
    """The same, and in the last minute all processes together take what they took in the second one."""
    server = Server(tmp_path, workers=WORKERS).start()
    load = Load(server, seconds=10 * MINUTE, kill_every=5)
    assert server.stop() == 0
    require_stored(server, load.stored)
    require_clean(server)
    server.finish()
    second, last = statistics.fmean(load.memory[MINUTE : 2 * MINUTE]), statistics.fmean(load.memory[-MINUTE:])
    print(
        f"{load.kills} workers killed; {len(load.stored)} PUTs acknowledged, all there; "
        f"{sum(load.answers.values())} answers {dict(sorted(load.answers.items()))}; "
        f"resets {dict(load.resets)}; memory {second / MB:.0f} MB in the second minute, {last / MB:.0f} MB in the last"
    )
    assert abs(last / second - 1) < 0.15

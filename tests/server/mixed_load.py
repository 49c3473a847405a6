"""Mixed clients at work while workers are killed, and what has to hold of the store afterwards."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from appliance.app import open_appliance
from appliance.db.sql import Sql
from tests.server import behind
from tests.server.memory import proportional
from tests.server.mixed_clients import SHARED, MixedClient, Stored
from tests.server.running import Server, children

CLIENTS = 8
_VERSION = Sql("SELECT manifest, size FROM version WHERE node_id = :node_id AND seq = :seq")


def workers_of(server: Server) -> list[int]:
    """The processes that accept connections, without the supervisor; those of all nodes."""
    return [pid for node in server.turns() for pid in _workers_of_node(node)]


def _workers_of_node(server: Server) -> list[int]:
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
    """Clients at work for some seconds, a random worker killed every so many, 0: none.

    ``memory``: bytes of all processes together, once a second.
    """

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
        self.slowest = max(client.slowest for client in self.clients)
        self.resets = sum((client.resets for client in self.clients), Counter[str]())

    def _kill(self, server: Server, seconds: float, kill_every: float) -> None:
        chosen = random.Random()
        begin = time.monotonic()
        for second in range(1, int(seconds) + 1):
            time.sleep(max(begin + second - time.monotonic(), 0))
            assert all(client.is_alive() for client in self.clients), [client.error for client in self.clients]
            self.memory.append(proportional(server.pids()))
            if kill_every and second % kill_every == 0 and (found := workers_of(server)):
                os.kill(chosen.choice(found), signal.SIGKILL)
                self.kills += 1


def require_stored(server: Server, stored: list[Stored]) -> None:
    """Each of them is a version still, with every byte: also of files that were replaced, moved or deleted since."""
    assert len({each[:2] for each in stored}) == len(stored)
    appliance = open_appliance(behind.settings(server))
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

"""kill -9 of all processes while clients write: what was acknowledged is there, nothing is half there.

Of two nodes one is killed at a time. What it leaves behind goes when its lease has ended, which is not waited for.
"""

from __future__ import annotations

import glob
import hashlib
import http.client
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.listing import names
from tests.server.running import Server, runs, until

WRITERS = 4
SIZES = [50, 3_000, 5_000, 70_000, 900_000, 1_200_000, 2_500_000, 5_000_000]


@dataclass
class File:
    """What was sent under one name, in order, as digests; ``acknowledged`` is how many of them, and which last."""

    sent: list[str] = field(default_factory=list)
    acknowledged: int = 0
    last: int = -1

    def require(self, body: bytes | None) -> None:
        """What is stored is the last body that was acknowledged, or one that was sent after it."""
        if body is None:
            assert self.last == -1, "an acknowledged file is gone"
            return
        digest = hashlib.sha256(body).hexdigest()
        assert digest in self.sent, "what is stored is no complete body that was sent"
        assert digest in self.sent[max(self.last, 0) :], "an acknowledged body was lost"


class Writers:
    """Threads that store files, three names each, until the server is gone. One more upload hangs meanwhile."""

    def __init__(self, server: Server, round_number: int) -> None:
        self.files: dict[str, File] = {}
        self._server = server
        self._number = round_number
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(WRITERS)]
        self._hanging = server.dav().wire()
        head = server.dav().head("PUT", f"/dav/round-{round_number}-hanging", "Content-Length: 50000000")
        # Never stored before, so that a pack of it is open when the end comes.
        self._hanging.send(head, noise(6_000_000, seed=1000 + round_number))
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Returns when all have noticed that the server is gone."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        self._hanging.close()

    def _run(self, number: int) -> None:
        choose = random.Random(100 * self._number + number)
        names = [f"/dav/round-{self._number}-writer-{number}-{letter}" for letter in "abc"]
        files = {name: self.files.setdefault(name, File()) for name in names}
        with self._server.dav(timeout=20) as dav:
            while True:
                name, size = choose.choice(names), choose.choice(SIZES)
                body = choose.randbytes(size)
                file = files[name]
                file.sent.append(hashlib.sha256(body).hexdigest())
                pieces = (body[at : at + 50_000] for at in range(0, size, 50_000)) if choose.random() < 0.5 else body
                try:
                    answer = dav("PUT", name, pieces)
                except (OSError, http.client.HTTPException):
                    return
                assert answer.status in (201, 204), answer.text
                file.acknowledged += 1
                file.last = len(file.sent) - 1


def _packs(server: Server) -> set[tuple[int, int]]:
    """Writer and counter of every pack on the disk; a writer's folder may go meanwhile."""
    found = glob.glob("*/*", root_dir=server.data / "blobs" / "packs")
    return {(int(writer, 16), int(counter, 16)) for writer, counter in (path.split("/") for path in found)}


def _rowless(server: Server) -> set[tuple[int, int]]:
    """Packs on the disk that no row names."""
    database = sqlite3.connect(f"file:{server.data / 'holdfast.db'}?mode=ro", uri=True)
    try:
        return _packs(server) - set(database.execute("SELECT writer_id, counter FROM pack"))
    finally:
        database.close()


def _partial(server: Server) -> list[str]:
    return os.listdir(server.data / "partial")


def _is_alone(server: Server) -> bool:
    """Whether it is one node, which has its store for itself."""
    return len(server.turns()) == 1


def _left(server: Server) -> tuple[int, int]:
    """How many partial files and rowless packs there are, where that can be seen."""
    return (len(_partial(server)), len(_rowless(server))) if _is_alone(server) else (0, 0)


def _at_a_random_moment(server: Server, choose: random.Random) -> None:
    time.sleep(choose.uniform(0.1, 1.2))


def _when_a_pack_appears(server: Server, choose: random.Random) -> None:
    """The moment between a pack and its rows."""
    time.sleep(choose.uniform(0.1, 0.5))
    if _is_alone(server):
        before = _packs(server)
        until(lambda: _packs(server) != before, what="a new pack")


def _round(server: Server, number: int, moment: Callable[[Server, random.Random], None]) -> tuple[int, int]:
    """Write, kill, start, compare; returns how many partial files and rowless packs the kill left behind."""
    writers = Writers(server, number)
    moment(server, random.Random())
    server.kill_all()
    writers.join()
    left = _left(server)
    server.start()
    with server.dav() as dav:
        for name, file in writers.files.items():
            answer = dav("GET", name)
            assert answer.status in (200, 404), answer.text
            file.require(answer.body if answer.status == 200 else None)
        stored = names(dav, "/dav/")
    assert f"round-{number}-hanging" not in stored
    assert stored <= {name.removeprefix("/dav/") for name in writers.files} | {
        name for name in stored if not name.startswith(f"round-{number}-")
    }
    until(lambda: _left(server) == (0, 0), what="the sweep of what the dead left behind")
    _require_versions(server, writers)
    return left


def _require_versions(server: Server, writers: Writers) -> None:
    """Every acknowledged body is among the versions, not only the last one."""
    name, file = max(writers.files.items(), key=lambda item: item[1].acknowledged)
    if file.acknowledged:
        table = server.holdfast("versions", name.removeprefix("/dav")).stdout.splitlines()
        assert file.acknowledged <= len(table) - 1 <= len(file.sent)


def _kill_again_and_again(server: Server, rounds: int) -> tuple[int, int]:
    partial = rowless = 0
    for number in range(rounds):
        left = _round(server, number, (_at_a_random_moment, _when_a_pack_appears)[number % 2])
        partial += left[0]
        rowless += left[1]
    return partial, rowless


@pytest.mark.parametrize("durability", ["safe", "fast"])
def test_kill_under_load_loses_nothing_acknowledged_and_leaves_nothing_behind(start: Start, durability: str) -> None:
    """Four writers on four workers, all processes killed: whole bodies only, all acknowledged ones, leftovers swept."""
    server = start(workers=4, durability=durability)
    partial, _ = _kill_again_and_again(server, 4)
    assert partial or not _is_alone(server), "no kill hit a pack that was being written: the test did not test it"


@pytest.mark.soak
@pytest.mark.parametrize("durability", ["safe", "fast"])
def test_kill_under_load_forty_times(start: Start, durability: str) -> None:
    """The same, forty times over on one store."""
    server = start(workers=4, durability=durability)
    partial, rowless = _kill_again_and_again(server, 40)
    print(f"40 kills ({durability}): {partial} partial files and {rowless} rowless packs left behind, all swept")


def test_kill_during_a_folder_operation_leaves_all_or_nothing(start: Start) -> None:
    """MOVE, COPY and DELETE of folders with kill -9 beside them: each is whole or has not happened."""
    server = start(workers=4)
    members = {f"file-{number}" for number in range(20)}
    with server.dav() as dav:
        dav.ok("MKCOL", "/dav/from")
        for name in members:
            dav.ok("PUT", f"/dav/from/{name}", name.encode())
    for number in range(3):
        done = threading.Thread(target=_move_until_gone, args=(server, number))
        done.start()
        time.sleep(random.uniform(0.05, 0.4))
        server.kill_all()
        done.join(30)
        server.start()
        with server.dav() as dav:
            for folder in names(dav, "/dav/"):
                assert names(dav, f"/dav/{folder}") == members, folder


def _move_until_gone(server: Server, number: int) -> None:
    with server.dav() as dav:
        try:
            for step in range(10_000):
                dav("COPY", "/dav/from", headers={"Destination": f"/dav/copy-{number}-{step}"})
                dav("MOVE", f"/dav/copy-{number}-{step}", headers={"Destination": f"/dav/moved-{number}-{step}"})
                if step % 2:
                    dav("DELETE", f"/dav/moved-{number}-{step}")
        except (OSError, http.client.HTTPException):
            return


def test_killing_only_the_supervisor_ends_the_server_and_frees_the_folder(start: Start) -> None:
    """No child outlives it, and the next start takes over the folder."""
    server = start(workers=2)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", b"kept")
    assert server.process is not None
    pids = server.pids()
    os.kill(server.process.pid, 9)
    server.process.wait(10)
    until(lambda: not any(map(runs, pids)), what="the children's end")
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/file").body == b"kept"

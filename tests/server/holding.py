"""Forcing what happens at the same time: bodies that stop at a byte, and writers that wait for each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from appliance.config import Settings
from appliance.db.guard import WRITERS_LOCK
from tests.server import behind
from tests.server.dav_client import Answer, Dav
from tests.server.running import Server, until


class HeldPut:
    """A PUT of which the server has read exactly the first ``at`` bytes; ``finish`` sends the rest."""

    def __init__(
        self, dav: Dav, path: str, body: bytes, *, at: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        at = len(body) // 2 if at is None else at
        self._rest = body[at:]
        self._wire = dav.wire()
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        # The answer to Expect comes when all that can be refused without the body has been looked at.
        self._wire.send(dav.head("PUT", path, f"Content-Length: {len(body)}", "Expect: 100-continue", *lines))
        assert self._wire.answer().status == 100
        self._wire.send(body[:at])
        until(lambda: _unread(dav.port, self._wire.sock.getsockname()[1]) == 0, what="the reading of the first half")

    def __enter__(self) -> HeldPut:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    def send_rest(self) -> None:
        """Without waiting for the answer."""
        self._wire.send(self._rest)

    def answer(self) -> Answer:
        """What came back."""
        found = self._wire.answer("PUT")
        return Answer(found.status, found.fields, found.body)

    def finish(self) -> Answer:
        """The rest of the body, and the answer to it all."""
        self.send_rest()
        return self.answer()


def _unread(server_port: int, client_port: int) -> int:
    """Bytes that are on their way from a client on this machine, or that the server has not read yet."""
    queued = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        ports = [int(address.rpartition(":")[2], 16) for address in fields[1:3]]
        sending, receiving = (int(part, 16) for part in fields[4].split(":"))
        if ports == [server_port, client_port]:
            queued += receiving
        elif ports == [client_port, server_port]:
            queued += sending
    return queued


@contextmanager
def commits_held(server: Server, waiting: int) -> Iterator[None]:
    """Nothing commits within the block, whose end waits until so many processes want to."""
    settings = behind.settings(server)
    held = _held_by_postgresql if settings.is_shared else _held_by_file
    with held(settings, waiting):
        yield


@contextmanager
def _held_by_postgresql(settings: Settings, waiting: int) -> Iterator[None]:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [WRITERS_LOCK])
        yield
        waiters = """
            SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE d.datname = current_database() AND locktype = 'advisory' AND objid = %s AND NOT granted
        """
        until(
            lambda: connection.execute(waiters, [WRITERS_LOCK]).fetchall()[0][0] >= waiting,
            what="waiting for the commit",
        )


@contextmanager
def _held_by_file(settings: Settings, waiting: int) -> Iterator[None]:
    path = settings.data / "holdfast.db-writers"
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        until(lambda: _waiters(path) >= waiting, what="waiting for the commit")
    finally:
        os.close(descriptor)


def _waiters(path: Path) -> int:
    """Processes that wait for the file lock."""
    inode = f":{path.stat().st_ino}"
    lines = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    return sum(fields[1] == "->" and fields[6].endswith(inode) for fields in lines)

"""What uploads that break off have stored already goes by itself."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.running import Server, until

MIB = 1_048_576
SENT = 40 * MIB
# Beyond the first pack, which is committed while the rest comes.
FILE = noise(SENT + 10 * MIB, seed=77)


def used(folder: Path) -> int:
    """Bytes on the disk, the database's included."""
    found = 0
    # What goes meanwhile is passed over, folders as well.
    for above, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += os.lstat(os.path.join(above, name)).st_blocks * 512
    return found


def send_part(server: Server) -> socket.socket:
    """An upload of which most has come; returns once its first pack is in the store."""
    blobs = server.data / "blobs"
    with server.dav() as dav:
        wire = dav.wire()
        wire.send(dav.head("PUT", "/dav/film", f"Content-Length: {len(FILE)}"), FILE[:SENT])
    until(lambda: used(blobs) > 32 * MIB, what="the first pack")
    return wire.sock


def test_upload_that_was_killed_leaves_nothing_after_the_next_start(start: Start) -> None:
    """Its writer is dead, so the first run takes all of it."""
    server = start(settings={"reserve": 0})
    connection = send_part(server)
    # The rows come right behind the pack.
    time.sleep(0.5)
    server.kill_all()
    connection.close()
    assert used(server.data) > 32 * MIB
    server.start()
    until(lambda: used(server.data) < 2 * MIB, what="the prune")
    with server.dav() as dav:
        assert dav("GET", "/dav/film").status == 404
        dav.ok("PUT", "/dav/film", FILE)
        assert dav.ok("GET", "/dav/film").body == FILE


@pytest.mark.soak
def test_upload_whose_client_vanished_leaves_nothing_after_some_minutes(start: Start) -> None:
    """The server goes on: one run raises the epoch, the writers follow, the next run takes what is left."""
    server = start(settings={"sweep_minutes": 1, "reserve": 0})
    connection = send_part(server)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    with server.dav() as dav:
        dav.ok("PUT", "/dav/kept", noise(5 * MIB, seed=78))
        assert used(server.data) > 37 * MIB
        until(lambda: used(server.data) < 7 * MIB, seconds=300, what="the prune")
        # The server closes a connection that was silent for so long.
        dav.close()
        assert dav.ok("GET", "/dav/kept").body == noise(5 * MIB, seed=78)

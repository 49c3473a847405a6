"""Memory is bounded whatever a file's size: all processes together, as the kernel counts what is theirs."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Iterator

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.memory import MB, Growth, proportional
from tests.server.nodes import VARIABLE
from tests.server.running import Server

MIB = 1_048_576
GIB = 1024 * MIB
# Of one process. Far blobs wait in memory until they are whole, and what is read of them is fetched ahead: all of
# either kind share 64 MiB (docs/design/remote-blobs.md).
MOST = 100 * MB + (64 * MIB if os.environ.get(VARIABLE) == "s3" else 0)


class Generated:
    """Incompressible content without repetition, never whole in memory; ``digest`` of what was taken."""

    def __init__(self, size: int) -> None:
        self._base = noise(MIB)
        self._size = size
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self._size // MIB):
            # Another block each time, at the price of an exclusive or.
            key = int.from_bytes(os.urandom(8192) * (MIB // 8192), "little")
            block = (int.from_bytes(self._base, "little") ^ key ^ number).to_bytes(MIB, "little")
            self.digest.update(block)
            yield block


def _put(dav: Dav, path: str, content: Generated, size: int, *, chunked: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", dav.port, timeout=600)
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
    headers = {"Authorization": dav.authorization, **framing}
    connection.request("PUT", path, iter(content), headers, encode_chunked=chunked)
    assert connection.getresponse().status == 201
    connection.close()


def _get(dav: Dav, path: str) -> str:
    """The SHA-256 of what comes."""
    connection = http.client.HTTPConnection("127.0.0.1", dav.port, timeout=600)
    connection.request("GET", path, headers={"Authorization": dav.authorization})
    response = connection.getresponse()
    assert response.status == 200
    digest = hashlib.sha256()
    while block := response.read(MIB):
        digest.update(block)
    connection.close()
    return digest.hexdigest()


def _growths(server: Server, size: int) -> tuple[int, int]:
    """Bytes that a PUT and a GET of this size take more than idle; what comes back is what was sent."""
    with server.dav() as dav:
        # The libraries and pools that the first request of all brings in are no part of it.
        dav.ok("PUT", "/dav/first", noise(3 * MIB))
        dav.ok("GET", "/dav/first")
        content = Generated(size)
        with Growth(lambda: proportional(server.pids()), every_s=0.1) as put:
            _put(dav, "/dav/large", content, size, chunked=True)
        with Growth(lambda: proportional(server.pids()), every_s=0.1) as get:
            assert _get(dav, "/dav/large") == content.digest.hexdigest()
    return put.most, get.most


def test_put_and_get_of_256_megabytes_take_little_memory(start: Start) -> None:
    """Less than 100 MB more than idle, what waits to go to S3 or comes ahead of it aside, and every byte is right."""
    put, get = _growths(start(durability="fast"), 256 * MIB)
    assert put < MOST
    assert get < MOST


def test_four_large_uploads_at_once_take_little_memory(start: Start) -> None:
    """The bound is the process's, not each upload's: four slow halves beside each other, then their rest."""
    server = start(workers=1, durability="fast")
    body = noise(24 * MIB)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/first", noise(3 * MIB, seed=2))
        with Growth(lambda: proportional(server.pids())) as growth:
            wires = [dav.wire() for _ in range(4)]
            for number, wire in enumerate(wires):
                wire.send(dav.head("PUT", f"/dav/{number}", f"Content-Length: {len(body)}"), body[: 12 * MIB])
            for wire in wires:
                wire.send(body[12 * MIB :])
            assert [wire.answer().status for wire in wires] == [201] * 4
            for wire in wires:
                wire.close()
        assert growth.most < MOST * server.workers


@pytest.mark.soak
def test_put_and_get_of_four_gibibytes_take_little_memory(start: Start) -> None:
    """Less than 150 MiB more than idle, as for any size."""
    put, get = _growths(start(), 4 * GIB)
    print(f"4 GiB: PUT {put / MIB:.0f} MiB, GET {get / MIB:.0f} MiB above idle, all processes together")
    assert put < 150 * MIB
    assert get < 150 * MIB

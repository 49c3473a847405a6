"""`huge`: one file of dozens of gigabytes through one PUT and back, and what that takes of the server's memory.

The content is incompressible, but repeats itself after a few hundred megabytes, so that it needs neither the disk of a
file of that size nor minutes to be made: after the first round the store knows every chunk. How fast new content is
stored is what `compare` measures.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import holdfast
from benchmarks.compare import temporary_folder
from benchmarks.failures import WrongAnswer
from benchmarks.measure import say
from benchmarks.payload import MIB
from benchmarks.processes import Meter, pss_mib
from benchmarks.servers import Place, Ports, Server
from benchmarks.wire import connect, parse_head

GIB = 1024 * MIB
MOST_MIB = 150
"""All processes together, above what they take idle."""

# No multiple of anything that the store cuts by.
_PERIOD = 257 * MIB + 12_345
_BLOCK = 4 * MIB
_SETTLE_S = 3.0
_SEED = b"holdfast"


@dataclass(frozen=True)
class Passage:
    """One direction: seconds, and the largest proportional set size above idle, in MiB."""

    seconds: float
    grown_mib: float


@dataclass(frozen=True)
class Huge:
    """``folder_mib``: the data folder afterwards."""

    size: int
    put: Passage
    get: Passage
    folder_mib: float

    @property
    def holds(self) -> bool:
        return max(self.put.grown_mib, self.get.grown_mib) <= MOST_MIB

    def __str__(self) -> str:
        lines = [f"{self.size / GIB:g} GiB, the same {_PERIOD / MIB:.0f} MiB over and over; SHA-256 equal"]
        for name, passage in (("PUT", self.put), ("GET", self.get)):
            lines.append(
                f"{name}: {passage.seconds:.0f} s, {self.size / passage.seconds / 1e6:.0f} MB/s, memory "
                f"{passage.grown_mib:+.0f} MiB over idle (at most {MOST_MIB})"
            )
        return "\n".join([*lines, f"data folder: {self.folder_mib:.0f} MiB"])


def measure_huge(*, gib: float, durability: str, chunked: bool, first_port: int, scratch: Path | None) -> Huge:
    """Start a server, send, receive, compare.

    Raises:
        WrongAnswer: what came back is something else.
    """
    size = int(gib * GIB)
    with temporary_folder(scratch) as within:
        place = Place(within / "holdfast", Ports(first_port).take())
        place.make()
        with holdfast.start(place, durability=durability) as server:
            time.sleep(_SETTLE_S)
            idle = pss_mib(server.pid)
            digest = hashlib.sha256()
            put = _timed(server, idle, lambda: _put(server, size, digest, chunked=chunked))
            say(f"sent in {put.seconds:.0f} s")
            received = hashlib.sha256()
            get = _timed(server, idle, lambda: _get(server, size, received))
            if received.digest() != digest.digest():
                raise WrongAnswer("the bytes that came back are others (SHA-256)")
            files = sum(path.stat().st_size for path in place.folder.rglob("*") if path.is_file())
            return Huge(size, put, get, files / MIB)


def _timed(server: Server, idle: float, work: Callable[[], None]) -> Passage:
    with Meter(server.pid, every_s=0.25) as meter:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
    return Passage(seconds, meter.cost.peak_mib - idle)


def blocks(size: int, period: int = _PERIOD) -> Iterator[memoryview]:
    """The content: ``size`` bytes, the same for the same period."""
    round_ = memoryview(hashlib.shake_256(_SEED).digest(period))
    left = size
    while left:
        for start in range(0, period, _BLOCK):
            block = round_[start : start + min(_BLOCK, left)]
            yield block
            left -= len(block)
            if not left:
                return


def _put(server: Server, size: int, digest: hashlib._Hash, *, chunked: bool) -> None:
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    with connect(server.endpoint) as sock:
        sock.sendall(server.endpoint.head("PUT", "huge", headers, length=None if chunked else size))
        for block in blocks(size):
            digest.update(block)
            if chunked:
                sock.sendall(b"%x\r\n" % len(block))
            sock.sendall(block)
            if chunked:
                sock.sendall(b"\r\n")
        if chunked:
            sock.sendall(b"0\r\n\r\n")
        _require(_head(sock)[0], "PUT", 201)


def _get(server: Server, size: int, digest: hashlib._Hash) -> None:
    room = memoryview(bytearray(_BLOCK))
    with connect(server.endpoint) as sock:
        sock.sendall(server.endpoint.head("GET", "huge"))
        status, rest = _head(sock)
        _require(status, "GET", 200)
        digest.update(rest)
        received = len(rest)
        while received < size:
            count = sock.recv_into(room)
            if not count:
                raise WrongAnswer(f"GET: the connection ended after {received} bytes")
            digest.update(room[:count])
            received += count


def _head(sock: socket.socket) -> tuple[int, bytes]:
    """The status, and what of the body has come with it."""
    buffer = b""
    while (head := parse_head(buffer)) is None:
        more = sock.recv(65536)
        if not more:
            raise WrongAnswer("the connection ended before the answer")
        buffer += more
    return head.status, buffer[head.body_at :]


def _require(status: int, method: str, wanted: int) -> None:
    if status != wanted:
        raise WrongAnswer(f"{method}: status {status}")

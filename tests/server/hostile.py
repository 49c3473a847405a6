"""Peers that mean harm, or behave as if: each kind holds a number of connections, and comes back when it is cut off.

They run as a process of their own (``Hostile``), so that they take no time from the clients that a test measures.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.server.running import ADMIN, PASSWORD, Server

OF_EACH = 50
LARGE = "/dav/for-everybody"
# Guesses are counted by account and address: they come from an address that nobody else has.
GUESSING_FROM = "127.0.0.77"
_PAUSE_S = 2.0
_DRIP_S = 0.5


class Target(NamedTuple):
    """Where to; ``tls`` None: plain http."""

    port: int
    tls: ssl.SSLContext | None

    async def connect(
        self, *, bare: bool = False, source: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """``bare``: without TLS, also where the server speaks it."""
        context = None if bare else self.tls
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, local_addr=(source, 0), limit=2**10)


def _head(method: str, path: str, *lines: str, password: str = PASSWORD) -> bytes:
    credentials = base64.b64encode(f"{ADMIN}:{password}".encode()).decode()
    fields = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Basic {credentials}", *lines]
    return "\r\n".join([*fields, "", ""]).encode("latin-1")


async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(_DRIP_S)


async def silent(target: Target) -> None:
    """Connects, without TLS, and says nothing."""
    reader, _ = await target.connect(bare=True)
    await reader.read()


async def silent_after_greeting(target: Target) -> None:
    """Connects, with TLS where the server has it, and says nothing."""
    reader, _ = await target.connect()
    await reader.read()


async def slow_head(target: Target) -> None:
    """A head that never ends (slow loris)."""
    _, writer = await target.connect()
    writer.write(_head("GET", "/dav/")[:-2] + b"X-More: ")
    await _drip(writer, b"x")


async def slow_hello(target: Target) -> None:
    """A TLS handshake that never ends; nonsense in a trickle where the server has no TLS."""
    _, writer = await target.connect(bare=True)
    writer.write(b"\x16\x03\x01\x40\x00\x01")
    await _drip(writer, b"\x00")


async def slow_body(target: Target) -> None:
    """An upload of a byte now and then."""
    _, writer = await target.connect()
    writer.write(_head("PUT", "/dav/never-whole", "Content-Length: 100000000"))
    await _drip(writer, b"x")


async def slow_reader(target: Target) -> None:
    """A download of which a few bytes are read now and then."""
    reader, writer = await target.connect()
    writer.write(_head("GET", LARGE))
    while await reader.read(16):
        await asyncio.sleep(_DRIP_S)


async def asks_and_never_reads(target: Target) -> None:
    """Requests one behind the other, whose answers are left where they are."""
    _, writer = await target.connect()
    await _drip(writer, _head("GET", LARGE) * 20)


async def nonsense(target: Target) -> None:
    """Bytes that are no HTTP, and no TLS."""
    reader, writer = await target.connect(bare=True)
    writer.write(random.randbytes(random.randrange(1, 5000)))
    await reader.read()


async def huge_head(target: Target) -> None:
    """A head without an end, as fast as it goes."""
    reader, writer = await target.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    for number in range(200):
        writer.write(b"X-%d: %s\r\n" % (number, b"y" * 5000))
        await writer.drain()
    await reader.read()


async def huge_refused_body(target: Target) -> None:
    """A large upload with a wrong password, sent without waiting for an answer."""
    reader, writer = await target.connect(source=GUESSING_FROM)
    writer.write(_head("PUT", "/dav/guess", "Content-Length: 1000000000", password=f"guess {random.random()}"))
    for _ in range(100):
        writer.write(bytes(10_000))
        await writer.drain()
    await reader.read()


async def vanishes(target: Target) -> None:
    """An upload that is cut in its middle by a reset."""
    _, writer = await target.connect()
    writer.write(_head("PUT", "/dav/never-whole", "Transfer-Encoding: chunked") + b"FFFFF\r\n" + bytes(70_000))
    await writer.drain()
    writer.transport.abort()


KINDS: tuple[Callable[[Target], Awaitable[None]], ...] = (
    silent,
    silent_after_greeting,
    slow_head,
    slow_hello,
    slow_body,
    slow_reader,
    asks_and_never_reads,
    nonsense,
    huge_head,
    huge_refused_body,
    vanishes,
)


async def _again_and_again(kind: Callable[[Target], Awaitable[None]], target: Target, times: Counter[str]) -> None:
    await asyncio.sleep(random.uniform(0, _PAUSE_S))
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            times[kind.__name__] += 1
            await kind(target)
        await asyncio.sleep(_PAUSE_S)


async def _all(ports: list[int], authority: str | None) -> Counter[str]:
    tls = None if authority is None else ssl.create_default_context(cafile=authority)
    targets = [Target(port, tls) for port in ports]
    times: Counter[str] = Counter()
    crowd = [
        asyncio.create_task(_again_and_again(kind, targets[number % len(targets)], times))
        for kind in KINDS
        for number in range(OF_EACH)
    ]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for each in crowd:
        each.cancel()
    for ended in await asyncio.gather(*crowd, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise AssertionError("one of them gave up") from ended if isinstance(ended, BaseException) else None
    return times


class Hostile:
    """All kinds at work within a ``with`` block, at all nodes alike.

    ``times`` afterwards: how many connections of each there were.
    """

    def __init__(self, server: Server, authority: str | None = None) -> None:
        ports = ",".join(str(node.port) for node in server.turns())
        arguments = [ports, *([] if authority is None else [authority])]
        self._command = [sys.executable, "-m", "tests.server.hostile", *arguments]
        self.times: dict[str, int] = {}

    def __enter__(self) -> Hostile:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        printed, _ = self._process.communicate("", timeout=60)
        assert self._process.returncode == 0, printed
        self.times = json.loads(printed)


if __name__ == "__main__":
    at = [int(port) for port in sys.argv[1].split(",")]
    print(json.dumps(asyncio.run(_all(at, sys.argv[2] if len(sys.argv) > 2 else None))))

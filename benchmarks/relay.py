"""A relay on 127.0.0.1 that counts what goes through it: requests to an S3 store, messages to PostgreSQL.

Bytes pass as they came, in both directions, so that signatures and sessions hold. It speaks no TLS.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

_PIECE = 256 * 1024

Connect = Callable[[], socket.socket]


class Reader(Protocol):
    """Sees what one client sends, in pieces as they come."""

    def feed(self, data: bytes) -> None: ...


class Relay:
    """A context. ``counts`` is what all clients together have sent since ``clear``."""

    def __init__(self, connect: Connect, reader: Callable[[Relay], Reader]) -> None:
        self._connect = connect
        self._reader = reader
        self._mutex = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._socks: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, name="relay", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            socks = [self._listener, *self._socks]
        for sock in socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def count(self, what: str) -> None:
        with self._mutex:
            self.counts[what] += 1

    def clear(self) -> None:
        with self._mutex:
            self.counts.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = self._connect()
                with self._mutex:
                    self._socks |= {near, far}
                reader = self._reader(self)
                for source, target, see in ((near, far, reader.feed), (far, near, None)):
                    threading.Thread(target=self._pump, args=(source, target, see), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, see: Callable[[bytes], None] | None) -> None:
        with suppress(OSError):
            while data := source.recv(_PIECE):
                if see is not None:
                    see(data)
                target.sendall(data)
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class S3Reader:
    """Counts requests by what they ask for: ``PUT``, ``GET``, ``HEAD``, ``DELETE``, ``LIST``."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._head = b""
        self._body = 0

    def feed(self, data: bytes) -> None:
        while data:
            if self._body:
                passed = min(self._body, len(data))
                self._body -= passed
                data = data[passed:]
                continue
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            self._body = self._begin(head.decode("latin-1"))

    def _begin(self, head: str) -> int:
        """Length of the body that follows."""
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        self._relay.count("LIST" if "list-type" in parse_qs(urlsplit(target).query) else method)
        headers = {name.lower(): value for name, _, value in (line.partition(":") for line in lines)}
        return int(headers.get("content-length", "0"))


class PostgresqlReader:
    """Counts ``statements``, and ``trips``: how often the client waits for an answer."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> None:
        rest = self._rest + data
        while True:
            # The first message has no letter.
            letter = 1 if self._begun else 0
            if len(rest) < letter + 4:
                break
            length = letter + struct.unpack_from("!I", rest, letter)[0]
            if len(rest) < length:
                break
            if self._begun:
                self._see(rest[:1])
            self._begun = True
            rest = rest[length:]
        self._rest = rest

    def _see(self, letter: bytes) -> None:
        if letter in (b"Q", b"E"):
            self._relay.count("statements")
        if letter in (b"Q", b"S"):
            self._relay.count("trips")

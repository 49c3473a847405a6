"""A way to a server that harms what goes over it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Self


class Relay:
    """Passes connections on to ``port`` of this machine.

    ``up`` and ``down`` see each piece that goes to the server or comes from it, with its position among all bytes that
    went this way over the connection, and give the piece that goes on; None breaks the connection off.
    """

    def __init__(self, port: int) -> None:
        self.up: Callable[[int, bytes], bytes | None] = _unharmed
        self.down: Callable[[int, bytes], bytes | None] = _unharmed
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True, name="relay").start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept is woken by this alone.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=20)
            except OSError:
                client.close()
                continue
            for source, target, upwards in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, target, upwards), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, upwards: bool) -> None:
        position = 0
        try:
            while piece := source.recv(65536):
                passed = (self.up if upwards else self.down)(position, piece)
                if passed is None:
                    break
                target.sendall(passed)
                position += len(piece)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        source.close()


def _unharmed(position: int, piece: bytes) -> bytes:
    return piece


def flip(at: int) -> Callable[[int, bytes], bytes]:
    """Change the byte at this position."""

    def harm(position: int, piece: bytes) -> bytes:
        if not position <= at < position + len(piece):
            return piece
        changed = bytearray(piece)
        changed[at - position] ^= 1
        return bytes(changed)

    return harm


def cut(at: int, then: Callable[[], object] = lambda: None) -> Callable[[int, bytes], bytes | None]:
    """Break off at this position, after ``then`` was called."""

    def harm(position: int, piece: bytes) -> bytes | None:
        if position + len(piece) <= at:
            return piece
        then()
        return None

    return harm

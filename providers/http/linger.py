"""The lingering close (RFC 9112 §9.6).

Closing a socket whose peer is still sending makes the kernel reset the connection, and the peer may lose the answer
that says why (half of all clients never see their 401). So the sending side is closed first, and what still comes is
dropped for a while: in one thread for the whole process, never in a worker.

There are clients (all that use KIO) that send a whole body before they look at the answer, and take the end of the
stream for a broken connection if it comes before they have done so. Who is in the middle of a body therefore sees no
end while it sends.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass

from providers.http.limits import Limits

_SCRATCH_BYTES = 64 * 1024
_READS_PER_TURN = 8
# Beyond this many the next is closed at once: refusals must not cost more descriptors than requests.
_MOST = 1024


@dataclass(slots=True)
class _Peer:
    """``farewell``: what ends the sending side; None where it has ended. ``turn_bytes`` have come in this turn."""

    sock: socket.socket
    farewell: bytes | None
    deadline: float = 0.0
    last_deadline: float = 0.0
    turn_bytes: int = 0
    watched: bool = True
    closed: bool = False

    def end(self) -> None:
        """Send the farewell and no more."""
        with contextlib.suppress(OSError):
            if self.farewell:
                self.sock.send(self.farewell)
            self.sock.shutdown(socket.SHUT_WR)
        self.farewell = None


class Linger:
    """Takes over sockets on which the last answer was sent. The thread starts with the first of them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._arrived: deque[_Peer] = deque()
        # All wait equally long, so the first in is the first to expire.
        self._peers: deque[_Peer] = deque()
        self._waker: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._hurried = False
        self._closed_early = 0

    def __len__(self) -> int:
        return len(self._arrived) + len(self._peers) - self._closed_early

    def add(self, sock: socket.socket, farewell: bytes | None = None) -> None:
        """The socket belongs to the lingering thread from here on. Never blocks, never raises ``OSError``.

        With a ``farewell`` the peer is in the middle of a body and has a whole answer on its way: the sending side ends
        with these bytes, but not while the peer sends.
        """
        try:
            if farewell is None:
                sock.shutdown(socket.SHUT_WR)
            sock.setblocking(False)
        except OSError:
            sock.close()
            return
        with self._lock:
            if self._closing or len(self) >= _MOST:
                sock.close()
                return
            if self._waker is None:
                try:
                    self._waker, self._thread = self._start()
                except (OSError, RuntimeError):  # no descriptor or no thread to be had
                    sock.close()
                    return
            self._arrived.append(_Peer(sock, farewell))
            with contextlib.suppress(BlockingIOError):
                self._waker.send(b".")

    def hurry(self) -> None:
        """From now on nobody stays longer for sending."""
        self._hurried = True

    def close(self) -> None:
        """Cut off what lingers still and what comes later, and end the thread."""
        with self._lock:
            self._closing = True
        if self._waker is not None and self._thread is not None:
            with contextlib.suppress(BlockingIOError):
                self._waker.send(b".")
            self._thread.join()
            self._waker.close()

    def _start(self) -> tuple[socket.socket, threading.Thread]:
        with contextlib.ExitStack() as undo:
            ear, waker = socket.socketpair()
            undo.callback(ear.close)
            undo.callback(waker.close)
            ear.setblocking(False)
            waker.setblocking(False)
            selector = selectors.DefaultSelector()
            undo.callback(selector.close)
            selector.register(ear, selectors.EVENT_READ)
            thread = threading.Thread(target=self._run, args=(selector, ear), name="http-linger", daemon=True)
            thread.start()
            undo.pop_all()
        return waker, thread

    def _run(self, selector: selectors.BaseSelector, ear: socket.socket) -> None:
        scratch = bytearray(_SCRATCH_BYTES)
        while not self._closing:
            wait_s = max(0.0, self._peers[0].deadline - time.monotonic()) if self._peers else None
            for key, _ in selector.select(wait_s):
                if key.fileobj is ear:
                    ear.recv(4096)
                else:
                    self._drop(selector, key.data, scratch)
            self._admit(selector)
            self._expire(selector)
        for peer in (*self._arrived, *self._peers):
            peer.sock.close()
        selector.close()
        ear.close()

    def _admit(self, selector: selectors.BaseSelector) -> None:
        limits = self._limits
        while self._arrived:
            peer = self._arrived[0]
            now = time.monotonic()
            peer.deadline, peer.last_deadline = now + limits.linger_seconds, now + limits.linger_most_seconds
            try:
                selector.register(peer.sock, selectors.EVENT_READ, peer)
                self._peers.append(peer)
            except OSError:  # the kernel watches no more sockets
                peer.sock.close()
            self._arrived.popleft()

    def _drop(self, selector: selectors.BaseSelector, peer: _Peer, scratch: bytearray) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                count = peer.sock.recv_into(scratch)
            except BlockingIOError:
                return
            except OSError:
                count = 0
            if not count:
                selector.unregister(peer.sock)
                peer.sock.close()
                peer.closed = True
                self._closed_early += 1
                return
            peer.turn_bytes += count
            if peer.farewell is None and peer.turn_bytes >= self._limits.linger_bytes:
                # Not closed before its time: a peer that reads while it sends would lose the answer to the reset.
                # Until then flow control stops it.
                selector.unregister(peer.sock)
                peer.watched = False
                return

    def _expire(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        while self._peers and (self._peers[0].closed or self._peers[0].deadline <= now):
            peer = self._peers.popleft()
            if peer.closed:
                self._closed_early -= 1
                continue
            if self._goes_on(peer, now):
                peer.deadline, peer.turn_bytes = now + self._limits.linger_seconds, 0
                self._peers.append(peer)
                continue
            if peer.watched:
                selector.unregister(peer.sock)
            if peer.farewell is not None:
                peer.end()
            peer.sock.close()

    def _goes_on(self, peer: _Peer, now: float) -> bool:
        """Whether it is in the middle of its body still, and has not had its time."""
        sends = peer.farewell is not None and peer.turn_bytes >= self._limits.linger_turn_bytes
        return sends and now < peer.last_deadline and not self._hurried

"""Who keeps a thread without making use of it, and what is done when such requests take most of a worker's threads.

A body that drips in and an answer that nobody reads hold their thread while it waits in the kernel. Some of them do no
harm, and a client may be as slow as it is. Only while they hold more than half of the threads and no thread is idle,
some are cut off: the slowest of the address that has most of them, so that who is slow alone is the last.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

FLOOR = 1024
"""Bytes a second. Who is faster is never cut off."""
TICK_S = 0.25
"""How often to look while requests are being answered."""

# What a request waits for in the kernel; empty while it does something.
Awaits = Literal["", "body", "answer"]

# A client is as fast as it was within this time.
_WINDOW_S = 1.0
# Of Linux's struct tcp_info: bytes that the peer has confirmed, and bytes that came from it.
_TCP_BYTES = struct.Struct("=120xQQ")
_TCP_INFO = getattr(socket, "TCP_INFO", None)


class Peer(Protocol):
    """What is looked at: a connection whose request is being answered."""

    sock: socket.socket
    share: str
    awaits: Awaits

    def cut(self) -> None:
        """Let its request end now, whatever it waits for. Any thread."""


@dataclass(slots=True)
class _Pace:
    awaits: Awaits
    since: float
    moved: int
    # Bytes a second; None until a window is full.
    rate: float | None = None


class Pace:
    """Used by the selector's thread. Where the kernel does not tell how many bytes passed, nobody is cut off."""

    def __init__(
        self,
        running: set[Peer],
        *,
        threads: int,
        idle: Callable[[], int],
        waiting: Callable[[], int],
    ) -> None:
        """``running`` changes meanwhile; ``idle`` threads have nothing to do, ``waiting`` requests have no thread."""
        self._running = running
        self._threads = threads
        self._idle = idle
        self._waiting = waiting
        self._paces: dict[Peer, _Pace] = {}

    def look(self, now: float) -> None:
        """To be called every ``TICK_S``."""
        most = self._threads // 2
        running = self._running.copy()
        if len(running) <= most:
            self._paces.clear()
            return
        self._paces = {peer: pace for peer in running if (pace := self._measured(peer, now)) is not None}
        slow = {peer: pace.rate for peer, pace in self._paces.items() if pace.rate is not None and pace.rate < FLOOR}
        if len(slow) > most and not self._idle():
            for peer in _chosen(slow, most, self._waiting()):
                del self._paces[peer]
                peer.cut()

    def _measured(self, peer: Peer, now: float) -> _Pace | None:
        awaits = peer.awaits
        moved = _moved(peer.sock, awaits) if awaits else None
        if moved is None:
            return None
        pace = self._paces.get(peer)
        if pace is None or pace.awaits != awaits:
            return _Pace(awaits, now, moved)
        if now - pace.since >= _WINDOW_S:
            pace.rate = (moved - pace.moved) / (now - pace.since)
            pace.since, pace.moved = now, moved
        return pace


def _chosen(slow: dict[Peer, float], most: int, waiting: int) -> list[Peer]:
    """Of the address that has most left, the slowest; until no more than ``most`` are left, and so many go as wait.

    The only one of its address does not go for those that wait.
    """
    by_share: dict[str, list[Peer]] = {}
    for peer in sorted(slow, key=slow.__getitem__, reverse=True):
        by_share.setdefault(peer.share, []).append(peer)
    chosen: list[Peer] = []
    while len(chosen) < len(slow):
        peers = max(by_share.values(), key=lambda peers: (len(peers), -slow[peers[-1]] if peers else 0.0))
        if len(slow) - len(chosen) <= most and (len(chosen) >= waiting or len(peers) == 1):
            break
        chosen.append(peers.pop())
    return chosen


def _moved(sock: socket.socket, awaits: Awaits) -> int | None:
    """Bytes that have passed on this connection in the direction that is waited for."""
    if _TCP_INFO is None:
        return None
    try:
        confirmed: int
        received: int
        confirmed, received = _TCP_BYTES.unpack(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TCP_BYTES.size))
    except (OSError, struct.error):  # closed meanwhile, or an older kernel
        return None
    return received if awaits == "body" else confirmed

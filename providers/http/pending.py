"""Connections whose requests wait for an answer that comes later (``providers.http.later``)."""

from __future__ import annotations

import contextlib
import resource
import selectors
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from providers.http.connection import Connection
from providers.http.later import Later
from providers.http.service import Service

# Of the descriptors that a process may have; the rest is for those who ask something.
_SHARE = 0.75
_MOST = 1 << 20
_GRACE_S = 5.0


class Selector(Protocol):
    """Of the selector's thread."""

    def register(self, fileobj: object, events: int, data: object) -> object: ...
    def unregister(self, fileobj: object) -> object: ...


class Pending:
    """They belong to the selector's thread, which watches whether their peers are still there.

    They do not count among an address's connections: where it has too many, the silent ones go, and these are silent
    because we are. Nor do they for some seconds after the answer, in which most ask again. When a process holds as many
    as its descriptors allow, the address that has most of them has the one that has waited longest answered before its
    time.
    """

    def __init__(
        self, selector: Selector, service: Service, hand_over: Callable[[Connection], None], poke: Callable[[], None]
    ) -> None:
        """``hand_over`` gives a connection to a worker; ``poke`` makes the selector's thread call ``look``."""
        self._selector = selector
        self._service = service
        self._hand_over = hand_over
        self._poke = poke
        self._most = most_at_once()
        # The one that has waited longest stands first.
        self._held: dict[Connection, Later] = {}
        self._shares: Counter[str] = Counter()
        self._arrived: deque[Connection] = deque()
        self._woken: deque[tuple[Connection, Later]] = deque()
        # Since when; they do not count yet.
        self._answered: dict[Connection, float] = {}

    def __len__(self) -> int:
        return len(self._held) + len(self._arrived)

    def put(self, conn: Connection) -> None:
        """Take a connection with a pending request. Any thread; never raises."""
        self._arrived.append(conn)
        self._poke()

    def look(self) -> None:
        """Deal with what other threads have brought."""
        while self._arrived:
            self._admit(self._arrived.popleft())
        while self._woken:
            conn, later = self._woken.popleft()
            # It may have been answered since, and have another request that waits.
            if self._held.get(conn) is later:
                self._release(conn)

    def heard(self, conn: Connection) -> None:
        """Something came on a connection: the peer's end, or what it asks next."""
        if conn not in self._held:
            return
        if not conn.hear():
            self._take(conn)
            conn.abandon()
        elif conn.buffered > conn.trailer_bytes:
            self._unwatch(conn)  # flow control stops it until it is answered

    def expire(self, now: float) -> None:
        """Let those be answered whose time has come; those that were answered a while ago count again."""
        for conn in [conn for conn, later in self._held.items() if later.deadline <= now]:
            self._release(conn)
        for conn in [conn for conn, since in self._answered.items() if since + _GRACE_S <= now]:
            del self._answered[conn]
            self._count(conn)

    def close(self) -> None:
        """Let all be answered, as the selector's thread does no more."""
        while self._arrived:
            self._hand_over(self._arrived.popleft())
        for conn in list(self._held):
            self._release(conn)

    def _admit(self, conn: Connection) -> None:
        request = conn.pending
        assert request is not None
        assert request.later is not None
        later = request.later
        self._held[conn] = later
        self._answered.pop(conn, None)
        self._service.addresses.drop(conn)
        # One that the kernel does not watch waits all the same; that its peer goes is seen when it is answered.
        with contextlib.suppress(OSError, ValueError, KeyError):
            self._selector.register(conn.sock.fileno(), selectors.EVENT_READ, conn)
        later.begin(lambda: self._wake(conn, later))
        self._shares[conn.share] += 1
        if len(self._held) > self._most:
            ((share, _),) = self._shares.most_common(1)
            self._release(next(each for each in self._held if each.share == share))

    def _wake(self, conn: Connection, later: Later) -> None:
        self._woken.append((conn, later))
        self._poke()

    def _release(self, conn: Connection) -> None:
        self._take(conn)
        self._answered[conn] = time.monotonic()
        self._hand_over(conn)

    def _count(self, conn: Connection) -> None:
        """Unless it is closed by now; it may be so at any moment."""
        load, addresses = self._service.load, self._service.addresses
        addresses.add(conn)
        if not load.has(conn):
            addresses.drop(conn)

    def _take(self, conn: Connection) -> None:
        self._unwatch(conn)
        self._shares[conn.share] -= 1
        if not self._shares[conn.share]:
            del self._shares[conn.share]
        self._held.pop(conn).end()

    def _unwatch(self, conn: Connection) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(conn.sock.fileno())


def most_at_once() -> int:
    """As many as a process of this many descriptors may hold."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, max(1, int(soft * _SHARE)))

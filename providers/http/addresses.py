"""How many connections each address has open to this process."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Held(Protocol):
    """What is counted: something of an address."""

    share: str


_H = TypeVar("_H", bound=Held)


def share_of(address: str) -> str:
    """Whom a peer's address stands for: itself; of IPv6 its /64, within which one machine may take any."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(found.ipv4_mapped or ipaddress.IPv6Address(int(found) >> 64 << 64))


class Addresses(Generic[_H]):
    """Any thread. ``most`` is the share of one address, 0 for no limit; ``exempt(share)`` tells who has none.

    An address behind which many people are, a proxy's, has to be exempt.
    """

    def __init__(self, most: int, exempt: Callable[[str], bool]) -> None:
        self._most = most
        self._exempt = exempt
        self._mutex = threading.Lock()
        self._held: dict[str, set[_H]] = {}

    def add(self, connection: _H) -> None:
        with self._mutex:
            self._held.setdefault(connection.share, set()).add(connection)

    def drop(self, connection: _H) -> None:
        """Also if it was dropped before."""
        with self._mutex:
            held = self._held.get(connection.share)
            if held is not None:
                held.discard(connection)
                if not held:
                    del self._held[connection.share]

    def surplus(self, share: str) -> tuple[int, list[_H]]:
        """How many connections this address has beyond its share, and which it has; (0, []) if none."""
        beyond = len(self._held.get(share, ())) - self._most
        if not self._most or beyond <= 0 or self._exempt(share):
            return 0, []
        with self._mutex:
            return beyond, list(self._held.get(share, ()))

    def crowded(self) -> list[str]:
        """The addresses with more than their share, exempt ones among them."""
        if not self._most:
            return []
        with self._mutex:
            return [share for share, held in self._held.items() if len(held) > self._most]

"""What one client may cost."""

from __future__ import annotations

from dataclasses import dataclass

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection, and of one address.

    ``header_bytes`` bounds a request's head, and the trailer of a chunked body; ``header_seconds`` runs from the first
    byte of a head to its last. ``idle_seconds`` is the life of a connection on which nothing happens.
    ``body_stall_seconds`` is the longest silence within a body, in both directions. ``drain_bytes`` of an unread body
    that are on their way save the connection; where more would come, or later, it is closed after at most
    ``linger_bytes`` and ``linger_seconds`` of dropping (RFC 9112 §9.6). A client in the middle of a body has
    ``linger_seconds`` again after each in which it sent ``linger_turn_bytes``, for ``linger_most_seconds`` in all: some
    see an answer only when they have sent everything. ``hsts_seconds`` is told over TLS only; 0:
    nothing is. ``connections_per_address`` is the number of open ones; 0: no limit.
    """

    header_bytes: int = 64 * _KIB
    header_seconds: float = 20.0
    idle_seconds: float = 120.0
    body_stall_seconds: float = 60.0
    linger_bytes: int = 4 * _KIB * _KIB
    linger_seconds: float = 2.0
    linger_turn_bytes: int = 64 * _KIB
    linger_most_seconds: float = 600.0
    drain_bytes: int = 64 * _KIB
    hsts_seconds: int = 0
    connections_per_address: int = 256

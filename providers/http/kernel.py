"""What system calls of a socket are given, and what they left."""

from __future__ import annotations

import struct

RESETTING = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing resets the connection, and drops what is unsent."""


def timeval(seconds: float) -> bytes:
    """For SO_RCVTIMEO and SO_SNDTIMEO. Never zero, which would mean for ever."""
    return struct.pack("ll", int(seconds), max(1, int(seconds % 1 * 1_000_000)))


def unsent(window: list[memoryview], sent: int) -> list[memoryview]:
    """What is left of several pieces of which the kernel took so many bytes."""
    rest: list[memoryview] = []
    for piece in window:
        if sent >= len(piece):
            sent -= len(piece)
        else:
            rest.append(piece[sent:])
            sent = 0
    return rest

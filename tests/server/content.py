"""Content to store."""

from __future__ import annotations

import random

_PIECE = 8_000_000


def noise(size: int, seed: int = 1) -> bytes:
    """Incompressible bytes; the same ones for the same seed, and a longer one begins with a shorter one's bytes."""
    source = random.Random(seed)
    pieces = [source.randbytes(_PIECE) for _ in range(size // _PIECE)]
    return b"".join([*pieces, source.randbytes(_PIECE)[: size % _PIECE]])


def chunked(body: bytes, sizes: list[int]) -> bytes:
    """The body in the chunked transfer coding (RFC 9112 §7.1), in chunks of these sizes, over and over."""
    coded = bytearray()
    at = number = 0
    while at < len(body):
        chunk = body[at : at + sizes[number % len(sizes)]]
        coded += b"%x\r\n%s\r\n" % (len(chunk), chunk)
        at += len(chunk)
        number += 1
    return bytes(coded + b"0\r\n\r\n")

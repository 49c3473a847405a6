"""Small changes that make of what a client sends what none would."""

from __future__ import annotations

import random

_TOKENS = (
    b"\r\n", b"\n", b"\0", b" ", b"\t", b";", b",", b":", b"=", b"%", b"%00", b"%2F", b"\xff", b"<", b">", b"&", b"]]>",
    b'"', b"(", b")", b"0", b"-1", b"99999999999999999999", b"ffffffffffffffff", b"chunked", b"HTTP/1.1",
    b"<!DOCTYPE x>",
)  # fmt: skip


def changed(data: bytes, chance: random.Random) -> bytes:
    """A neighbour of what a client would send."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(made) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            made[at:at] = chance.choice(_TOKENS)
        elif kind == 1:
            del made[at : at + chance.choice((1, 2, 10))]
        elif kind == 2 and at < len(made):
            made[at] = chance.randrange(256)
        elif kind == 3:
            made[at:at] = made[at : at + 20] * chance.choice((1, 2, 50))
        elif kind == 4:
            made = made[:at]
        else:
            made[at:at] = chance.choice(_TOKENS) * chance.choice((1, 10, 200))
    return bytes(made)

"""A group: bytes received together, cut into chunks, and handed on to a pack in as few pieces as they can be."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from appliance.backends.base import Buffer
from appliance.chunks.channel import Block
from appliance.chunks.codec import RAW
from appliance.chunks.pack import Record

GROUP = 1_048_576
"""Bytes received before the next step begins with them."""


class Found(NamedTuple):
    """A chunk of a group, where it begins there, hashed; the last three only if the store does not have it."""

    id: bytes
    start: int
    length: int
    is_new: bool
    codec: int = RAW
    xxh3: int = 0
    stored: Buffer = b""


class Buffers:
    """Blocks of memory that are used again; a fresh one costs a page fault every 4 KiB."""

    def __init__(self, size: int, *, kept: int) -> None:
        self._size = size
        self._free: deque[bytearray] = deque(maxlen=kept)

    def take(self) -> bytearray:
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(self._size)

    def give_back(self, buffer: bytearray) -> None:
        self._free.append(buffer)


class Lent:
    """A buffer that several hold: the pipeline first, then what is raw in it until it is written."""

    def __init__(self, buffers: Buffers, buffer: bytearray) -> None:
        self._buffers = buffers
        self._buffer = buffer
        self._holders = 1
        self._mutex = threading.Lock()

    def lend(self, start: int, end: int) -> Block:
        """A part of it, held until the block is done."""
        with self._mutex:
            self._holders += 1
        return Block(memoryview(self._buffer)[start:end], self.let_go)

    def let_go(self) -> None:
        with self._mutex:
            self._holders -= 1
            free = self._holders == 0
        if free:
            self._buffers.give_back(self._buffer)


def large_pieces(new: list[Found], lent: Lent) -> Iterator[tuple[list[Found], Block]]:
    """The chunks in their order, as few pieces: what is written in large ones is written, and read again, faster.

    Raw chunks are still in the buffer in which they came. Where they are most of a group they stay there, and
    neighbours make one piece; else all is copied, so that a few of them do not keep a whole buffer from its next use.
    """
    if sum(each.length for each in new if each.codec == RAW) <= GROUP // 2:
        yield new, Block(b"".join(each.stored for each in new))
        return
    for together in _alike(new):
        first, last = together[0], together[-1]
        if first.codec == RAW:
            yield together, lent.lend(first.start, last.start + last.length)
        else:
            yield together, Block(b"".join(each.stored for each in together))


def _alike(new: list[Found]) -> Iterator[list[Found]]:
    """Runs of compressed chunks, and of raw ones that came side by side."""
    together: list[Found] = []
    for each in new:
        if together:
            last = together[-1]
            apart = each.codec == RAW and last.start + last.length != each.start
            if apart or (each.codec == RAW) != (last.codec == RAW):
                yield together
                together = []
        together.append(each)
    yield together


def records(together: list[Found]) -> Iterator[Record]:
    """What a pack's index says of them; offsets count from the first."""
    offset = 0
    for each in together:
        size = len(each.stored)
        yield Record(each.id, offset, size, each.length, each.codec, each.xxh3)
        offset += size

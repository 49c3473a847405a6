"""Large blocks of memory that are used again: what is new to a process costs a page fault every 4 KiB, which is more
than filling it does.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

_STEP = 1_048_576
# Smaller ones come from memory that is used already.
_LEAST = _STEP // 2


class Reused:
    """Blocks that nobody has any more are given out again. Any thread.

    Nobody gives one back: it counts as free once nothing refers to it, a view of it or of a part of it included. So it
    may be handed on to anybody, and be kept for any time.
    """

    def __init__(self, kept: int) -> None:
        """At most ``kept`` bytes stay with the process; what is given out beyond them is freed after its use."""
        self._most = kept
        self._kept: list[bytearray] = []
        self._mutex = threading.Lock()

    def take(self, size: int) -> memoryview:
        """So many bytes of any content, to be written to."""
        if size < _LEAST:
            return memoryview(bytearray(size))
        with self._mutex:
            block = next((block for block in self._free() if size <= len(block) <= 2 * size), None)
            if block is None:
                block = bytearray(-(-size // _STEP) * _STEP)
                self._keep(block)
            return memoryview(block)[:size]

    @property
    def kept(self) -> int:
        """Bytes that stay."""
        return sum(map(len, self._kept))

    def _keep(self, block: bytearray) -> None:
        """In place of free ones, which may be of a size that nobody asks for any more."""
        if len(block) > self._most:
            return
        excess = self.kept + len(block) - self._most
        for free in list(self._free()) if excess > 0 else []:
            self._kept = [old for old in self._kept if old is not free]
            excess -= len(free)
            if excess <= 0:
                break
        if excess <= 0:
            self._kept.append(block)

    def _free(self) -> Iterator[bytearray]:
        for block in self._kept:
            if sys.getrefcount(block) == _UNUSED:
                yield block


def _count_unused() -> int:
    """What is counted for a block that only a list has, and the loop that looks at it."""
    for block in [bytearray(1)]:
        return sys.getrefcount(block)
    raise AssertionError


_UNUSED = _count_unused()

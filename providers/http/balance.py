"""Which of several processes takes the next connection: the one that holds fewest.

All of them wait on one listening socket, and the kernel wakes them for each connection. The one that has just been
busy is the first to be there again, so it alone would take a burst of connections, and answer them one after the other
while the others have nothing to do.
"""

from __future__ import annotations

import mmap

_SLOT_BYTES = 8


class Tally:
    """How many connections each of ``count`` processes holds. Make it before the processes are forked."""

    def __init__(self, count: int) -> None:
        self._slots = memoryview(mmap.mmap(-1, count * _SLOT_BYTES)).cast("q")

    def load(self, number: int) -> Load:
        """That of the process ``number``, from 0; whatever its predecessor held is forgotten."""
        return Load(self._slots, number)


class Load:
    """One process's connections. Any thread.

    Only a hint: the numbers of the others may be old, and that of a process that died stays until its successor comes.
    """

    def __init__(self, slots: memoryview, number: int) -> None:
        self._slots = slots
        self._number = number
        # Adding to a set is atomic, adding to a number is not.
        self._held: set[object] = set()
        slots[number] = 0

    def add(self, connection: object) -> None:
        self._held.add(connection)
        self._slots[self._number] = len(self._held)

    def drop(self, connection: object) -> None:
        """Also if it was dropped before."""
        self._held.discard(connection)
        self._slots[self._number] = len(self._held)

    def has(self, connection: object) -> bool:
        """Whether it was added and not dropped since."""
        return connection in self._held

    @property
    def is_ahead(self) -> bool:
        """Whether another process holds fewer."""
        return len(self._held) > min(self._slots)

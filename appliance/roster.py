"""Who works here: the processes of this server, in memory that they share. Nothing is written to a disk for it.

Made before the processes are forked. Each has a seat that it alone writes; anybody reads all of them.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import NamedTuple

from appliance import clock

BEAT_S = 5.0
"""How often a process says that it is alive."""
SILENT_S = 30
"""A process that said nothing for so long is stuck, or gone."""

_FIELDS = 3
_FIELD_BYTES = 8


class Process(NamedTuple):
    """``pid`` is 0 before the first start. Times in microseconds; a process that died keeps its last ones."""

    name: str
    pid: int
    started_at: int
    seen_at: int

    def is_silent(self, now: int) -> bool:
        """Whether it should have said something by now."""
        return now - self.seen_at > SILENT_S * clock.SECOND


class Roster:
    """A seat for each of ``names``."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._slots = memoryview(mmap.mmap(-1, len(names) * _FIELDS * _FIELD_BYTES)).cast("q")

    def seat(self, number: int) -> Seat:
        """That of the process ``number``, from 0, for the process itself: it has begun now."""
        return Seat(self._slots[number * _FIELDS : (number + 1) * _FIELDS])

    def processes(self) -> list[Process]:
        """In the order of the names."""
        return [
            Process(name, *self._slots[number * _FIELDS : (number + 1) * _FIELDS])
            for number, name in enumerate(self._names)
        ]


class Seat:
    """One process's own."""

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots
        slots[0], slots[1] = os.getpid(), clock.now()
        self.beat()

    def beat(self) -> None:
        """Say that this process is alive; call it every ``BEAT_S``."""
        self._slots[2] = clock.now()

"""Whether a transaction may write: each looks at the row that says where the store is (table ``location``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from appliance.db.sql import Row
from appliance.errors import HoldfastError, Moved, ReadOnly

T = TypeVar("T")

LOOK = "SELECT generation, frozen_at, moved_to FROM location WHERE id = 1"
"""For both databases, without parameters: it is run with the statement that begins the transaction."""

WRITERS_LOCK = 0x686F6C65
"""PostgreSQL's: shared by every write; who has it alone waits for all of them, and keeps others from beginning."""

# Each time something else may have changed meanwhile; a person does not do so often.
_MOST = 10


class Behind(Moved):
    """Blobs are elsewhere by now, of which this process has not heard; it can follow."""


class Guard:
    """What a process knows of the place that it writes to. Any thread; one for all its connections to a store."""

    def __init__(self) -> None:
        # None until the first look.
        self.generation: int | None = None
        # Where blobs are put is known as of this one, or a later one.
        self._opened: int | None = None
        self._follow: Callable[[], object] | None = None

    def expect(self, generation: int) -> None:
        """Let nothing be written once the store has another generation: something is elsewhere then."""
        self.generation = self._opened = generation

    def follow_with(self, follow: Callable[[], object]) -> None:
        """Have ``follow`` called in place of refusing. It opens blobs where they are now, and tells (``expect``)."""
        self._follow = follow

    def tolerate(self, generation: int) -> None:
        """Write on, although the blobs of that generation could not be opened: they are still put where they were."""
        self.generation = generation

    @property
    def opened(self) -> int:
        """Blobs that are put from now on are put where they are as of this generation, or a later one."""
        return self._opened or self.generation or 1

    def look(self, generation: int) -> None:
        """Follow, if the row has another generation than that of which this process has its blobs open."""
        if self._follow is not None and generation != self.opened:
            self._follow()

    def refusal(self, row: Row | None) -> HoldfastError | None:
        """Why what ``LOOK`` found keeps this process from writing; None: it does not. A new store has no row."""
        if row is None:
            return None
        generation, frozen_at, moved_to = row
        if moved_to:
            return Moved(where=moved_to)
        if frozen_at is not None:
            return ReadOnly()
        if self.generation is None:
            self.generation = generation
        if generation == self.generation:
            return None
        return Moved() if self._follow is None else Behind()

    def guarded(self, attempt: Callable[[], T]) -> T:
        """``attempt`` to write; once more if this process had to follow first. Nothing was written then."""
        for _ in range(_MOST):
            try:
                return attempt()
            except Behind:
                assert self._follow is not None
                # Behind the transaction: it may take a while, and needs connections itself.
                self._follow()
        return attempt()

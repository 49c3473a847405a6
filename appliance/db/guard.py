"""Whether a transaction may write: each looks at the row that says where the store is (table ``location``)."""

from __future__ import annotations

from appliance.db.sql import Row
from appliance.errors import HoldfastError, Moved, ReadOnly

LOOK = "SELECT generation, frozen_at, moved_to FROM location WHERE id = 1"
"""For both databases, without parameters: it is run with the statement that begins the transaction."""


class Guard:
    """What a process knows of the place that it writes to. Any thread."""

    def __init__(self) -> None:
        # None until the first look.
        self.generation: int | None = None

    def expect(self, generation: int) -> None:
        """Let nothing be written once the store has another generation: something is elsewhere then."""
        self.generation = generation

    def refusal(self, row: Row | None) -> HoldfastError | None:
        """Why what ``LOOK`` found keeps this process from writing; None: it does not. Without a row a store is new."""
        if row is None:
            return None
        generation, frozen_at, moved_to = row
        if moved_to:
            return Moved(where=moved_to)
        if frozen_at is not None:
            return ReadOnly()
        if self.generation is None:
            self.generation = generation
        return None if generation == self.generation else Moved()

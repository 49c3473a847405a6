"""How much of each pack is used: by chunks, and by what is in quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from appliance.chunks.pack import ENTRY_SIZE, FRAME_SIZE, pack_key
from appliance.db.database import Database
from appliance.db.sql import Row, Sql
from appliance.upkeep.check_ids import IdNumbers
from appliance.upkeep.paging import LEAST, newest, paged

_PACKS = Sql("""
    SELECT id, writer_id, counter, size FROM pack WHERE id > :id AND dropped_at IS NULL ORDER BY id LIMIT 5000
""")
_HELD = Sql("SELECT id, pack_id, stored FROM forgotten WHERE id > :id ORDER BY id LIMIT 5000")


class Weighed(NamedTuple):
    """A pack, and how many of its bytes chunks need, with their entries in the index; 0: none."""

    id: int
    key: str
    size: int
    used: int

    def is_heavy(self, dead_percent: int) -> bool:
        """Whether so much of it is dead weight that it should be written anew."""
        dead = self.size - self.used - FRAME_SIZE
        return self.used > 0 and dead * 100 >= self.size * dead_percent


class Weights:
    """Of the packs that are there when it is made: no chunk can come to lie in one of these that holds none later."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # One more than the bytes, so that 0 is left for what was not there.
        self._used = IdNumbers()
        for pack_id, _, _, _ in self._rows():
            self._used[pack_id] = 1

    def add(self, pack_id: int, stored: int) -> None:
        """A row that names the pack."""
        if self._used[pack_id]:
            self._used[pack_id] += stored + ENTRY_SIZE

    def add_held(self, pause: Callable[[], None]) -> None:
        """What is in quarantine. Behind the rows of chunks: one that is forgotten meanwhile counts twice, or once."""
        for page in paged(newest(self._database), _HELD, {"id": LEAST}):
            pause()
            for _, pack_id, stored in page:
                self.add(pack_id, stored)

    def packs(self) -> Iterator[Weighed]:
        """Those that are still there, in the order of their ids."""
        for pack_id, writer_id, counter, size in self._rows():
            if self._used[pack_id]:
                yield Weighed(pack_id, pack_key(writer_id, counter), size, self._used[pack_id] - 1)

    def _rows(self) -> Iterator[Row]:
        for page in paged(newest(self._database), _PACKS, {"id": LEAST}):
            yield from page

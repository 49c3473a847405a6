"""Copying all rows from one database to another, and making both the same while nothing changes.

The first copy is made of a snapshot, while people go on writing. Runs of some thousand rows are compared afterwards, by
a digest that both sides compute at the same time, and only those that differ are copied again. So the time for which
the store is read-only is that of reading both once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from appliance import faults
from appliance.errors import MoveFailed
from appliance.moving.shape import Bounds, Digest, Key, Shape
from appliance.moving.side import Lines, Side
from appliance.upkeep.check_report import Progress, Steps

# A run ends after so many rows, or bytes of them.
_RUN_ROWS = 10_000
_RUN_BYTES = 2_097_152
_TELL_EVERY = 50

Place = tuple[Shape, Bounds]


class Copy:
    """From ``source`` to ``target``, whose tables are there. One thread uses it."""

    def __init__(
        self, source: Side, target: Side, shapes: Sequence[Shape], progress: Callable[[Progress], None] | None = None
    ) -> None:
        self._source = source
        self._target = target
        self._shapes = shapes
        self._steps = Steps(progress)
        self._runs: dict[str, list[Bounds]] = {}
        self._copied = 0

    def all(self) -> int:
        """All rows, as they are now, into empty tables; how many there were."""
        indexes = self._target.drop_indexes()
        with self._source.snapshot():
            self._steps.begin("rows", sum(map(self._source.count, self._shapes)), "rows")
            for shape in self._shapes:
                ends: list[Key] = []
                self._target.load(shape, self._told(shape, ends))
                bounds = [Bounds(*each) for each in pairwise([None, *ends, None])] if ends else [Bounds()]
                self._runs[shape.name] = bounds
                faults.point("move.table")
        self._steps.begin("indexes", len(indexes), "indexes")
        for statement in indexes:
            self._target.make_index(statement)
            self._steps.advance(1)
        self._target.settle()
        return self._copied

    def _told(self, shape: Shape, ends: list[Key]) -> Iterator[Lines]:
        rows = size = 0
        for lines in self._source.read(shape, Bounds()):
            yield lines
            self._copied += len(lines)
            self._steps.advance(len(lines))
            rows += len(lines)
            size += sum(map(len, lines))
            if shape.is_cut and (rows >= _RUN_ROWS or size >= _RUN_BYTES):
                ends.append(shape.key_of(lines[-1]))
                rows = size = 0

    def catch_up(self) -> int:
        """Copy again what has changed since; how many runs that were. It may change meanwhile."""
        # In one state: what has the name of something else by now would be there twice.
        with self._source.snapshot():
            differ, _ = self._differing(self._places(), "what changed")
            self._repeat(differ)
        return len(differ)

    def equalize(self) -> Digest:
        """The same, of a store that nobody writes to: then both are the same to the last row, with what is to number
        the next ones. Returns how many rows there are, and their digest.

        Raises:
            MoveFailed: they are not, and nobody knows why.
        """
        differ, digest = self._differing(self._places(), "verified")
        self._repeat(differ)
        faults.point("move.caught-up")
        left, _ = self._differing(differ, "verified again")
        if left:
            raise MoveFailed(problem=f"rows of the table {left[0][0].name} are not the same after they were copied")
        self._target.keep_ids(self._source.last_ids(self._shapes))
        return digest

    def _places(self) -> list[Place]:
        return [(shape, bounds) for shape in self._shapes for bounds in self._runs[shape.name]]

    def _differing(self, places: list[Place], step: str) -> tuple[list[Place], Digest]:
        self._steps.begin(step, len(places), "runs of rows")

        def digests(side: Side, tell: bool) -> list[Digest]:
            found = []
            for number, (shape, bounds) in enumerate(places):
                found.append(side.digest(shape, bounds))
                if tell and number % _TELL_EVERY == 0:
                    self._steps.advance(_TELL_EVERY)
            return found

        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(digests, self._source, True)
            other = pool.submit(digests, self._target, False)
            found = list(zip(places, one.result(), other.result(), strict=True))
        total = Digest()
        for _, digest, _ in found:
            total = total.plus(digest)
        return [place for place, digest, there in found if digest != there], total

    def _repeat(self, places: list[Place]) -> None:
        """All of a table's together: a name may have gone from one run to another."""
        for shape in self._shapes:
            runs = [bounds for other, bounds in places if other is shape]
            if not runs:
                continue
            with self._target.transaction():
                for bounds in runs:
                    self._target.clear(shape, bounds)
                for bounds in runs:
                    self._target.load(shape, self._source.read(shape, bounds))

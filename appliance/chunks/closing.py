"""Full packs of a stream on their way into the store: several at a time, their rows one after the other, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from appliance import faults
from appliance.chunks.allowance import Allowance
from appliance.chunks.manifest import Segment
from appliance.chunks.packing import OpenPack, StoredPack

Commit = Callable[[StoredPack, list[Segment]], object]


class _Full(NamedTuple):
    """A pack whose rows are not committed yet."""

    thread: threading.Thread
    fresh: set[bytes]
    extra: int


class Closing:
    """Of one stream, whose thread alone calls it."""

    def __init__(self, commit: Commit, most: int, allowance: Allowance) -> None:
        """At most ``most`` packs are under way; all but one of them take their bytes from the allowance."""
        self._commit = commit
        self._most = most
        self._allowance = allowance
        self._full: deque[_Full] = deque()
        self._errors: list[BaseException] = []

    def add(self, pack: OpenPack, fresh: set[bytes], segments: list[Segment]) -> None:
        """Let a full pack be stored, then its rows be committed with those of ``segments``, in the background.

        Waits while too many are under way. Raises what storing an earlier one raised.
        """
        extra = self._room_for(pack.size)
        before = self._full[-1].thread if self._full else None
        try:
            stored = pack.close()
            thread = threading.Thread(
                target=self._finish, args=(stored, segments, before), name="pack rows", daemon=True
            )
            thread.start()
        except BaseException:
            self._allowance.give_back(extra)
            raise
        self._full.append(_Full(thread, fresh, extra))

    def _room_for(self, size: int) -> int:
        """Wait until one more may be under way; returns what it took of the allowance."""
        self._raise_error()
        while self._full and not self._full[0].thread.is_alive():
            self._wait_oldest()
        while self._full:
            if len(self._full) < self._most and self._allowance.take(size):
                return size
            self._wait_oldest()
        return 0

    def _finish(
        self, stored: Callable[[], StoredPack], segments: list[Segment], before: threading.Thread | None
    ) -> None:
        """Runs in a thread of its own. What was stored gets its rows also if an earlier one failed, so that prune
        finds it, and not only who looks when this process has ended; but no segment may name what has none.
        """
        try:
            try:
                pack = stored()
            finally:
                if before is not None:
                    before.join()
            faults.point("pack.rows")
            self._commit(pack, [] if self._errors else segments)
        except BaseException as error:  # noqa: BLE001 - raised again in the stream's own thread
            self._errors.append(error)

    def holds(self, chunk_id: bytes) -> bool:
        """Whether a pack has the chunk that is under way: the tables do not tell of it yet."""
        return any(chunk_id in full.fresh for full in self._full)

    def wait(self) -> None:
        """All have their rows on return, or the first error is raised."""
        while self._full:
            self._wait_oldest()
        self._raise_error()

    def end(self) -> None:
        """Like ``wait``, for who has another error to tell."""
        while self._full:
            self._join_oldest()

    def _wait_oldest(self) -> None:
        self._join_oldest()
        self._raise_error()

    def _join_oldest(self) -> None:
        full = self._full[0]
        full.thread.join()
        self._full.popleft()
        self._allowance.give_back(full.extra)

    def _raise_error(self) -> None:
        if self._errors:
            raise self._errors[0]

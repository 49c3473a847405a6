"""Writing blocks into the cache beside those who read: a bounded queue and a thread, and nobody waits for either."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import NamedTuple

from appliance import cores
from appliance.backends.base import Buffer
from appliance.backends.cache_folder import CacheFolder

_log = logging.getLogger(__name__)

_QUEUED = 32 * 1_048_576
# A disk that is full or gone is tried again so much later.
_OFF_S = 60.0
# Who began before the oldest of so many deletions is too late to tell whether his blob was among them.
_REMEMBERED = 4096
# An idle thread ends; the next block begins another.
_IDLE_S = 10.0


class Block(NamedTuple):
    """A block to be kept; ``since`` is ``Keeper.deletions`` from before it was fetched."""

    key: str
    number: int
    blob_size: int
    data: Buffer
    since: int


class Keeper:
    """Of one process; any thread."""

    def __init__(self, folder: CacheFolder, where: str, *, queued: int = _QUEUED, off_s: float = _OFF_S) -> None:
        self._folder = folder
        self._where = where
        self._most = queued
        self._off_s = off_s
        self._changed = threading.Condition()
        self._queue: OrderedDict[tuple[str, int], Block] = OrderedDict()
        self._bytes = 0
        self._is_writing = False
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._off_until = 0.0
        self._is_told = False
        self._deleted: OrderedDict[str, int] = OrderedDict()
        self._too_old = 0
        self.deletions = 0
        """Counts blobs that were forgotten."""

    def add(self, block: Block) -> None:
        """Keep a block soon, or not at all while more come than can be written."""
        with self._changed:
            name = (block.key, block.number)
            if self._bytes + len(block.data) > self._most or name in self._queue or self._is_off():
                return
            if self._is_gone(block):
                return
            self._queue[name] = block
            self._bytes += len(block.data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cache", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def waiting(self, key: str, number: int) -> Block | None:
        """A block that is not written yet."""
        return self._queue.get((key, number))

    def forget(self, key: str) -> None:
        """The blob is gone: no block of it is kept that was fetched before, and none is there on return."""
        with self._changed:
            self.deletions += 1
            self._deleted[key] = self.deletions
            self._deleted.move_to_end(key)
            if len(self._deleted) > _REMEMBERED:
                _, self._too_old = self._deleted.popitem(last=False)
            for name in [name for name in self._queue if name[0] == key]:
                self._bytes -= len(self._queue.pop(name).data)
        with self._writing:
            self._folder.forget(key)

    def flush(self, seconds: float) -> bool:
        """Wait until all that waits is written or dropped; false if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._is_writing, seconds)

    def _is_off(self) -> bool:
        return time.monotonic() < self._off_until

    def _is_gone(self, block: Block) -> bool:
        return block.since < max(self._too_old, self._deleted.get(block.key, 0))

    def _run(self) -> None:
        cores.roam()
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._queue, _IDLE_S):
                    self._thread = None
                    return
                name, block = next(iter(self._queue.items()))
                self._is_writing = True
            self._keep(block)
            with self._changed:
                # Only now: until it is a file, it is read from here.
                if self._queue.get(name) is block:
                    del self._queue[name]
                    self._bytes -= len(block.data)
                self._is_writing = False
                self._changed.notify_all()

    def _keep(self, block: Block) -> None:
        try:
            with self._writing:
                with self._changed:
                    if self._is_gone(block) or self._is_off():
                        return
                self._folder.write(block.key, block.number, block.blob_size, block.data)
        except (OSError, MemoryError) as error:
            self._off_until = time.monotonic() + self._off_s
            if not self._is_told:
                _log.warning("the cache in %s is not written to while this lasts: %s", self._where, error)
            self._is_told = True
        else:
            if self._is_told:
                _log.info("the cache in %s is written to again", self._where)
            self._is_told = False

"""Another backend's blobs, read through a cache on a local disk: what was read before, or written just now, is near.

The cache holds blocks of a mebibyte, aligned, and nothing that could get stale: a blob never changes. All processes of
a node use one folder. Each block is verified when it is read; whatever is wrong with it, the bytes come from the store.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TypeVar

from appliance.backends.base import REMOTE, Backend, Buffer, Held, Source, check_key
from appliance.backends.cache_folder import BLOCK, CacheFolder
from appliance.backends.cache_keeper import Block, Keeper
from appliance.backends.wrapper import Wrapper
from appliance.errors import BlobMissing

# Who wants more at a time reads whole blobs, each once: it would push everything out that others read again.
_BULK = REMOTE.read_size + 2 * BLOCK
_SIZES_KEPT = 65_536

_T = TypeVar("_T")


class CachedBackend(Wrapper):
    """``inner`` with a cache. Usable after a fork.

    Whoever wants to know what the store itself holds (scrub, check, recovery) asks ``inner``.
    """

    def __init__(self, inner: Backend, folder: Path, limit_bytes: int) -> None:
        """``folder`` is made at need. ``limit_bytes`` 0: no cache."""
        super().__init__(inner)
        self._where = folder
        self._limit = limit_bytes
        self._processes: dict[int, _Reading] = {}

    def _here(self) -> _Reading:
        """What this process knows; one that was forked begins anew, with locks that nobody holds."""
        process = os.getpid()
        found = self._processes.get(process)
        if found is None:
            found = self._processes.setdefault(process, _Reading(self.inner, self._where, self._limit))
        return found

    def _keeps(self, key: str) -> bool:
        """What stands at the top, such as ``store``, is small, seldom read, and the only thing ever written anew."""
        return self._limit > 0 and "/" in key

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        if not self._keeps(key):
            return self.inner.put(key, blocks)
        check_key(key)
        here = self._here()
        copied = _Copied(blocks)
        size = self.inner.put(key, copied)
        here.written(key, size, copied.content)
        return size

    def get(self, key: str, start: int, length: int) -> Buffer:
        if not self._serves(key, length):
            return self.inner.get(key, start, length)
        check_key(key)
        return self._here().get(key, start, length)

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        if not self._serves(key, length):
            return self.inner.get_up_to(key, start, length)
        check_key(key)
        return self._here().get_up_to(key, start, length)

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], _T]) -> _T:
        if not self._serves(key, length):
            return self.inner.receive(key, start, length, take)
        return take(Held(self.get_up_to(key, start, length)))

    def _serves(self, key: str, length: int) -> bool:
        """Whether the cache has to do with it."""
        return 0 < length <= _BULK and self._keeps(key)

    def delete(self, key: str) -> None:
        try:
            self.inner.delete(key)
        finally:
            if self._keeps(key):
                check_key(key)
                self._here().forget(key)

    def flush(self, seconds: float) -> bool:
        """Wait until what this process has fetched is in the cache; false if that takes longer."""
        return self._here().keeper.flush(seconds)


class _Copied:
    """Blocks on their way into the store; ``content`` are their bytes if they are at most one block of the cache."""

    def __init__(self, blocks: Iterable[Buffer]) -> None:
        self._blocks = blocks
        self.content: bytearray | None = bytearray()

    def __iter__(self) -> Iterator[Buffer]:
        for block in self._blocks:
            if self.content is not None:
                if len(self.content) + len(block) <= BLOCK:
                    self.content += block
                else:
                    self.content = None
            yield block


class _Reading:
    """Of one process; any thread."""

    def __init__(self, inner: Backend, where: Path, limit_bytes: int) -> None:
        self._inner = inner
        self._folder = CacheFolder(where, limit_bytes)
        self.keeper = Keeper(self._folder, str(where))
        self._mutex = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._fetching: dict[tuple[str, int], Future[Buffer]] = {}

    def get(self, key: str, start: int, length: int) -> Buffer:
        end = start + length
        numbers = range(start // BLOCK, (end - 1) // BLOCK + 1)
        blocks: dict[int, Buffer] = {}
        for number in numbers:
            data = self._near(key, number)
            if data is not None:
                blocks[number] = data
        missing = [number for number in numbers if number not in blocks]
        if missing or end > numbers[-1] * BLOCK + len(blocks[numbers[-1]]):
            size = self._size(key)
            if end > size:
                raise BlobMissing(key=key, reason=f"ends at {size}, before {end}")
            blocks |= self._far(key, missing, size)
        return _joined(blocks, start, end)

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        if key not in self._sizes:
            # A block that is near tells it too.
            self._near(key, start // BLOCK)
        size = self._size(key)
        return self.get(key, start, min(length, size - start)) if start < size else b""

    def written(self, key: str, size: int, content: bytearray | None) -> None:
        """A blob was put. One of a single block stays near: it is often read next."""
        if key in self._sizes or self._folder.knows(key):
            self.forget(key)
        self._remember(key, size)
        if content:
            self.keeper.add(Block(key, 0, size, content, self.keeper.deletions))

    def forget(self, key: str) -> None:
        """The blob is gone."""
        with self._mutex:
            self._sizes.pop(key, None)
        self.keeper.forget(key)

    def _near(self, key: str, number: int) -> Buffer | None:
        waiting = self.keeper.waiting(key, number)
        if waiting is not None:
            return waiting.data
        cached = self._folder.read(key, number)
        if cached is None:
            return None
        self._remember(key, cached.blob_size)
        return cached.data

    def _size(self, key: str) -> int:
        """Also of blobs that were deleted by others: whoever asks for their bytes then learns that."""
        known = self._sizes.get(key)
        if known is None:
            known = self._inner.head(key)
            if known is None:
                raise BlobMissing(key=key)
            self._remember(key, known)
        return known

    def _remember(self, key: str, size: int) -> None:
        with self._mutex:
            self._sizes[key] = size
            if len(self._sizes) > _SIZES_KEPT:
                self._sizes.popitem(last=False)

    def _far(self, key: str, missing: list[int], size: int) -> dict[int, Buffer]:
        """Fetch what nobody else in this process fetches already, then wait for the others."""
        since = self.keeper.deletions
        mine: dict[int, Future[Buffer]] = {}
        others: dict[int, Future[Buffer]] = {}
        with self._mutex:
            for number in missing:
                under_way = self._fetching.get((key, number))
                if under_way is None:
                    mine[number] = self._fetching[(key, number)] = Future()
                else:
                    others[number] = under_way
        blocks: dict[int, Buffer] = {}
        try:
            for run in _runs(list(mine)):
                for number, data in self._fetch(key, run, size):
                    blocks[number] = data
                    self.keeper.add(Block(key, number, size, data, since))
                    mine[number].set_result(data)
        finally:
            with self._mutex:
                for number, future in mine.items():
                    del self._fetching[(key, number)]
                    future.cancel()
        for number, future in others.items():
            blocks[number] = self._from_other(future, key, number, size)
        return blocks

    def _from_other(self, future: Future[Buffer], key: str, number: int, size: int) -> Buffer:
        try:
            return future.result()
        except CancelledError:
            # It failed there; here it may not, and if it does the error is this one's own.
            return next(self._fetch(key, [number], size))[1]

    def _fetch(self, key: str, run: list[int], size: int) -> Iterator[tuple[int, Buffer]]:
        start = run[0] * BLOCK
        data = memoryview(self._inner.get(key, start, min((run[-1] + 1) * BLOCK, size) - start))
        for number in run:
            at = number * BLOCK - start
            yield number, data[at : at + BLOCK]


def _runs(numbers: list[int]) -> Iterator[list[int]]:
    """Those that follow each other, together."""
    run: list[int] = []
    for number in numbers:
        if run and run[-1] + 1 != number:
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _joined(blocks: dict[int, Buffer], start: int, end: int) -> bytes:
    parts = []
    for number in sorted(blocks):
        at = number * BLOCK
        parts.append(memoryview(blocks[number])[max(start - at, 0) : end - at])
    return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

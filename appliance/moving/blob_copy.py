"""Copying blobs from one place to another as they lie there, sealed or not, while others put and delete them.

Each is read back and compared before it counts as copied. Whoever deletes a blob does so at the old place first, then
at the new one; so a copy is taken back if its blob is not at the old place any more once it is there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

import xxhash

from appliance.backends.base import SEALED, Backend, Blob, Buffer
from appliance.backends.sealed import PLAIN
from appliance.chunks.pack import parse_pack_key
from appliance.errors import BlobMissing, MoveFailed
from appliance.upkeep.check_report import Steps

_PORTION = 4 * 1_048_576
_THREADS = 4
_ATTEMPTS = 3


def is_pack(key: str) -> bool:
    """Whether a blob holds content, and was put by a store; what else lies at a place is left alone."""
    return parse_pack_key(key.removeprefix(SEALED)) is not None


def is_ours(key: str) -> bool:
    """The same, or one that says whose blobs these are, or what they are sealed with."""
    return key in PLAIN or is_pack(key)


class Copied(NamedTuple):
    """What is at the new place and was compared: blobs and bytes, and how many of the blobs are not sealed."""

    blobs: int
    bytes: int
    plain: int


class BlobCopy:
    """Of one move. One thread calls it."""

    def __init__(self, old: Backend, new: Backend, steps: Steps) -> None:
        self._old = old
        self._new = new
        self._steps = steps
        self._copied: dict[str, int] = {}

    @property
    def copied(self) -> Copied:
        """So far."""
        plain = sum(1 for key in self._copied if not key.startswith(SEALED))
        return Copied(len(self._copied), sum(self._copied.values()), plain)

    def run(self, step: str) -> int:
        """Copy what is at the old place and was not copied yet; returns how many blobs that were.

        Raises:
            BackendError, StorageFull: one of the places fails.
            MoveFailed: what arrives is not what was sent.
        """
        left = [blob for blob in self._old.list("") if is_pack(blob.key) and blob.key not in self._copied]
        self._steps.begin(f"{step} ({len(left):,} blobs)", sum(blob.size for blob in left), "bytes")
        over = threading.Event()
        count = 0
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="copy") as pool:
            under_way: dict[Future[int | None], Blob] = {}
            try:
                for blob in left:
                    under_way[pool.submit(self._copy, blob.key, over)] = blob
                    if len(under_way) >= 2 * _THREADS:
                        count += self._absorb(under_way)
                while under_way:
                    count += self._absorb(under_way)
            finally:
                # After an error nothing further is begun, and what is under way ends soon.
                over.set()
        return count

    def _absorb(self, under_way: dict[Future[int | None], Blob]) -> int:
        count = 0
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            blob = under_way.pop(future)
            size = future.result()
            if size is not None:
                self._copied[blob.key] = size
                count += 1
            self._steps.advance(blob.size)
        return count

    def _copy(self, key: str, over: threading.Event) -> int | None:
        """The size of what is at the new place now; None: the blob has gone."""
        for attempt in range(_ATTEMPTS):
            if over.is_set():
                return None
            try:
                size = self._have_same(key, is_first=attempt == 0)
            except BlobMissing:
                # From one of the two while it was read: who deletes it is at the other next.
                size = None
            if self._old.head(key) is None:
                self._new.delete(key)
                return None
            if size is not None:
                return size
        raise MoveFailed(problem=f"the blob {key} is not the same where it was copied to; run the move once more")

    def _have_same(self, key: str, *, is_first: bool) -> int | None:
        """The size; None if what is there now is not the same."""
        size = self._old.head(key)
        if size is None:
            return None
        if is_first and self._new.head(key) == size:
            # By an attempt before this one.
            return size if self._digest(self._old, key, size) == self._digest(self._new, key, size) else None
        read = xxhash.xxh3_128()
        stored = self._new.put(key, self._portions(key, size, read))
        there = self._digest(self._new, key, size) if stored == self._new.head(key) == size else b""
        return size if there == read.digest() else None

    def _portions(self, key: str, size: int, read: xxhash.xxh3_128) -> Iterator[Buffer]:
        for portion in _portions(self._old, key, size):
            read.update(portion)
            yield portion

    def _digest(self, backend: Backend, key: str, size: int) -> bytes:
        digest = xxhash.xxh3_128()
        for portion in _portions(backend, key, size):
            digest.update(portion)
        return digest.digest()

    def missing(self) -> list[str]:
        """Blobs of the old place that are not at the new one with the size that was compared."""
        there = {blob.key: blob.size for blob in self._new.list("")}
        gone = []
        for blob in self._old.list(""):
            if is_pack(blob.key) and self._copied.get(blob.key) != there.get(blob.key, -1):
                self._copied.pop(blob.key, None)
                gone.append(blob.key)
        return gone


def _portions(backend: Backend, key: str, size: int) -> Iterator[Buffer]:
    for start in range(0, size, _PORTION):
        yield backend.get(key, start, min(_PORTION, size - start))


def remove_all(backend: Backend, first: str, last: str, steps: Steps) -> int:
    """Remove everything of a store: the blob ``first`` first of all, ``last`` behind all others. Returns how many
    blobs were left, which are nobody's that Holdfast knows.
    """
    backend.delete(first)
    left = 0
    steps.begin("removing the old ones", 0, "blobs")
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="remove") as pool:
        removing = []
        for blob in backend.list(""):
            if is_pack(blob.key):
                removing.append(pool.submit(backend.delete, blob.key))
            elif not is_ours(blob.key):
                left += 1
        for each in removing:
            each.result()
            steps.advance(1)
    backend.delete(last)
    backend.sync_all()
    return left

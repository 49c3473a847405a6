"""Blobs that move from one backend to another: each lies in either, or in both with the same bytes.

A blob is missing only if both say so. What one of them cannot tell, since it is offline, is an error.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from appliance.backends.base import Backend, Blob, Buffer, Source, check_key
from appliance.errors import BlobMissing

T = TypeVar("T")


class MovingBackend(Backend):
    """``old`` and ``new`` as one. What is put goes to ``new``, unless it is only ``announced``.

    Of blobs that are written anew (``store``, ``keys``) the one at the place that is put to counts.
    """

    def __init__(self, old: Backend, new: Backend, *, announced: bool = False) -> None:
        self.old = old
        self.new = new
        self._first, self._second = (old, new) if announced else (new, old)
        self.habits = self._first.habits

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        return self._first.put(key, blocks)

    def get(self, key: str, start: int, length: int) -> Buffer:
        return self._found(lambda backend: backend.get(key, start, length))

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        return self._found(lambda backend: backend.get_up_to(key, start, length))

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], T]) -> T:
        return self._found(lambda backend: backend.receive(key, start, length, take))

    def _found(self, read: Callable[[Backend], T]) -> T:
        try:
            return read(self._first)
        except BlobMissing:
            try:
                return read(self._second)
            except BlobMissing:
                # It may have been copied, and have gone there, between the two.
                return read(self._first)

    def head(self, key: str) -> int | None:
        check_key(key)
        size = self._first.head(key)
        if size is None:
            size = self._second.head(key)
        return self._first.head(key) if size is None else size

    def delete(self, key: str) -> None:
        # The old one first: who copies looks there behind each copy, and takes back what has gone meanwhile.
        self.old.delete(key)
        self.new.delete(key)

    def list(self, prefix: str) -> Iterator[Blob]:
        last = None
        # Of two with the same key the first comes first.
        for blob in heapq.merge(self._first.list(prefix), self._second.list(prefix), key=_key):
            if blob.key != last:
                yield blob
            last = blob.key

    @property
    def url_s(self) -> int:
        """Of URLs from before: while blobs move none is given, since where one was a moment ago it may not be now."""
        return max(self.old.url_s, self.new.url_s)

    def sync_all(self) -> None:
        self.old.sync_all()
        self.new.sync_all()

    def probe(self) -> None:
        self.old.probe()
        self.new.probe()

    def clear_partial(self, *, of_living: bool = False) -> int:
        return self.old.clear_partial(of_living=of_living) + self.new.clear_partial(of_living=of_living)


def _key(blob: Blob) -> str:
    return blob.key

"""Blobs that another backend holds sealed, so that whoever can read that one alone learns their sizes and names only.

A sealed blob lies there under ``sealed/`` and its key. What lies under the key itself is plain: it was put before
sealing was switched on, or after it was switched off, and is given as it is.
"""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol, TypeVar

from appliance.backends.base import AHEAD, SEALED, Backend, Blob, Buffer, Source, check_key
from appliance.backends.reused import Reused
from appliance.backends.seal import (
    HEADER,
    SEGMENT,
    Cipher,
    DataKey,
    Header,
    Part,
    Sealing,
    open_part,
    plain_size,
    stored_size,
)
from appliance.backends.wrapper import Wrapper
from appliance.errors import BackendError, BlobDamaged, BlobMissing, DataKeyUnknown

T = TypeVar("T")

PLAIN: Final = frozenset({"store", "keys"})
"""Keys of blobs that are never sealed: they are read before any data key is known."""

# So near to its header a range is fetched together with it.
_NEAR = 262_144
# Of so many blobs it is remembered where they lie, and how they are opened: some kilobytes each.
_REMEMBERED = 2048


class Keys(Protocol):
    """The data keys of a store. Any thread."""

    def newest(self) -> DataKey:
        """For what is sealed now."""

    def find(self, key_id: bytes) -> DataKey | None:
        """Any that there ever was."""


class _Place(NamedTuple):
    """Where a blob lies: plain, without a cipher; or sealed. ``size`` of its plain bytes, once that is known."""

    cipher: Cipher | None
    size: int | None


class _Opened(NamedTuple):
    """Plain bytes of segments; ``ends``: the blob is known to end with them."""

    cipher: Cipher
    plain: memoryview
    ends: bool


_NOTHING = memoryview(b"")


class SealedBackend(Wrapper):
    """Another backend, in which blobs are sealed. Without ``seals`` new ones are plain, and sealed ones readable."""

    def __init__(self, inner: Backend, keys: Keys, store_id: str, *, seals: bool = True) -> None:
        super().__init__(inner)
        self._keys = keys
        self._store_id = store_id
        self._seals = seals
        self._mutex = threading.Lock()
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._memory = Reused(AHEAD)

    def over(self, inner: Backend, *, seals: bool) -> SealedBackend:
        """The same data keys, for the same store's blobs at another place."""
        return SealedBackend(inner, self._keys, self._store_id, seals=seals)

    # -- writing

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        _check(key)
        if key in PLAIN:
            return self.inner.put(key, blocks)
        if not self._seals:
            size = self.inner.put(key, blocks)
            # A sealed one would be what is read.
            self.inner.delete(SEALED + key)
            self._remember(key, _Place(None, size))
            return size
        data_key = self._keys.newest()
        cipher = Cipher(data_key, Header.new(data_key.id), self._store_id, key)
        sealing = Sealing(cipher, blocks)
        self.inner.put(SEALED + key, sealing.sealed())
        self._remember(key, _Place(cipher, sealing.size))
        return sealing.size

    def delete(self, key: str) -> None:
        _check(key)
        self._forget(key)
        self.inner.delete(key)
        if key not in PLAIN:
            self.inner.delete(SEALED + key)

    # -- looking

    def head(self, key: str) -> int | None:
        _check(key)
        if key in PLAIN:
            return self.inner.head(key)
        stored = self.inner.head(SEALED + key)
        return self.inner.head(key) if stored is None else plain_size(stored)

    def list(self, prefix: str) -> Iterator[Blob]:
        last = None
        # Of two with the same key the sealed one comes first, which is the one that is read.
        for blob in heapq.merge(self._sealed(prefix), self._plain(prefix), key=_key):
            if blob.key != last:
                yield blob
            last = blob.key

    def _sealed(self, prefix: str) -> Iterator[Blob]:
        for blob in self.inner.list(SEALED + prefix):
            yield Blob(blob.key.removeprefix(SEALED), plain_size(blob.size))

    def _plain(self, prefix: str) -> Iterator[Blob]:
        return (blob for blob in self.inner.list(prefix) if not blob.key.startswith(SEALED))

    # -- reading

    def get(self, key: str, start: int, length: int) -> Buffer:
        _check(key)
        if key in PLAIN:
            return self.inner.get(key, start, length)
        if not length:
            return self._nothing(key, start)
        place = self._recall(key)
        if place is None:
            return self._get_unknown(key, start, length)
        try:
            return self._get_known(key, place, start, length)
        except (BlobMissing, BlobDamaged):
            # Somebody may have put the blob anew, with another salt, or to the other place.
            self._forget(key)
            return self._get_unknown(key, start, length)

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        return Backend.get_up_to(self, key, start, length)

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], T]) -> T:
        return Backend.receive(self, key, start, length, take)

    def presign(self, key: str, start: int, length: int, seconds: int) -> str | None:
        """None also of a plain blob: which one it is, only the store could tell."""
        _check(key)
        return None

    def _nothing(self, key: str, start: int) -> Buffer:
        size = self.head(key)
        if size is None:
            raise BlobMissing(key=key)
        if start > size:
            raise BlobMissing(key=key, reason=f"ends at {size}, before {start}")
        return b""

    def _get_known(self, key: str, place: _Place, start: int, length: int) -> Buffer:
        cipher = place.cipher
        if cipher is None:
            return self.inner.get(key, start, length)
        if place.size is not None and start + length > place.size:
            raise BlobMissing(key=key, reason=f"ends at {place.size}, before {start + length}")
        part = Part.of(start, length)
        if place.size is None:
            return self._opened(key, self._fetch(key, cipher, part, ends=None), part, start, length)
        end = stored_size(place.size)
        return self._opened(key, self._fetch(key, cipher, part, ends=end <= part.end, end=end), part, start, length)

    def _get_unknown(self, key: str, start: int, length: int) -> Buffer:
        """One request more than for a known blob at most."""
        part = Part.of(start, length)
        is_near = part.begin <= _NEAR

        def take(source: Source) -> _Opened:
            cipher = self._cipher(key, source.read(HEADER))
            if not is_near:
                return _Opened(cipher, _NOTHING, False)
            source.read(part.begin - HEADER)
            return self._open(cipher, part, source, ends=None)

        try:
            with _damaged(key):
                opened = self.inner.receive(SEALED + key, 0, part.end + 1 if is_near else HEADER, take)
        except BlobMissing:
            return self._get_plain(key, start, length)
        if not is_near:
            opened = self._fetch(key, opened.cipher, part, ends=None)
        self._remember(key, _Place(opened.cipher, None))
        return self._opened(key, opened, part, start, length)

    def _fetch(self, key: str, cipher: Cipher, part: Part, *, ends: bool | None, end: int | None = None) -> _Opened:
        """``end`` of the sealed blob. Without knowing it: one byte more than the part tells whether that ends there."""
        size = (part.end + 1 if end is None else min(part.end, end)) - part.begin
        with _damaged(key):
            return self.inner.receive(
                SEALED + key, part.begin, size, lambda source: self._open(cipher, part, source, ends=ends)
            )

    def _get_plain(self, key: str, start: int, length: int) -> Buffer:
        data = self.inner.get(key, start, length)
        self._remember(key, _Place(None, None))
        return data

    def _cipher(self, key: str, data: Buffer) -> Cipher:
        header = Header.read(data)
        data_key = self._keys.find(header.key_id)
        if data_key is None:
            raise DataKeyUnknown(key=key, key_id=header.key_id.hex())
        return Cipher(data_key, header, self._store_id, key)

    def _open(self, cipher: Cipher, part: Part, source: Source, *, ends: bool | None) -> _Opened:
        room = self._memory.take((part.last + 1 - part.first) * SEGMENT)
        size, is_end = open_part(cipher, part, source, room, ends=ends)
        return _Opened(cipher, room[:size], is_end)

    def _opened(self, key: str, opened: _Opened, part: Part, start: int, length: int) -> memoryview:
        """The range out of its segments."""
        end = part.offset + len(opened.plain)
        if opened.ends:
            self._remember(key, _Place(opened.cipher, end))
        if not opened.plain or start + length > end:
            raise BlobMissing(key=key, reason=f"ends before {start + length}")
        return opened.plain[start - part.offset :][:length]

    # -- what is known of blobs

    def _recall(self, key: str) -> _Place | None:
        with self._mutex:
            known = self._places.get(key)
            if known is not None:
                self._places.move_to_end(key)
            return known

    def _remember(self, key: str, place: _Place) -> None:
        with self._mutex:
            self._places[key] = place
            self._places.move_to_end(key)
            while len(self._places) > _REMEMBERED:
                self._places.popitem(last=False)

    def _forget(self, key: str) -> None:
        with self._mutex:
            self._places.pop(key, None)


@contextmanager
def _damaged(key: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise BlobDamaged(key=key, reason=str(error)) from None


def _key(blob: Blob) -> str:
    return blob.key


def _check(key: str) -> None:
    check_key(key)
    if f"{key}/".startswith(SEALED):
        raise BackendError(key=key, reason="is where sealed blobs lie")

"""The contract of a blob store. One conformance suite (``tests/conformance``) runs over all of them.

A blob is immutable: a key is written once and never again with other bytes. Keys are ``/``-separated parts of
lower-case letters, digits, ``-``, ``_`` and ``.``; that is what every file system and every S3 service keeps as it is.
No key is another one's folder: where there is ``a/b`` there is no ``a``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from appliance.errors import BackendError, BlobMissing

Buffer = bytes | bytearray | memoryview
T = TypeVar("T")

# No part may begin with a dot: hidden and relative names stay out of the way. 200 leaves room for a prefix
# under the 1,024 bytes of S3 and the 255 of file systems.
_KEY = re.compile(r"[a-z0-9_-][a-z0-9._-]*(/[a-z0-9_-][a-z0-9._-]*)*")
_KEY_LIMIT = 200

SEALED = "sealed/"
"""What a wrapper puts before a key, for a blob that it has sealed; it does not count for the length of a key."""


class Blob(NamedTuple):
    """What ``list`` tells about a blob."""

    key: str
    size: int


class Source(Protocol):
    """Bytes of a blob, as they come."""

    def read(self, size: int) -> Buffer:
        """The next ones, which are the caller's: ``size`` bytes, and fewer only where the blob or the range ends."""


class Habits(NamedTuple):
    """How a store wants to be used; nothing depends on it but speed. Without arguments: what suits a local disk."""

    pack_size: int = 32 * 1_048_576
    """Bytes after which a pack is closed."""
    uploads: int = 1
    """Full packs of one stream that are put at the same time, while the next one is being filled."""
    read_size: int = 1_048_576
    """Bytes of long content that are read together."""
    reads_ahead: int = 1
    """Such portions that are under way at the same time, ahead of the one that is being consumed."""


REMOTE = Habits(pack_size=16 * 1_048_576, uploads=4, read_size=17 * 1_048_576, reads_ahead=4)
"""Of a store where each request takes some milliseconds, and each connection has a bandwidth of its own."""

AHEAD = 4 * REMOTE.read_size + 4 * 1_048_576
"""Bytes that a process holds at a time for fast readings of a remote store: one portion is consumed, three come."""


class Backend(ABC):
    """A blob store. Every method may be called from any thread, and refuses what is no key (``check_key``)."""

    habits: Habits = Habits()
    """A wrapper's are those of the store that it wraps."""

    @abstractmethod
    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        """Store the blocks, one after the other, as one blob; returns its size.

        All or nothing: until this returns, ``get``, ``head`` and ``list`` do not know the blob, and when
        ``blocks`` or the store raises, they never will; what ``blocks`` raises comes out as it is. Durable
        on return unless the backend was made otherwise. A block belongs to the caller again once the next
        one is asked for. Putting a key that exists replaces it (a repeated attempt at the same bytes).
        """

    @abstractmethod
    def get(self, key: str, start: int, length: int) -> Buffer:
        """Exactly these bytes. They are the caller's, for as long as he wants.

        Raises:
            BlobMissing: there is no such blob, or it ends before ``start + length``.
        """

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        """As many of these bytes as there are; none if the blob ends before ``start``.

        One request where the store can answer so; what is here may take three.

        Raises:
            BlobMissing: there is no such blob.
        """
        try:
            return self.get(key, start, length)
        except BlobMissing:
            size = self.head(key)
            if size is None:
                raise
            return self.get(key, start, min(length, size - start)) if start < size else b""

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], T]) -> T:
        """What ``take`` makes of these bytes, as many as there are, while they come.

        ``take`` may be called again, with all of them from the first, when they ceased to come. A store that can give
        them piece by piece does; what is here has all of them first.

        Raises:
            BlobMissing: there is no such blob.
        """
        return take(Held(self.get_up_to(key, start, length)))

    @abstractmethod
    def head(self, key: str) -> int | None:
        """The size, None when there is no such blob."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the blob. One that does not exist is no error: a repeated attempt must succeed."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Blob]:
        """All blobs whose key begins with ``prefix`` (any text, not only whole parts), in the order of their keys.

        Blobs put or deleted meanwhile may or may not appear.
        """

    @property
    def url_s(self) -> int:
        """So long a URL of ``presign`` may hold, and who deletes a blob has to wait for it; 0: there are none."""
        return 0

    def presign(self, key: str, start: int, length: int, seconds: int) -> str | None:
        """A URL at the store itself, with which anybody gets these stored bytes and no others for so many seconds
        (``url_s`` at most): by a GET with the header ``Range: bytes=FIRST-LAST``, which is signed along.

        None: the store gives none, has other bytes than ``get`` gives, or is asked for nothing. No request is made, so
        nobody knows whether there is such a blob.
        """
        check_key(key)
        return None

    def sync_all(self) -> None:  # noqa: B027 - most have nothing to do
        """Bring everything that was put or deleted to stable storage, where that is not done at once."""

    def probe(self) -> None:  # noqa: B027 - a folder has nothing that could be found out before it is used
        """Find out whether blobs can be written and read; changes nothing that stays.

        Raises:
            BackendError, StorageFull: what does not work, and why.
        """

    def clear_partial(self, *, of_living: bool = False) -> int:
        """Remove what interrupted puts left behind, where such a thing can be; returns how many.

        What may still be under way is spared, unless ``of_living``: for a caller who knows that nobody else writes.
        """
        return 0


class Held(Source):
    """Bytes that are there already."""

    def __init__(self, data: Buffer) -> None:
        self._left = memoryview(data)

    def read(self, size: int) -> Buffer:
        piece, self._left = self._left[:size], self._left[size:]
        return piece


def check_key(key: str) -> None:
    """Refuse a key that some store could not keep."""
    if len(key.removeprefix(SEALED)) > _KEY_LIMIT or _KEY.fullmatch(key) is None:
        raise BackendError(key=key[:_KEY_LIMIT], reason="is no valid key")

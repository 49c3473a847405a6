"""Pack format 1: many chunks in one blob, with an index of its own.

::

    header   magic "HFPK" · format 1 · flags · key id · store id          32 bytes
    records  the stored bytes of the chunks, side by side
    index    one entry a chunk: SHA-256 · offset · stored · length · codec · XXH3-64
    footer   offset and length of the index · XXH3-64 of it · entries · magic "HFPI"   32 bytes

All numbers are little-endian. Offsets count from the beginning of the blob. The index is enough to rebuild the
chunk table from the packs alone. Flags and key id are 0: a backend that seals does so with the whole blob.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.chunks.codec import checksum
from appliance.errors import BlobDamaged, BlobMissing, Damaged

_HEADER = struct.Struct("<4sBBHI16s4x")
_ENTRY = struct.Struct("<32sQIIB3xq")
_FOOTER = struct.Struct("<QQqI4s")

_MAGIC = b"HFPK"
_INDEX_MAGIC = b"HFPI"
_FORMAT = 1
# Raw chunks are larger on average; of what compresses well there are more to a pack, and the index is read for itself.
_USUAL_CHUNK = 49_152

HEADER_SIZE = _HEADER.size
FRAME_SIZE = _HEADER.size + _FOOTER.size
ENTRY_SIZE = _ENTRY.size
"""What a pack takes beside the stored bytes: once, and for each chunk."""


class Record(NamedTuple):
    """Where a chunk lies in its pack, and what it is; sizes in bytes."""

    id: bytes
    offset: int
    stored: int
    length: int
    codec: int
    xxh3: int


class Columns(NamedTuple):
    """The records of a pack, field by field: made in a fraction of the time that an object for each would take."""

    ids: tuple[bytes, ...]
    offsets: tuple[int, ...]
    stored: tuple[int, ...]
    lengths: tuple[int, ...]
    codecs: tuple[int, ...]
    checksums: tuple[int, ...]

    def record(self, at: int) -> Record:
        """One of them."""
        return Record._make([column[at] for column in self])


NO_COLUMNS = Columns((), (), (), (), (), ())


def pack_key(writer_id: int, counter: int) -> str:
    """The blob's key; a writer never uses a counter twice."""
    return f"{writer_prefix(writer_id)}{counter:08x}"


def writer_prefix(writer_id: int) -> str:
    """What the keys of all packs of a writer begin with."""
    return f"packs/{writer_id:08x}/"


def parse_pack_key(key: str) -> tuple[int, int] | None:
    """(writer id, counter), None for a key that ``pack_key`` does not make."""
    parts = key.split("/")
    if len(parts) != 3:
        return None
    try:
        writer_id, counter = int(parts[1], 16), int(parts[2], 16)
    except ValueError:
        return None
    if writer_id < 0 or counter < 0 or pack_key(writer_id, counter) != key:
        return None
    return writer_id, counter


def header(store_id: str) -> bytes:
    """The first bytes of a plain pack of this store."""
    return _HEADER.pack(_MAGIC, _FORMAT, 0, 0, 0, bytes.fromhex(store_id))


def trailer(records: Sequence[Record], offset: int) -> bytes:
    """Index and footer, for records that end at ``offset``."""
    index = b"".join([_ENTRY.pack(*record) for record in records])
    return index + _FOOTER.pack(offset, len(index), checksum(index), len(records), _INDEX_MAGIC)


def read_index(backend: Backend, key: str, size: int, store_id: str) -> list[Record]:
    """The records of a pack, as its own index tells.

    Raises:
        Damaged: the blob is missing, shorter, of another store, or not a pack.
    """
    if size < FRAME_SIZE:
        raise Damaged(what=f"pack {key}")
    try:
        magic, number, flags, _, key_id, store = _HEADER.unpack(backend.get(key, 0, _HEADER.size))
    except (BlobMissing, BlobDamaged) as error:
        raise Damaged(what=f"pack {key}") from error
    if magic != _MAGIC or number != _FORMAT or flags or key_id:
        raise Damaged(what=f"the frame of pack {key}")
    if store.hex() != store_id:
        raise Damaged(what=f"pack {key} (it belongs to another store)")
    return [Record._make(fields) for fields in _ENTRY.iter_unpack(_read_entries(backend, key, size))]


def read_columns(backend: Backend, key: str, size: int, *, at_most: int) -> Columns:
    """Like ``read_index``, mostly in one request: for who knows that it is a pack of this store, and verifies what he
    finds by it. None if there are more than ``at_most``.

    Raises:
        Damaged: the blob is missing, shorter, or has no index.
    """
    return _columns(_read_entries(backend, key, size, at_most=at_most))


def columns_of(tail: memoryview, key: str, size: int) -> Columns:
    """The same from bytes that are there: the last ones of a pack of ``size`` bytes, with all of its index.

    Raises:
        Damaged: they do not end with an index.
    """
    footer = _footer_of(tail, key, size)
    if footer.length + _FOOTER.size > len(tail):
        raise Damaged(what=f"the frame of pack {key}")
    return _columns(_entries_in(tail, footer, key))


def _columns(entries: memoryview) -> Columns:
    return Columns._make(zip(*_ENTRY.iter_unpack(entries), strict=True)) if len(entries) else NO_COLUMNS


class _Footer(NamedTuple):
    offset: int
    length: int
    digest: int
    entries: int
    magic: bytes


def _footer_of(tail: memoryview, key: str, size: int) -> _Footer:
    if len(tail) < _FOOTER.size:
        raise Damaged(what=f"pack {key}")
    footer = _Footer._make(_FOOTER.unpack(tail[-_FOOTER.size :]))
    whole = footer.offset + footer.length + _FOOTER.size == size and footer.length == footer.entries * _ENTRY.size
    if footer.magic != _INDEX_MAGIC or not whole or footer.offset < _HEADER.size:
        raise Damaged(what=f"the frame of pack {key}")
    return footer


def _entries_in(tail: memoryview, footer: _Footer, key: str) -> memoryview:
    return _intact(tail[-footer.length - _FOOTER.size : -_FOOTER.size], footer, key)


def _intact(index: memoryview, footer: _Footer, key: str) -> memoryview:
    if checksum(index) != footer.digest:
        raise Damaged(what=f"the index of pack {key}")
    return index


def _read_entries(backend: Backend, key: str, size: int, *, at_most: int | None = None) -> memoryview:
    if size < FRAME_SIZE:
        raise Damaged(what=f"pack {key}")
    try:
        tail = memoryview(backend.get(key, size - _tail_of(size), _tail_of(size)))
        footer = _footer_of(tail, key, size)
        if at_most is not None and footer.entries > at_most:
            return tail[:0]
        if footer.length + _FOOTER.size <= len(tail):
            return _entries_in(tail, footer, key)
        return _intact(memoryview(backend.get(key, footer.offset, footer.length)), footer, key)
    except (BlobMissing, BlobDamaged) as error:
        raise Damaged(what=f"pack {key}") from error


def _tail_of(size: int) -> int:
    """Bytes that hold footer and index, unless there are more chunks than usual."""
    return min(size, _FOOTER.size + _ENTRY.size * (64 + size // _USUAL_CHUNK))

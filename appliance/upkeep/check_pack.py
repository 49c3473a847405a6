"""Reading one pack from the backend and verifying every byte of it. Knows no SQL; any thread."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.chunks import codec, pack
from appliance.chunks.pack import Record, read_index
from appliance.errors import BackendError, BlobDamaged, BlobMissing, Damaged

# Records that lie side by side are read together up to so many bytes.
_PIECE = 4 * 1_048_576


class Pack(NamedTuple):
    """A row of ``pack``, and its blob's key."""

    id: int
    key: str
    size: int


class Examined(NamedTuple):
    """What reading a pack showed: its records by chunk, which of them are damaged, and what is wrong with the frame."""

    pack: Pack
    records: dict[bytes, Record]
    damaged: dict[bytes, str]
    frame: str | None


def examine(backend: Backend, of: Pack, store_id: str) -> Examined:
    """Read the whole pack, a few mebibytes at a time.

    Raises:
        BackendError: it cannot be read now; BlobMissing: it is not there.
    """
    try:
        records = read_index(backend, of.key, of.size, store_id)
    except Damaged as error:
        if backend.head(of.key) is None:
            raise BlobMissing(key=of.key) from error
        return Examined(of, {}, {}, str(error))
    records.sort(key=lambda record: record.offset)
    frame = _frame(backend, of, store_id, records)
    damaged: dict[bytes, str] = {}
    if frame is None:
        for piece in _pieces(records):
            damaged |= _damaged(backend, of.key, piece)
    return Examined(of, {record.id: record for record in records}, damaged, frame)


def verify(record: Record, stored: memoryview) -> str | None:
    """What is wrong with the stored bytes of a chunk; None: they are what was stored."""
    if codec.checksum(stored) != record.xxh3:
        return "the stored bytes have changed (XXH3)"
    try:
        plain = codec.decode(record.codec, stored, record.length)
    except ValueError as error:
        return str(error)
    if hashlib.sha256(plain).digest() != record.id:
        return "the plain bytes are others (SHA-256)"
    return None


def _frame(backend: Backend, of: Pack, store_id: str, records: list[Record]) -> str | None:
    """What is wrong around the records: together with them, every byte of a pack is accounted for."""
    if backend.get(of.key, 0, pack.HEADER_SIZE) != pack.header(store_id):
        return "the header is not the one that was written"
    end = pack.HEADER_SIZE
    for record in records:
        if record.offset != end or record.stored < 1:
            return f"the records do not lie side by side at {end}"
        end += record.stored
    if end + len(pack.trailer(records, end)) != of.size:
        return "there are bytes between the records and the index"
    if len({record.id for record in records}) != len(records):
        return "the index names a chunk twice"
    return None


def _pieces(records: list[Record]) -> Iterator[list[Record]]:
    piece: list[Record] = []
    size = 0
    for record in records:
        if piece and size + record.stored > _PIECE:
            yield piece
            piece, size = [], 0
        piece.append(record)
        size += record.stored
    if piece:
        yield piece


def _damaged(backend: Backend, key: str, piece: list[Record]) -> dict[bytes, str]:
    first = piece[0].offset
    found = {}
    try:
        data = memoryview(backend.get(key, first, piece[-1].offset + piece[-1].stored - first))
    except BlobDamaged:
        # Some of them.
        return {record.id: wrong for record in piece if (wrong := examine_place(backend, key, record)) is not None}
    for record in piece:
        wrong = verify(record, data[record.offset - first : record.offset - first + record.stored])
        if wrong is not None:
            found[record.id] = wrong
    return found


def examine_place(backend: Backend, key: str, record: Record) -> str | None:
    """What is wrong with one chunk at the place that its row tells; None: nothing."""
    try:
        return verify(record, memoryview(backend.get(key, record.offset, record.stored)))
    except BackendError as error:
        return f"the stored bytes cannot be read: {error.reason}"

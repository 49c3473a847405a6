"""Content of a big store: short on disk, and yet every byte of it can be read.

Small content is text with a few random bytes in it; larger content is a few random bytes and then one letter, so that
a pack holds it in some forty bytes. Rows are what they would be for real files: a chunk, a small content or a run of
segments for each version, some of them shared.

Hashing and compressing is done by other processes, a batch at a time, while this one inserts rows.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple

from appliance.backends.base import Backend
from appliance.chunks import codec, manifest, pack, rows
from appliance.chunks.manifest import Entry, Kind, ManifestBuilder, Segment
from appliance.chunks.pack import Record
from appliance.db.sql import Session

# Shares of all versions.
_SMALL = 0.3
_SHARED = 0.03
# One in so many is a large file, of so many chunks.
_LARGE_EVERY = 20_000
_LARGE_CHUNKS = 700

_BATCH = 30_000
_AHEAD = 3
_FILLER = b"b" * 8_192
_DIRECT = Kind.DIRECT.value


class Content(NamedTuple):
    """What a version needs."""

    manifest: bytes
    size: int
    is_small: bool


class Batch(NamedTuple):
    """Contents and what has to be stored for them: ``records`` count their offsets from the beginning of ``stored``.

    ``small``: SHA-256, length, codec, stored bytes.
    """

    contents: list[Content]
    records: list[Record]
    stored: bytes
    small: list[tuple[bytes, int, int, bytes]]
    segments: list[Segment]


class _Maker:
    """Makes one batch."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._contents: list[Content] = []
        self._records: list[Record] = []
        self._stored = bytearray()
        self._small: list[tuple[bytes, int, int, bytes]] = []
        self._segments: list[Segment] = []

    def make(self, count: int) -> Batch:
        draw = self._random.random
        for number in range(count):
            drawn = draw()
            if number % _LARGE_EVERY == _LARGE_EVERY - 1 and self._records:
                content = self._large()
            elif drawn < _SHARED and number:
                content = self._contents[int(number * drawn / _SHARED)]
            elif drawn < _SHARED + _SMALL:
                content = self._one_small()
            else:
                content = self._one_chunk()
            self._contents.append(content)
        return Batch(self._contents, self._records, bytes(self._stored), self._small, self._segments)

    def _one_small(self) -> Content:
        chosen = self._random
        plain = chosen.randbytes(24).hex().encode() * (1 + chosen.getrandbits(3))
        sha256 = hashlib.sha256(plain).digest()
        how, stored = codec.Compressor().encode(plain)
        self._small.append((sha256, len(plain), how, bytes(stored)))
        return Content(manifest.small(sha256, len(plain)), len(plain), is_small=True)

    def _one_chunk(self) -> Content:
        chosen = self._random
        plain = chosen.randbytes(16) + _FILLER[: 4_100 + chosen.getrandbits(12)]
        sha256 = hashlib.sha256(plain).digest()
        how, stored = codec.Compressor().encode(plain)
        self._records.append(
            Record(sha256, len(self._stored), len(stored), len(plain), how, codec.checksum(stored)),
        )
        self._stored += stored
        # One entry looks the same in both kinds of manifest, but for the first byte.
        return Content(_DIRECT + manifest.small(sha256, len(plain))[1:], len(plain), is_small=False)

    def _large(self) -> Content:
        builder = ManifestBuilder()
        entries = [Entry(record.id, record.length) for record in self._random.choices(self._records, k=_LARGE_CHUNKS)]
        builder.add(entries)
        head = builder.finish()
        self._segments += builder.take_segments()
        return Content(head, sum(entry.length for entry in entries), is_small=False)


def make_batch(seed: int, count: int) -> Batch:
    """The same one for the same arguments; runs in a process of its own."""
    return _Maker(seed).make(count)


class Contents:
    """Contents in their order, stored before they are handed out. A context: ends its processes."""

    def __init__(
        self,
        session: Session,
        backend: Backend,
        *,
        seed: int,
        count: int,
        store_id: str,
        writer_id: int,
        epoch: int,
    ) -> None:
        """``count``: how many will be asked for."""
        self._session = session
        self._backend = backend
        self._store_id = store_id
        self._writer_id = writer_id
        self._epoch = epoch
        self._packs = 0
        self._executor = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
        self._orders = ((seed * 1_000_003 + start, min(_BATCH, count - start)) for start in range(0, count, _BATCH))
        self._coming: deque[Future[Batch]] = deque()
        self._now: Iterator[Content] = iter(())

    def __enter__(self) -> Contents:
        for _ in range(_AHEAD):
            self._order()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)

    def next(self) -> Content:
        """Another content; a few are ones that were there before."""
        found = next(self._now, None)
        if found is None:
            batch = self._coming.popleft().result()
            self._order()
            self._store(batch)
            self._now = iter(batch.contents)
            found = next(self._now)
        return found

    def _order(self) -> None:
        order = next(self._orders, None)
        if order is not None:
            self._coming.append(self._executor.submit(make_batch, *order))

    def _store(self, batch: Batch) -> None:
        self._packs += 1
        records = [record._replace(offset=record.offset + pack.HEADER_SIZE) for record in batch.records]
        tail = pack.trailer(records, pack.HEADER_SIZE + len(batch.stored))
        key = pack.pack_key(self._writer_id, self._packs)
        size = self._backend.put(key, [pack.header(self._store_id), batch.stored, tail])
        rows.insert_pack(
            self._session,
            writer_id=self._writer_id,
            counter=self._packs,
            size=size,
            synced=True,
            epoch=self._epoch,
            records=records,
        )
        rows.insert_segments(self._session, batch.segments, epoch=self._epoch)
        self._session.cursor.executemany(
            "INSERT INTO small (sha256, length, codec, wanted, data) VALUES (?, ?, ?, ?, ?)",
            [(sha256, length, how, self._epoch, data) for sha256, length, how, data in batch.small],
        )

"""Reading content back: verified bytes of any range, a few large reads ahead of who consumes them.

XXH3 of the stored bytes is compared on every read, so what leaves here is what was stored. A chunk that fails is
looked up once more, for it may have moved to another pack meanwhile; only then is it damaged, which is noted.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from appliance import cores, faults
from appliance.backends.base import AHEAD, Backend, Buffer
from appliance.chunks import codec, findings, manifest, rows
from appliance.chunks.allowance import Allowance
from appliance.chunks.manifest import Entry, Kind, SegmentIndex, Stretch, overlapping
from appliance.chunks.pack import HEADER_SIZE, Record
from appliance.chunks.places import Course, Indexes, Location, Plan, Run, Whole, checksums_of, locate
from appliance.chunks.portions import FIRST, Portions
from appliance.chunks.rows import Small
from appliance.chunks.stretches import Part, Piece, Stretches, pieces
from appliance.db.database import Database
from appliance.errors import BackendError, BlobDamaged, BlobMissing, Damaged

# Each takes some hundred KB.
_SEGMENTS_KEPT = 16


def _small_of(entry: Entry, row: Small | None) -> bytes | None:
    if row is None or row.length != entry.length:
        return None
    plain = codec.plain_of(*row, sha256=entry.id)
    return None if plain is None else bytes(plain)


class _Pieces(NamedTuple):
    """Pieces whose stored bytes lie side by side in one pack."""

    key: str
    records: list[Record]
    pieces: list[Piece]


class Reader:
    """Reads content for one process; any number of threads at a time."""

    def __init__(self, database: Database, backend: Backend) -> None:
        self._database = database
        self._backend = backend
        self._indexes = Indexes(backend) if backend.habits.reads_ahead == 1 else None
        threads = max(2, 4 * backend.habits.reads_ahead)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read", initializer=cores.roam)
        # Each reading has a small portion that is consumed and one ahead of it; this is for larger and further ones.
        self.ahead = Allowance(AHEAD)
        self._mutex = threading.Lock()
        self._segments: OrderedDict[bytes, SegmentIndex] = OrderedDict()

    def close(self) -> None:
        """End the threads that read ahead."""
        self._pool.shutdown(cancel_futures=True)

    def read(self, head: bytes, start: int, end: int, small: Small | None = None) -> Iterator[Buffer]:
        """The plain bytes ``start … end`` of the content whose manifest is ``head``, in order.

        ``small``: its row, if that has been read with the manifest. Blocks have any length. Each was verified before
        it is yielded.

        Raises:
            Damaged: stored bytes are missing or wrong, nothing of them was yielded; or the content ends before.
        """
        faults.point("read.content")
        decoded = manifest.decode(head)
        if end > decoded.size:
            raise Damaged(what="a manifest")
        if decoded.kind is Kind.SMALL:
            return iter([self.small(decoded.entries[0], small)[start:end]])
        stretches = Stretches(self._parts(head, decoded, start, end))
        return self._read_at_once(stretches) if end - start <= FIRST else self._read_ahead(stretches)

    def small(self, entry: Entry, row: Small | None = None) -> bytes:
        """The content of a ``small`` row. It has no other checksum than its name."""
        plain = _small_of(entry, row)
        if plain is None:
            with self._database.read() as session:
                plain = _small_of(entry, rows.small_content(session, entry.id))
        if plain is not None:
            return plain
        findings.tell_of_content(self._database, "small", entry.id, "is not what was stored")
        raise Damaged(what=f"small content {entry.id.hex()}")

    def entries(self, head: bytes, start: int, most: int) -> list[Entry]:
        """The chunks of a content from the one that begins at ``start`` on, at most so many; small content is one.

        None behind its end, and if no chunk begins at ``start``.

        Raises:
            Damaged: the manifest cannot be read.
        """
        decoded = manifest.decode(head)
        if decoded.kind is Kind.SMALL:
            return list(decoded.entries) if start == 0 else []
        found: list[Entry] = []
        for part in self._parts(head, decoded, start, decoded.size):
            size = part.end - part.start
            stretch = part.segment.stretch(part.start, part.end, size=size, most=most - len(found))
            if stretch.skip:
                return []
            found += map(Entry, stretch.ids, stretch.lengths)
            if len(found) == most:
                break
        return found

    def _parts(self, head: bytes, decoded: manifest.Manifest, start: int, end: int) -> Iterator[Part]:
        """What a range touches; segments outside of it are not loaded."""
        if decoded.kind is not Kind.SEGMENTED:
            if start < end:
                yield Part(SegmentIndex(head[1:]), start, end)
            return
        for index, first, last in overlapping([each.length for each in decoded.references], start, end):
            yield Part(self._segment(decoded.references[index]), first, last)

    def _segment(self, reference: manifest.Reference) -> SegmentIndex:
        """One that was used last is remembered: whoever plays a film asks for many ranges of the same."""
        with self._mutex:
            known = self._segments.get(reference.sha256)
            if known is not None:
                self._segments.move_to_end(reference.sha256)
                return known
        found = self._load_segment(reference)
        with self._mutex:
            self._segments[reference.sha256] = found
            while len(self._segments) > _SEGMENTS_KEPT:
                self._segments.popitem(last=False)
        return found

    def _load_segment(self, reference: manifest.Reference) -> SegmentIndex:
        """Chunks are verified one by one; that they are the right ones, at the right place, is said here alone."""
        with self._database.read() as session:
            data = rows.segment_data(session, reference.sha256)
        if data is not None and hashlib.sha256(data).digest() == reference.sha256:
            index = SegmentIndex(data)
            if index.length == reference.length:
                return index
        findings.tell_of_content(self._database, "segment", reference.sha256, "is not what was stored")
        raise Damaged(what=f"manifest segment {reference.sha256.hex()}")

    def _read_at_once(self, stretches: Stretches) -> Iterator[Buffer]:
        """Mostly one portion, as of most files."""
        course = Course(self._database, self._indexes)
        while (plan := _draw(stretches, course, FIRST)) is not None:
            yield from self._fetch(plan, course)

    def _read_ahead(self, stretches: Stretches) -> Iterator[Buffer]:
        """Fetch the next portions while the present one is consumed, where it is worth the hand-over."""
        cores.roam()
        course = Course(self._database, self._indexes)
        draw = partial(_draw, stretches, course)
        fetch = partial(self._fetch, course=course)
        portions = Portions(draw, fetch, self._pool, self._backend.habits, self.ahead)
        try:
            while (blocks := portions.next()) is not None:
                yield from blocks
                # Its memory is for the next one.
                del blocks
        finally:
            portions.close()

    def _fetch(self, plan: Plan, course: Course) -> list[Buffer]:
        faults.point("read.batch")
        if plan.run is None:
            return self._fetch_pieces(pieces(plan.stretch), plan.places, course)
        together = self._fetch_together(plan.stretch, plan.run, course)
        if together is not None:
            return [together]
        return self._fetch_pieces(pieces(plan.stretch), locate(self._database, plan.stretch.ids), course)

    def _fetch_together(self, stretch: Stretch, run: Run | Whole, course: Course) -> Buffer | None:
        """Raw chunks that lie as they are wanted, as they are; None: they do not any more, or something is wrong."""
        size = sum(stretch.lengths)
        start, length = (run.offset, size) if isinstance(run, Run) else (HEADER_SIZE, run.size - HEADER_SIZE)
        try:
            data = memoryview(self._backend.get(run.key, start, length))
        except BlobMissing:
            course.forget(run.key)
            return None
        except BlobDamaged:
            return None
        checksums = run.checksums if isinstance(run, Run) else checksums_of(run, stretch, data)
        data = data[:size]
        if checksums is None or not codec.are_intact(data, stretch.lengths, checksums):
            return None
        return data if stretch.size == len(data) else data[stretch.skip : stretch.skip + stretch.size]

    def _fetch_pieces(self, batch: list[Piece], places: dict[bytes, Location], course: Course) -> list[Buffer]:
        blocks: list[Buffer] = []
        for piece in batch:
            if piece.entry.id not in places:
                raise self._lost(piece.entry.id)
        for run in _runs(batch, places):
            blocks += self._fetch_run(run, course)
        return blocks

    def _fetch_run(self, run: _Pieces, course: Course) -> list[Buffer]:
        first, last = run.records[0].offset, run.records[-1]
        try:
            data = memoryview(self._backend.get(run.key, first, last.offset + last.stored - first))
        except BlobMissing:
            course.forget(run.key)
            return [self._fetch_again(piece) for piece in run.pieces]
        except BlobDamaged:
            # Not all of them need to be.
            return [self._fetch_again(piece) for piece in run.pieces]
        blocks: list[Buffer] = []
        intact = True
        for record, piece in zip(run.records, run.pieces, strict=True):
            stored = data[record.offset - first : record.offset - first + record.stored]
            try:
                blocks.append(_plain(record, stored, piece))
            except ValueError:
                intact = False
                blocks.append(self._fetch_again(piece))
        return [data] if intact and _is_one_block(run) else blocks

    def _fetch_again(self, piece: Piece) -> Buffer:
        place = locate(self._database, [piece.entry.id]).get(piece.entry.id)
        if place is None:
            raise self._lost(piece.entry.id)
        key, record = place
        try:
            return _plain(record, memoryview(self._backend.get(key, record.offset, record.stored)), piece)
        except (BlobMissing, BlobDamaged, ValueError) as error:
            problem = error.reason if isinstance(error, BackendError) else str(error)
            findings.tell_of_chunk(self._database, piece.entry.id, problem, key=key, offset=record.offset)
            raise Damaged(what=f"chunk {piece.entry.id.hex()} in {key}") from error

    def _lost(self, chunk_id: bytes) -> Damaged:
        findings.tell_of_chunk(self._database, chunk_id, "no row tells where it is")
        return Damaged(what=f"chunk {chunk_id.hex()}")


def _draw(stretches: Stretches, course: Course, size: int) -> Plan | None:
    """What comes next, of about ``size`` bytes; None at the end."""
    stretch = stretches.draw(size)
    if stretch is None:
        return None
    plan = course.plan(stretch)
    stretches.keep(stretch, len(plan.stretch.ids))
    return plan


def _runs(batch: list[Piece], places: dict[bytes, Location]) -> Iterator[_Pieces]:
    run: _Pieces | None = None
    for piece in batch:
        key, record = places[piece.entry.id]
        if run is not None and run.key == key and run.records[-1].offset + run.records[-1].stored == record.offset:
            run.records.append(record)
            run.pieces.append(piece)
            continue
        if run is not None:
            yield run
        run = _Pieces(key, [record], [piece])
    if run is not None:
        yield run


def _is_one_block(run: _Pieces) -> bool:
    """Whether the stored bytes, end to end, are the plain ones that were asked for."""
    return all(
        record.codec == codec.RAW and piece.start == 0 and piece.end == record.length
        for record, piece in zip(run.records, run.pieces, strict=True)
    )


def _plain(record: Record, stored: memoryview, piece: Piece) -> Buffer:
    if codec.checksum(stored) != record.xxh3 or record.length != piece.entry.length:
        raise ValueError("the stored bytes are not what was stored")
    plain = codec.decode(record.codec, stored, record.length)
    return plain if piece.end - piece.start == len(plain) else plain[piece.start : piece.end]

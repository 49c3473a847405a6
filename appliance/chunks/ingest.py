"""Receiving content: bytes of a stream become chunks in packs, and a manifest.

A pipeline in which no step waits for the one after it: the calling thread receives and cuts groups of about 1 MiB;
two threads of the process hash, look up and compress them; another one writes the pack, and others those before it
that the backend does not hold yet. Memory is bounded by the groups and packs under way, whatever the length of the
stream. Content of at most one group is done by the caller alone.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Protocol

from appliance import cores, faults
from appliance.backends.base import Backend
from appliance.chunks import codec, manifest
from appliance.chunks.allowance import Allowance
from appliance.chunks.closing import Closing
from appliance.chunks.cutter import Chunking, Cutter
from appliance.chunks.examining import Examiner, compress, hash_chunks, known_chunks
from appliance.chunks.garbage import Ahead
from appliance.chunks.group import GROUP, Buffers, Found, Lent, large_pieces, records
from appliance.chunks.manifest import Entry, EntryList, Gathering, ManifestBuilder, Segment
from appliance.chunks.packing import OpenPack, StoredPack
from appliance.chunks.stored import Stored
from appliance.chunks.writers import Write, Writers
from appliance.db.database import Database

_THOROUGH_LIMIT = 131_072
"""Content up to this size is compressed thoroughly: most files are, and it makes their PUT less than 1 ms slower."""

_GROUPS_UNDER_WAY = 3
# With a store that is far away the tables mostly are as well: what waits for them goes with the next question.
_GROUPS_AN_UPLOAD = 2
_EXTRA_GROUPS = 16
_EXTRA_PACKS = 64 * 1_048_576


class Source(Protocol):
    """Where content comes from."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the beginning of ``buffer``; the number of bytes, 0 only at the end of complete content."""
        ...


class Watcher(Protocol):
    """Looks at the plain bytes as they come, in order."""

    def received(self, block: memoryview) -> None:
        """May raise to break off: for limits, and for checksums of the whole."""
        ...


class Ingestor:
    """Receives content for one process; any number of threads at a time."""

    def __init__(
        self,
        database: Database,
        backend: Backend,
        writers: Writers,
        *,
        store_id: str,
        chunking: Chunking,
        inline_threshold: int,
        synced: bool,
    ) -> None:
        self.database = database
        self.backend = backend
        self.writers = writers
        self.store_id = store_id
        self.chunking = chunking
        self.inline_threshold = inline_threshold
        self.synced = synced
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="hash", initializer=cores.roam)
        self.buffers = Buffers(GROUP + chunking.most, kept=_EXTRA_GROUPS)
        # A slow client keeps one group for long; the further groups of a fast one are limited for the process.
        self.extra = threading.BoundedSemaphore(_EXTRA_GROUPS)
        self.groups_under_way = max(_GROUPS_UNDER_WAY, _GROUPS_AN_UPLOAD * backend.habits.uploads)
        # A stream has one pack being filled and one being stored; further ones may be in the backend's memory as well.
        self.extra_packs = Allowance(_EXTRA_PACKS)

    def receive(self, source: Source, write: Write, watcher: Watcher, *, part: bool = False) -> Stored:
        """Take in a stream to its end. When this returns its bytes are in the backend, as durable as configured.

        A ``part`` of a content becomes chunks however small it is, and its manifest names them one by one.
        What ``source`` or ``watcher`` raises breaks off, and leaves at most rows and blobs that nothing names.
        """
        faults.point("receive.begun")
        block = self.buffers.take()
        view = memoryview(block)
        size = _fill(source, view[:GROUP])
        watcher.received(view[:size])
        if not part and size <= self.inline_threshold:
            try:
                return self._small(bytes(view[:size]), write)
            finally:
                self.buffers.give_back(block)
        stream = _Stream(self, write, watcher, EntryList() if part else ManifestBuilder())
        try:
            return stream.run(source, block, size)
        except BaseException:
            stream.break_off()
            raise

    def _small(self, content: bytes, write: Write) -> Stored:
        if not content:
            return Stored(manifest.EMPTY, 0, write, self.synced, Ahead(write))
        sha256 = hashlib.sha256(content).digest()
        how, data = codec.Compressor(thorough=True).encode(content)
        faults.point("small.encoded")
        return Stored(
            manifest.small(sha256, len(content)),
            len(content),
            write,
            self.synced,
            Ahead(write),
            small=(sha256, len(content), how, bytes(data)),
        )

    def commit_ahead(self, write: Write, ahead: Ahead, pack: StoredPack, segments: list[Segment]) -> None:
        """Commit the rows of a full pack, and of segments that name nothing which has none."""
        part = Stored(b"", 0, write, self.synced, ahead, [pack], segments)
        ahead.commit(self.database, part.commit_ahead)


class _Group(NamedTuple):
    """A group under way."""

    lent: Lent
    found: Future[list[Found]]


class _Stream:
    """One stream on its way through the pipeline."""

    def __init__(self, ingestor: Ingestor, write: Write, watcher: Watcher, gathering: Gathering) -> None:
        self.ahead = Ahead(write)
        self._in = ingestor
        self._write = write
        self._watcher = watcher
        self._cutter = Cutter(ingestor.chunking)
        self._manifest = gathering
        self._groups: deque[_Group] = deque()
        self._extra = 0
        self._pack: OpenPack | None = None
        self._fresh: set[bytes] = set()
        self._known = partial(known_chunks, ingestor.database, write=write, ahead=self.ahead)
        self._examiner = Examiner(ingestor.pool, self._known)
        commit = partial(ingestor.commit_ahead, write, self.ahead)
        self._closing = Closing(commit, ingestor.backend.habits.uploads, ingestor.extra_packs)

    def run(self, source: Source, block: bytearray, size: int) -> Stored:
        total = size
        if size < GROUP:
            self._alone(block, size)
            return self._finish(total)
        cores.roam()
        filled = size
        while True:
            view = memoryview(block)[:filled]
            following = self._in.buffers.take()
            # Look for the end before cutting: the last group is cut to its last byte.
            ends = self._cutter.cut(view, last=False)
            done = ends[-1] if ends else 0
            rest = filled - done
            memoryview(following)[:rest] = view[done:]
            self._begin(block, view[:done], ends)
            more = _fill(source, memoryview(following)[rest : rest + GROUP])
            faults.point("receive.group")
            self._watcher.received(memoryview(following)[rest : rest + more])
            total += more
            block, filled = following, rest + more
            if more < GROUP:
                break
        self._begin(block, memoryview(block)[:filled], self._cutter.cut(memoryview(block)[:filled], last=True))
        while self._groups:
            self._absorb_oldest()
        return self._finish(total)

    def _alone(self, block: bytearray, size: int) -> None:
        view = memoryview(block)[:size]
        ends = self._cutter.cut(view, last=True)
        hashed = hash_chunks(view, ends)
        found = compress(hashed, self._known(hashed.ids), thorough=size <= _THOROUGH_LIMIT)
        self._absorb(Lent(self._in.buffers, block), found)

    def _begin(self, block: bytearray, view: memoryview, ends: list[int]) -> None:
        # What is done lets others have its place, however slowly more comes.
        while self._groups and self._groups[0].found.done():
            self._absorb_oldest()
        most = self._in.groups_under_way
        while len(self._groups) >= most or (self._groups and not self._in.extra.acquire(blocking=False)):
            self._absorb_oldest()
        self._extra += 1 if self._groups else 0
        self._groups.append(_Group(Lent(self._in.buffers, block), self._examiner.begin(view, ends)))

    def _absorb_oldest(self) -> None:
        group = self._groups.popleft()
        if self._extra:
            self._extra -= 1
            self._in.extra.release()
        self._absorb(group.lent, group.found.result())

    def _absorb(self, lent: Lent, found: list[Found]) -> None:
        self._manifest.add([Entry(each.id, each.length) for each in found])
        new = [each for each in found if each.is_new and not self._holds(each.id)]
        if new:
            self._fresh.update(each.id for each in new)
            if self._pack is None:
                self._pack = OpenPack(
                    self._in.backend, self._write.writer_id, self._in.writers.next_pack(), self._in.store_id
                )
            for together, piece in large_pieces(new, lent):
                self._pack.add(records(together), piece)
        lent.let_go()
        if self._pack is not None and self._pack.full:
            self._close_pack()

    def _holds(self, chunk_id: bytes) -> bool:
        """Whether it was stored by this stream already, and no row tells that yet."""
        return chunk_id in self._fresh or self._closing.holds(chunk_id)

    def _close_pack(self) -> None:
        """Let the full pack and its rows be stored in the background; the stream goes on with the next one."""
        assert self._pack is not None
        self._closing.add(self._pack, self._fresh, self._manifest.take_segments())
        self._pack = None
        self._fresh = set()

    def _finish(self, total: int) -> Stored:
        packs = []
        last: Callable[[], StoredPack] | None = None
        if self._pack is not None:
            last = self._pack.close()
        head = self._manifest.finish()
        self._closing.wait()
        if last is not None:
            packs.append(last())
            self._pack = None
        return Stored(head, total, self._write, self._in.synced, self.ahead, packs, self._manifest.take_segments())

    def break_off(self) -> None:
        """End what is under way; nothing of it runs any more on return."""
        self._examiner.end()
        for group in self._groups:
            group.found.exception()
        for _ in range(self._extra):
            self._in.extra.release()
        if self._pack is not None:
            self._pack.break_off()
        self._closing.end()


def _fill(source: Source, view: memoryview) -> int:
    """Read until ``view`` is full or the content ends."""
    filled = 0
    while filled < len(view):
        count = source.readinto(view[filled:])
        if count == 0:
            break
        filled += count
    return filled

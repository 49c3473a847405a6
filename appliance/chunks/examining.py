"""What a stream's chunks are: hashed, looked up, and compressed if the store does not have them.

Hashing never waits for the database: groups that are hashed while a question is under way go together with the next
one, so the further away the database is the fewer questions there are.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from appliance import faults
from appliance.chunks import codec, rows
from appliance.chunks.garbage import Ahead
from appliance.chunks.group import Found
from appliance.chunks.writers import Write, require
from appliance.db.database import Database
from appliance.db.sql import Session


class Hashed(NamedTuple):
    """A group's chunks; ``starts``: where each begins."""

    ids: list[bytes]
    starts: list[int]
    views: list[memoryview]


def hash_chunks(block: memoryview, ends: list[int]) -> Hashed:
    """A group that was cut at ``ends``."""
    faults.point("chunk.hash")
    starts = [0, *ends][: len(ends)]
    views = [block[start:end] for start, end in zip(starts, ends, strict=True)]
    return Hashed([hashlib.sha256(view).digest() for view in views], starts, views)


def compress(group: Hashed, known: set[bytes], *, thorough: bool = False) -> list[Found]:
    """What is to be stored of a group; ``known`` chunks are not, and of equal ones the first."""
    faults.point("chunk.compress")
    compressor = codec.Compressor(thorough=thorough)
    seen = set(known)
    found = []
    for chunk_id, start, view in zip(group.ids, group.starts, group.views, strict=True):
        if chunk_id in seen:
            found.append(Found(chunk_id, start, len(view), False))
            continue
        seen.add(chunk_id)
        how, stored = compressor.encode(view)
        found.append(Found(chunk_id, start, len(view), True, how, codec.checksum(stored), stored))
    return found


def known_chunks(database: Database, ids: Sequence[bytes], write: Write, ahead: Ahead) -> set[bytes]:
    """Those that are stored, and that no prune takes before this write is finished."""
    with database.read() as session:
        faults.point("chunk.lookup")
        wanted = rows.wanted_since(session, ids)
    stale = [chunk_id for chunk_id, epoch in wanted.items() if epoch < write.epoch]
    if not stale:
        return set(wanted)

    def renew(session: Session) -> set[bytes]:
        require(session, write)
        faults.point("chunk.renew")
        return rows.renew(session, stale, epoch=write.epoch)

    return (set(wanted) - set(stale)) | ahead.commit(database, renew)


class _Group(NamedTuple):
    hashed: Hashed
    found: Future[list[Found]]


class Examiner:
    """Of one stream; works in the threads of ``pool``, none of which waits for another."""

    def __init__(self, pool: ThreadPoolExecutor, known: Callable[[Sequence[bytes]], set[bytes]]) -> None:
        """``known``: which of these chunks need not be stored."""
        self._pool = pool
        self._known = known
        self._mutex = threading.Lock()
        self._waiting: list[_Group] = []
        self._asks = False
        self._ended = False

    def begin(self, block: memoryview, ends: list[int]) -> Future[list[Found]]:
        """Examine a group, which stays as it is until there is a result."""
        found: Future[list[Found]] = Future()
        self._pool.submit(self._hash, block, ends, found)
        return found

    def end(self) -> None:
        """What is not done yet fails soon. Who needs the blocks waits for each result."""
        self._ended = True

    def _hash(self, block: memoryview, ends: list[int], found: Future[list[Found]]) -> None:
        try:
            self._go_on()
            group = _Group(hash_chunks(block, ends), found)
        except BaseException as error:  # noqa: BLE001 - it is the stream's, which waits for it
            found.set_exception(error)
            return
        with self._mutex:
            self._waiting.append(group)
            if self._asks:
                return
            self._asks = True
        while self._ask():
            pass

    def _ask(self) -> bool:
        """Whether there was something to ask for."""
        with self._mutex:
            groups, self._waiting = self._waiting, []
            self._asks = bool(groups)
        if not groups:
            return False
        try:
            self._go_on()
            known = self._known(list(dict.fromkeys(chunk_id for group in groups for chunk_id in group.hashed.ids)))
        except BaseException as error:  # noqa: BLE001 - it is the stream's, which waits for it
            for group in groups:
                group.found.set_exception(error)
            return True
        for group in groups[1:]:
            self._let_compress(group, known)
        self._compress(groups[0], known)
        return True

    def _let_compress(self, group: _Group, known: set[bytes]) -> None:
        try:
            self._pool.submit(self._compress, group, known)
        except RuntimeError:
            # The store is being closed, and waits for what is under way.
            self._compress(group, known)

    def _compress(self, group: _Group, known: set[bytes]) -> None:
        try:
            self._go_on()
            group.found.set_result(compress(group.hashed, known))
        except BaseException as error:  # noqa: BLE001 - it is the stream's, which waits for it
            group.found.set_exception(error)

    def _go_on(self) -> None:
        if self._ended:
            raise InterruptedError("the stream was broken off")

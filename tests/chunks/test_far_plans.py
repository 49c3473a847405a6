"""Far content is planned ahead of its bytes: how often the database is asked, and what comes when it fails."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from appliance.backends.cached import CachedBackend
from appliance.backends.disk import DiskBackend
from appliance.chunks import rows
from appliance.chunks.pack import HEADER_SIZE
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import Damaged, Unavailable
from tests.support.content import MIB, OpenStore, keep, noise, read
from tests.support.damage import Damage
from tests.support.databases import on_sqlite
from tests.support.faults import CountingDatabase, within
from tests.support.remote import RemoteBackend

pytestmark = on_sqlite

SIZE = 40 * MIB
CONTENT = noise(SIZE, 11)


@pytest.fixture(name="asked")
def _asked(database: Database) -> CountingDatabase:
    return CountingDatabase(database)


@pytest.fixture(name="remote")
def _remote(backend: DiskBackend) -> RemoteBackend:
    return RemoteBackend(backend, latency_s=0.005)


@pytest.fixture(name="far")
def _far(asked: CountingDatabase, remote: RemoteBackend, open_store: OpenStore) -> ChunkStore:
    return open_store(asked, remote)


@pytest.fixture(name="located")
def _located(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many chunks each statement was asked for."""
    found: list[int] = []
    locate = rows.locate

    def counted(session: Session, ids: Sequence[bytes]) -> dict[bytes, rows.Located]:
        found.append(len(ids))
        return locate(session, ids)

    monkeypatch.setattr(rows, "locate", counted)
    return found


def read_until(store: ChunkStore, head: bytes, error: type[Exception]) -> bytes:
    """What comes of the content before this error."""
    came = bytearray()

    def consume() -> None:
        for block in store.read(head, 0, SIZE):
            came.extend(block)

    with pytest.raises(error):
        within(30, consume)
    assert CONTENT.startswith(came)
    return bytes(came)


def test_each_chunk_is_looked_up_once(far: ChunkStore, asked: CountingDatabase, located: list[int]) -> None:
    """Of new content, and of content in runs of some packs and then some others."""
    others = [noise(12 * MIB, seed) for seed in (21, 22, 23)]
    for other in others:
        keep(far, asked, other)
    mixed = b"".join(other[at : at + 2 * MIB] for at in range(0, 12 * MIB, 2 * MIB) for other in others)
    for content in (CONTENT, mixed):
        head = keep(far, asked, content)
        located.clear()
        assert within(30, partial(read, far, head, 0, len(content))) == content
        assert sum(located) < len(content) // 30_000
        assert len(located) < 12


def test_whole_packs_are_found_by_their_first_chunk(
    far: ChunkStore, asked: CountingDatabase, located: list[int], remote: RemoteBackend
) -> None:
    """What they hold stands at their end, which comes with the same request."""
    head = keep(far, asked, CONTENT)
    packs = [blob.size for blob in remote.inner.list("packs/")]
    located.clear()
    remote.gets.clear()
    assert read(far, head, 0, SIZE) == CONTENT
    with asked.read() as session:
        chunks = session.value(Sql("SELECT COUNT(*) FROM chunk"))
    # All of the first pack, in which the portions grow, and what was drawn beyond its end.
    assert sum(located) < chunks * 3 // 4
    assert located[-1] == 1
    assert [length for _, start, length in remote.gets if start == HEADER_SIZE][1:] == [
        size - HEADER_SIZE for size in packs[1:]
    ]


@pytest.mark.parametrize("at", [-1, -20, -2000])
def test_pack_whose_index_is_damaged_is_read_chunk_by_chunk(
    far: ChunkStore, asked: CountingDatabase, remote: RemoteBackend, damage: Damage, at: int
) -> None:
    """The database knows its chunks too."""
    head = keep(far, asked, CONTENT)
    for blob in list(remote.inner.list("packs/")):
        damage.flip(blob.key, blob.size + at)
    assert read(far, head, 0, SIZE) == CONTENT


def test_damaged_chunk_of_a_whole_pack_is_told_and_not_given(
    far: ChunkStore, asked: CountingDatabase, remote: RemoteBackend, damage: Damage
) -> None:
    """What stands before it comes."""
    head = keep(far, asked, CONTENT)
    second = list(remote.inner.list("packs/"))[1]
    damage.flip(second.key, second.size // 2)
    assert len(read_until(far, head, Damaged)) > 15 * MIB
    with asked.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM finding WHERE what = 'chunk'")) == 1


@pytest.mark.parametrize("fails_from, at_least", [(2, 0), (3, 262_144), (4, MIB)])
def test_bytes_that_are_there_come_before_the_database_fails(
    far: ChunkStore, asked: CountingDatabase, fails_from: int, at_least: int
) -> None:
    """However early that is: portions that were planned are read to their end."""
    head = keep(far, asked, CONTENT)
    asked.reads, asked.fails_from = 0, fails_from
    assert len(read_until(far, head, Unavailable)) >= at_least
    asked.fails_from = 0
    assert read(far, head, 0, SIZE) == CONTENT


def test_first_bytes_wait_for_two_portions_to_be_planned(far: ChunkStore, asked: CountingDatabase) -> None:
    """Where the third one lies is asked when they are on their way: so the segment, the first chunks, the second."""
    head = keep(far, asked, CONTENT)
    asked.reads = 0
    blocks = far.read(head, 0, SIZE)
    next(blocks)
    assert asked.reads == 3
    blocks.close()  # type: ignore[attr-defined]


def test_what_was_read_once_comes_from_the_cache(
    asked: CountingDatabase, remote: RemoteBackend, open_store: OpenStore, tmp_path: Path
) -> None:
    """Also in portions of a whole pack."""
    cached = CachedBackend(remote, tmp_path / "cache", 200 * MIB)
    far = open_store(asked, cached)
    head = keep(far, asked, CONTENT)
    for _ in range(4):
        # What the cache's thread has no time for is not kept.
        remote.gets.clear()
        assert read(far, head, 0, SIZE) == CONTENT
        assert cached.flush(20)
    assert remote.gets == []

"""What is known to be damaged is stored anew by who uploads the same content, and nothing else is."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from appliance.backends.disk import DiskBackend
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database, Work
from appliance.db.sql import Row, Sql
from appliance.errors import Damaged, Unavailable
from tests.support.content import MIB, OpenStore, keep, noise, prose, read
from tests.support.damage import Damage
from tests.support.databases import on_sqlite
from tests.support.faults import DatabaseProxy, in_threads

T = TypeVar("T")
CONTENT = prose(400_000) + noise(2 * MIB)


def found(database: Database) -> list[Row]:
    """(what, by, outcome) of all findings."""
    with database.read() as session:
        return session.rows(Sql("SELECT what, found_by, outcome FROM finding ORDER BY id"))


def one(database: Database, text: str) -> int:
    """The first column of the only row."""
    with database.read() as session:
        return int(session.value(Sql(text)))


def spoil_a_chunk(database: Database, damage: Damage) -> int:
    """Flip a byte in the midst of a chunk; returns the bytes that it takes."""
    (key,) = damage.packs()
    with database.read() as session:
        offset, stored = session.rows(Sql('SELECT "offset", stored FROM chunk ORDER BY "offset"'))[9]
    damage.flip(key, offset + stored // 2)
    return int(stored)


def fail_to_read(store: ChunkStore, head: bytes, size: int) -> None:
    """The damage is met."""
    with pytest.raises(Damaged):
        read(store, head, 0, size)


def test_read_that_meets_damage_notes_it_once(store: ChunkStore, database: Database, damage: Damage) -> None:
    """However often it is met; the pack is to be looked at soon."""
    head = keep(store, database, CONTENT)
    spoil_a_chunk(database, damage)
    assert one(database, "SELECT verified_at FROM pack") == one(database, "SELECT created_at FROM pack") > 0
    for _ in range(3):
        fail_to_read(store, head, len(CONTENT))
    assert found(database) == [("chunk", "read", None)]
    with database.read() as session:
        row = session.row(Sql("SELECT f.place, c.pack_id FROM finding f JOIN chunk c ON c.id = f.digest"))
    assert row is not None
    assert row[0] == row[1]
    assert one(database, "SELECT verified_at FROM pack") == 0


def test_same_content_again_heals_the_damaged_chunk_and_stores_nothing_else(
    store: ChunkStore, database: Database, backend: DiskBackend, damage: Damage
) -> None:
    """The other chunks stay where they are."""
    head = keep(store, database, CONTENT)
    lost = spoil_a_chunk(database, damage)
    assert keep(store, database, CONTENT) == head
    assert len(damage.packs()) == 1, "nobody knows of the damage"
    fail_to_read(store, head, len(CONTENT))
    assert keep(store, database, CONTENT) == head
    assert read(store, head, 0, len(CONTENT)) == CONTENT
    assert found(database) == [("chunk", "read", "healed")]
    _, healing = damage.packs()
    assert lost < (backend.head(healing) or 0) < lost + 200
    keep(store, database, CONTENT)
    assert len(damage.packs()) == 2


def test_lost_rows_of_chunks_come_back_with_the_content(store: ChunkStore, database: Database, damage: Damage) -> None:
    """What has no row is stored anew in any case; that it was missed is over then."""
    head = keep(store, database, CONTENT)
    damage.sql("DELETE FROM chunk WHERE id = (SELECT id FROM chunk ORDER BY id LIMIT 1)")
    fail_to_read(store, head, len(CONTENT))
    assert found(database) == [("chunk", "read", None)]
    keep(store, database, CONTENT)
    assert read(store, head, 0, len(CONTENT)) == CONTENT
    assert found(database) == [("chunk", "read", "healed")]


@pytest.mark.parametrize("content", [noise(3000), prose(3000)], ids=["raw", "compressed"])
@pytest.mark.parametrize("spoil", ["DELETE FROM small", "UPDATE small SET data = :zeros"])
def test_small_content_is_healed(
    store: ChunkStore, database: Database, damage: Damage, content: bytes, spoil: str
) -> None:
    """A row that is wrong, and one that is gone."""
    head = keep(store, database, content)
    damage.sql(spoil, zeros=bytes(3000))
    for _ in range(2):
        fail_to_read(store, head, len(content))
    assert found(database) == [("small", "read", None)]
    assert keep(store, database, content) == head
    assert read(store, head, 0, len(content)) == content
    assert found(database) == [("small", "read", "healed")]


@pytest.mark.parametrize("spoil", ["DELETE FROM segment", "UPDATE segment SET data = :zeros"])
def test_segment_is_healed(store: ChunkStore, database: Database, damage: Damage, spoil: str) -> None:
    """A list of chunks that is wrong, and one that is gone."""
    head = keep(store, database, CONTENT)
    damage.sql(spoil, zeros=bytes(72))
    fail_to_read(store, head, len(CONTENT))
    assert found(database) == [("segment", "read", None)]
    assert keep(store, database, CONTENT) == head
    assert read(store, head, 0, len(CONTENT)) == CONTENT
    assert found(database) == [("segment", "read", "healed")]
    assert len(damage.packs()) == 1


def test_uploads_that_heal_at_the_same_time_leave_one_place(
    store: ChunkStore, database: Database, damage: Damage
) -> None:
    """Whoever comes first; the content is whole, and the finding closed once."""
    head = keep(store, database, CONTENT)
    spoil_a_chunk(database, damage)
    fail_to_read(store, head, len(CONTENT))
    heads = in_threads(4, lambda number: keep(store, database, CONTENT, step=100_000 + number))
    assert set(heads) == {head}
    assert read(store, head, 0, len(CONTENT)) == CONTENT
    assert found(database) == [("chunk", "read", "healed")]


class _Sealed(DatabaseProxy):
    """A database that takes no writes, as on a disk that was mounted read-only."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner, lambda: None)

    def write(self, work: Work[T], *, line: Hashable = None) -> T:
        raise Unavailable(reason="the database cannot be written")


def test_damage_that_cannot_be_noted_is_told_to_the_reader_all_the_same(
    store: ChunkStore, database: Database, backend: DiskBackend, open_store: OpenStore, damage: Damage
) -> None:
    """As what it is, and not as an error of writing."""
    head = keep(store, database, CONTENT)
    spoil_a_chunk(database, damage)
    fail_to_read(open_store(_Sealed(database), backend), head, len(CONTENT))
    assert found(database) == []


@contextmanager
def traced(database: Database) -> Iterator[list[str]]:
    """The statements of one connection that reads."""
    told: list[str] = []
    with database.read() as session:
        assert isinstance(session.connection, sqlite3.Connection)
        session.connection.set_trace_callback(told.append)
        connection = session.connection
    yield told
    connection.set_trace_callback(None)


@on_sqlite
def test_reading_what_is_intact_asks_nothing_about_findings(store: ChunkStore, database: Database) -> None:
    """They cost only who meets damage."""
    head = keep(store, database, CONTENT)
    with traced(database) as told:
        assert read(store, head, 0, len(CONTENT)) == CONTENT
    assert any("FROM segment" in each for each in told)
    assert not any("finding" in each for each in told)


@on_sqlite
def test_looking_for_known_damage_uses_the_index(store: ChunkStore, database: Database) -> None:
    """Each chunk of each upload is asked for."""
    keep(store, database, CONTENT)
    with traced(database) as told:
        keep(store, database, CONTENT)
    asked = next(each for each in told if "NOT EXISTS" in each)
    with database.read() as session:
        session.cursor.execute(f"EXPLAIN QUERY PLAN {asked}")
        plan = " ".join(str(row[3]) for row in session.cursor.fetchall())
    assert "ix_finding_open (digest=? AND place=? AND what=?)" in plan
    assert "SCAN" not in plan

"""Which chunks a content has, page by page, and what of them can be had at the store itself."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest

from appliance import clock
from appliance.backends.disk import DiskBackend
from appliance.chunks import codec, packing
from appliance.chunks.lending import Loan
from appliance.chunks.manifest import Entry
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from tests.support.content import MIB, OpenStore, keep, noise, prose
from tests.support.databases import on_sqlite
from tests.support.faults import CountingDatabase
from tests.support.giving import Giving

# Not compressible, compressible, and the same chunk again and again.
CONTENT = noise(4 * MIB) + prose(3 * MIB) + bytes(2 * MIB) + noise(MIB, seed=3)


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB)


@pytest.fixture
def giving(backend: DiskBackend) -> Giving:
    """URLs that tell what was asked for."""
    return Giving(backend)


def require_found(loan: Loan, entries: list[Entry], giving: Giving) -> None:
    """Each of the chunks, by its run and nothing else; and runs are nothing but chunks."""
    told = {number: bytearray(run.end - run.first) for number, run in enumerate(loan.runs)}
    for entry in entries:
        lent = loan.chunks[entry.id]
        run = loan.runs[lent.run]
        key, start, length, _ = run.url.split()
        assert (int(start), int(length)) == (run.first, run.end - run.first)
        stored = giving.get(key, run.first, run.end - run.first)[lent.start : lent.start + lent.stored]
        plain = codec.decode(lent.codec, stored, entry.length)
        assert hashlib.sha256(plain).digest() == entry.id
        told[lent.run][lent.start : lent.start + lent.stored] = b"x" * lent.stored
    assert all(set(each) == set(b"x") for each in told.values())


@on_sqlite
@pytest.mark.parametrize("most", [1, 7, 1000])
def test_pages_are_the_content_chunk_by_chunk(
    database: Database, backend: DiskBackend, open_store: OpenStore, most: int
) -> None:
    """Whatever their size is; and only where a chunk begins."""
    store = open_store(database, backend)
    content = CONTENT if most > 1 else CONTENT[: 2 * MIB]
    head = keep(store, database, content)
    at, seen = 0, 0
    while page := store.entries(head, at, most):
        assert len(page) <= most
        for entry in page:
            assert hashlib.sha256(content[at : at + entry.length]).digest() == entry.id
            at += entry.length
            seen += 1
    assert at == len(content)
    assert seen > 16, "of several segments, or of one"
    assert store.entries(head, 1, most) == []
    assert store.entries(head, len(content) + 1, most) == []


@on_sqlite
def test_small_and_empty_content(database: Database, backend: DiskBackend, open_store: OpenStore) -> None:
    """One entry, and none."""
    store = open_store(database, backend)
    small = keep(store, database, b"few bytes")
    assert store.entries(small, 0, 10) == [Entry(hashlib.sha256(b"few bytes").digest(), 9)]
    assert store.entries(small, 9, 10) == store.entries(small, 3, 10) == []
    assert store.entries(keep(store, database, b""), 0, 10) == []


def all_of(store: ChunkStore, head: bytes) -> list[Entry]:
    """Its chunks."""
    return store.entries(head, 0, 100_000)


def test_lent_bytes_are_those_of_the_chunks_and_no_others(
    database: Database, giving: Giving, open_store: OpenStore
) -> None:
    """Raw and compressed, a chunk that comes again only once, and another file's never, though it lies between."""
    store = open_store(database, giving)
    half = keep(store, database, CONTENT[: 3 * MIB // 2])
    whole = all_of(store, keep(store, database, CONTENT))
    loan = store.lend(whole)
    assert set(loan.chunks) == {entry.id for entry in whole}
    assert {lent.codec for lent in loan.chunks.values()} == {codec.RAW, codec.ZSTD}
    assert len(whole) > len(loan.chunks) > len(loan.runs) > 3
    require_found(loan, whole, giving)
    part = all_of(store, half)
    assert sum(run.end - run.first for run in store.lend(part).runs) == 3 * MIB // 2
    with_holes = whole[::2]
    loan = store.lend(with_holes)
    require_found(loan, with_holes, giving)
    for one, other in pairwise(loan.runs):
        assert one.url.split()[0] != other.url.split()[0] or one.end != other.first


def test_what_has_no_place_is_not_lent(database: Database, giving: Giving, open_store: OpenStore) -> None:
    """No row, another length than the row says, or no URL; the others are."""
    store = open_store(database, giving)
    entries = all_of(store, keep(store, database, CONTENT))
    unknown, wrong = Entry(b"x" * 32, 5), entries[3]._replace(length=entries[3].length + 1)
    given = [*entries[:3], unknown, wrong, *entries[4:]]
    assert store.lend(given).chunks.keys() == {entry.id for entry in entries} - {entries[3].id}
    refused = store.lend(entries).runs[1].url.split()[0]
    giving.refuses.add(refused)
    loan = store.lend(entries)
    assert 0 < len(loan.chunks) < len({entry.id for entry in entries})
    assert refused not in {run.url.split()[0] for run in loan.runs}
    require_found(loan, [entry for entry in entries if entry.id in loan.chunks], giving)


@on_sqlite
def test_page_costs_one_look_and_none_where_nothing_is_lent(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """However many chunks it has."""
    counting = CountingDatabase(database)
    giving = Giving(backend)
    store = open_store(counting, giving)
    entries = all_of(store, keep(store, counting, CONTENT))
    counting.reads = 0
    assert store.lend(entries).chunks
    assert counting.reads == 1
    giving.seconds = 0
    assert store.lend(entries).chunks == {}
    assert counting.reads == 1


@on_sqlite
def test_url_ends_in_time_however_long_the_look_took(
    database: Database, giving: Giving, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that was dropped right behind it is removed after that time."""
    store = open_store(database, giving)
    entries = all_of(store, keep(store, database, CONTENT))
    for took_s, left_s in ((0, {"77"}), (60.5, {"16"}), (76.5, set()), (1000, set())):
        now = 1_800_000_000 * clock.SECOND
        times = iter([now])
        monkeypatch.setattr(
            clock, "now", lambda times=times, later=now + int(took_s * clock.SECOND): next(times, later)
        )
        loan = store.lend(entries)
        assert loan.expires_at == now + 77 * clock.SECOND
        assert {run.url.split()[3] for run in loan.runs} == left_s

"""Writer rows and epochs: what keeps prune from taking a chunk that an upload is about to name."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance import clock
from appliance.backends.disk import DiskBackend
from appliance.chunks import identity
from appliance.chunks.store import ChunkStore
from appliance.chunks.writers import LEASE_S, Write, Writers
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import Unavailable
from tests.support.content import MIB, Body, OpenStore, Unwatched, keep, noise, read
from tests.support.databases import SqliteTemplate, on_sqlite
from tests.support.faults import DatabaseProxy, in_threads

_ROW = Sql("SELECT epoch, expires_at, state FROM writer WHERE id = :id")
_RAISE = Sql("UPDATE store SET prune_epoch = prune_epoch + 1")
_EPOCH = Sql("SELECT prune_epoch FROM store")


@pytest.fixture
def made(database: Database, backend: DiskBackend) -> Writers:
    """The writers of a new store."""
    identity.establish(database, backend)
    return Writers(database)


def row_of(database: Database, write: Write) -> tuple[int, int, str]:
    """Epoch, end of the lease and state of the row that a write goes under."""
    with database.read() as session:
        row = session.row(_ROW, id=write.writer_id)
    assert row is not None
    return row[0], row[1], row[2]


def raise_epoch(database: Database) -> int:
    """What a prune does first; returns the new epoch."""
    database.write(lambda session: session.run(_RAISE))
    with database.read() as session:
        epoch: int = session.value(_EPOCH)
    return epoch


def declare_dead(database: Database) -> None:
    """What a sweep does with a silent writer."""
    database.write(lambda session: session.run(Sql("UPDATE writer SET state = 'dead'")))


def wanted(database: Database, table: str) -> set[int]:
    """The epochs of all rows of a table."""
    with database.read() as session:
        return {row[0] for row in session.rows(Sql(f"SELECT wanted FROM {table}"))}


def test_first_write_registers_the_process(database: Database, made: Writers) -> None:
    """Not before: a process that only reads has no row."""
    with database.read() as session:
        assert session.rows(Sql("SELECT id FROM writer")) == []
    before = clock.now()
    with made.write() as write, made.write() as second:
        assert second == write
        epoch, expires_at, state = row_of(database, write)
        assert (epoch, state) == (write.epoch, "alive")
        assert before + LEASE_S * clock.SECOND <= expires_at <= clock.now() + LEASE_S * clock.SECOND
        with database.read() as session:
            assert write.epoch == session.value(_EPOCH)


def test_write_keeps_its_epoch_in_the_row_until_it_ends(database: Database, made: Writers) -> None:
    """Over any number of prunes and renewals; new writes take the new epoch."""
    with ExitStack() as ending:
        old = ending.enter_context(made.write())
        for _ in range(3):
            newest = raise_epoch(database)
            made.renew()
            assert row_of(database, old)[0] == old.epoch
            with made.write() as new:
                assert new.epoch == newest
    made.renew()
    assert row_of(database, old)[0] == old.epoch + 3


def test_row_keeps_the_epoch_of_the_oldest_of_several_writes(database: Database, made: Writers) -> None:
    """Writes end in any order."""
    endings = [ExitStack() for _ in range(3)]
    writes = []
    for ending in endings:
        writes.append(ending.enter_context(made.write()))
        raise_epoch(database)
        made.renew()
    assert writes[0].epoch < writes[1].epoch < writes[2].epoch
    for end, left in [(1, 0), (0, 2)]:
        endings[end].close()
        made.renew()
        assert row_of(database, writes[0])[0] == writes[left].epoch
    endings[2].close()


def test_renewal_prolongs_the_lease(database: Database, made: Writers) -> None:
    """A slow upload may take days; its writer lives on."""
    made.renew()
    with made.write() as write:
        database.write(lambda session: session.run(Sql("UPDATE writer SET expires_at = 5")))
        made.renew()
        assert row_of(database, write)[1] > clock.now() + (LEASE_S - 10) * clock.SECOND


def test_dead_writer_can_commit_nothing(store: ChunkStore, database: Database) -> None:
    """Its chunks may be gone already; the process gets a new row and goes on."""
    for size in (100, 50_000, 2 * MIB):
        content = noise(size)
        with store.receive(Body(content), Unwatched()) as stored:
            declare_dead(database)
            with pytest.raises(Unavailable):
                database.write(stored.commit)
        with database.read() as session:
            for table in ("pack", "chunk", "small", "segment"):
                assert session.value(Sql(f"SELECT COUNT(*) FROM {table}")) == 0
        with pytest.raises(Unavailable):
            keep(store, database, content)
        store.writers.renew()
        with store.writers.write() as write:
            assert write.writer_id > stored.write.writer_id
        head = keep(store, database, content)
        assert read(store, head, 0, size) == content
        for table in ("pack", "chunk", "small", "segment"):
            database.write(lambda session, table=table: session.run(Sql(f"DELETE FROM {table}")))  # type: ignore[misc]


def test_write_of_a_dead_writer_stays_dead_after_the_process_has_a_new_one(
    store: ChunkStore, database: Database
) -> None:
    """What began under the old row cannot be saved by the new one."""
    with store.receive(Body(noise(50_000)), Unwatched()) as stored:
        declare_dead(database)
        store.writers.renew()
        keep(store, database, noise(50_000, seed=2))
        with pytest.raises(Unavailable):
            database.write(stored.commit)


def test_writer_that_is_dead_finds_nothing_either(store: ChunkStore, database: Database) -> None:
    """A dedup hit that has to be renewed is a commit like any other."""
    content = noise(2 * MIB)
    keep(store, database, content)
    raise_epoch(database)
    store.writers.renew()
    with store.writers.write():
        declare_dead(database)
        with pytest.raises(Unavailable):
            keep(store, database, content)
    assert wanted(database, "chunk") == {1}


@pytest.mark.parametrize("size, table", [(100, "small"), (50_000, "chunk"), (3 * MIB, "chunk"), (3 * MIB, "segment")])
def test_hits_from_earlier_epochs_are_wanted_again(
    store: ChunkStore, database: Database, size: int, table: str
) -> None:
    """What a new upload found must be as safe as what it stored."""
    content = noise(size)
    keep(store, database, content)
    assert wanted(database, table) == {1}
    epoch = raise_epoch(database)
    store.writers.renew()
    packs = list(store.backend.list(""))
    keep(store, database, content)
    assert wanted(database, table) == {epoch}
    assert list(store.backend.list("")) == packs


@on_sqlite
def test_hits_from_this_epoch_need_no_transaction(
    database: Database, backend: DiskBackend, open_store: OpenStore
) -> None:
    """Storing the same again in one epoch reads only, until its commit."""
    writes: list[None] = []
    proxy = DatabaseProxy(database, lambda: writes.append(None))
    store = open_store(proxy, backend)
    content = noise(5 * MIB)
    keep(store, database, content)
    before = len(writes)
    keep(store, database, content)
    assert len(writes) == before


def test_wanted_never_falls(store: ChunkStore, database: Database) -> None:
    """A write of an older epoch stores what a newer one has found: the newer one counts."""
    contents = [noise(100), noise(3 * MIB)]
    for content in contents:
        with store.receive(Body(content), Unwatched()) as old:
            raise_epoch(database)
            store.writers.renew()
            keep(store, database, content)
            newer = [wanted(database, table) for table in ("small", "chunk", "segment")]
            database.write(old.commit)
            assert [wanted(database, table) for table in ("small", "chunk", "segment")] == newer


@pytest.mark.parametrize("all_of_them", [False, True])
def test_chunk_that_vanished_before_its_renewal_is_stored_again(
    database: Database, backend: DiskBackend, open_store: OpenStore, all_of_them: bool
) -> None:
    """A prune between the look-up and the UPDATE took it: the bytes at hand are stored, not the hit believed."""
    prune: list[str] = []

    def before_write() -> None:
        if prune:
            delete = Sql(prune.pop())
            database.write(lambda session: session.run(delete))

    proxy = DatabaseProxy(database, before_write)
    store = open_store(proxy, backend)
    content = noise(3 * MIB)
    keep(store, database, content)
    raise_epoch(database)
    store.writers.renew()
    prune.append("DELETE FROM chunk WHERE wanted = 1" + ("" if all_of_them else " AND length % 2 = 0"))
    head = keep(store, database, content)
    assert prune == []
    assert read(store, head, 0, len(content)) == content
    assert wanted(database, "chunk") == {2}
    assert len(list(backend.list("packs/"))) == 2


def test_retired_writer_is_dead_and_the_next_write_gets_another(store: ChunkStore, database: Database) -> None:
    """An orderly end gives the lease back at once."""
    store.writers.retire()
    with store.writers.write() as write:
        pass
    store.writers.retire()
    store.writers.retire()
    store.writers.renew()
    assert row_of(database, write)[2] == "dead"
    with store.writers.write() as other:
        assert other.writer_id != write.writer_id
        assert row_of(database, other)[2] == "alive"


def test_packs_of_a_process_never_share_a_counter(made: Writers) -> None:
    """In any thread, also after the process got another writer row."""
    counters = in_threads(8, lambda _: [made.next_pack() for _ in range(200)])
    assert len({counter for each in counters for counter in each}) == 1600


def test_threads_that_write_first_register_once(database: Database, made: Writers) -> None:
    """However many begin together."""

    def work(_: int) -> Write:
        with made.write() as write:
            return write

    assert len(set(in_threads(8, work))) == 1
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM writer")) == 1


steps = st.lists(st.one_of(st.sampled_from(["begin", "prune", "renew"]), st.integers(0, 5)), max_size=30)


@settings(max_examples=40)
@given(steps)
def test_least_epoch_of_living_writers_protects_every_unfinished_write(
    sqlite_template: SqliteTemplate, tmp_path_factory: pytest.TempPathFactory, steps: list[str | int]
) -> None:
    """Whatever happens in whatever order: prune's bound never passes a write that has not ended."""
    folder = tmp_path_factory.mktemp("writers")
    least = Sql("SELECT MIN(epoch) FROM writer WHERE state = 'alive'")
    with sqlite_template.copy(folder / "holdfast.db") as database:
        identity.establish(database, DiskBackend(folder, synced=False))
        two = [Writers(database), Writers(database)]
        unfinished: list[tuple[ExitStack, Write]] = []
        for number, step in enumerate(steps):
            if step == "begin":
                ending = ExitStack()
                unfinished.append((ending, ending.enter_context(two[number % 2].write())))
            elif step == "prune":
                raise_epoch(database)
            elif step == "renew":
                two[number % 2].renew()
            elif unfinished:
                unfinished.pop(int(step) % len(unfinished))[0].close()
            if unfinished:
                with database.read() as session:
                    assert session.value(least) <= min(write.epoch for _, write in unfinished)


def test_writer_that_registers_during_a_prune_waits_for_its_epoch(made: Writers, database: Database) -> None:
    """Else the prune would not see the writer, and the writer would count on the epoch before."""
    entered, go_on = threading.Event(), threading.Event()

    def prune(session: Session) -> None:
        session.run(_RAISE)
        entered.set()
        assert go_on.wait(20)

    def register() -> int:
        with made.write() as write:
            return write.epoch

    with ThreadPoolExecutor(2) as pool:
        pruning = pool.submit(database.write, prune)
        assert entered.wait(20)
        registering = pool.submit(register)
        with pytest.raises(TimeoutError):
            registering.result(timeout=0.5)
        go_on.set()
        pruning.result(timeout=20)
        assert registering.result(timeout=20) == 2

"""What broken-off uploads and purged trees leave goes by itself; what anybody names stays."""

from __future__ import annotations

import sqlite3

import pytest

from appliance.accounts import users
from appliance.backends.disk import DiskBackend
from appliance.chunks import packing
from appliance.errors import BackendError, Conflict, Damaged, HoldfastError, Unavailable
from appliance.files import write
from appliance.tree.conditions import Conditions
from appliance.tree.paths import parse
from appliance.upkeep import marks
from appliance.upkeep.prune import Pruned, prune
from appliance.upkeep.sweep import declare_all_dead
from providers.dav.conditions import EtagList
from tests.files.person import Person
from tests.files.pruning import (
    LARGE,
    NOTHING,
    OTHER,
    PART,
    at_point,
    blobs,
    count,
    cut,
    prune_of,
    prune_ripe,
    stored,
)
from tests.support.content import MIB, Body, noise
from tests.support.damage import Damage
from tests.support.databases import on_sqlite
from tests.support.faults import BackendProxy, in_threads
from tests.support.unnamed import unnamed


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB // 2)


def test_upload_that_broke_off_leaves_nothing_after_two_runs(alice: Person) -> None:
    """The first run raises the epoch and takes nothing; once the writer has followed, all of it goes."""
    cut(alice, "/film")
    assert count(alice, "pack") == blobs(alice) >= 3
    assert prune_of(alice) == NOTHING
    assert prune_of(alice) == NOTHING, "the writer has not followed"
    chunks, size = count(alice, "chunk"), int(alice.rows("SELECT SUM(size) FROM pack")[0][0])
    packs = blobs(alice)
    alice.files.chunks.writers.renew()
    assert prune_of(alice) == Pruned(chunks, 0, 0, packs, size, 0, looked=True)
    assert (stored(alice), count(alice, "pack"), blobs(alice), count(alice, "garbage")) == (0, 0, 0, 0)


def test_upload_of_a_writer_that_died_goes_at_once(alice: Person) -> None:
    """Nobody is left whose epoch counts: as after a restart."""
    cut(alice, "/film")
    assert prune_of(alice) == NOTHING, "its writer lives, in the old epoch"
    declare_all_dead(alice.files.database)
    assert prune_of(alice).blobs >= 3
    assert (stored(alice), blobs(alice), count(alice, "garbage")) == (0, 0, 0)


def test_upload_that_is_refused_at_its_end_leaves_nothing(alice: Person) -> None:
    """Its last pack goes with the refusal, its earlier ones later."""
    alice.put("/film", b"another")
    etag = alice.etag("/film")

    class Overtaken(Body):
        """The file changes while it is sent."""

        def readinto(self, buffer: memoryview, /) -> int:
            read = super().readinto(buffer)
            if not read:
                alice.put("/film", b"overtaken")
            return read

    with pytest.raises(HoldfastError) as refused:
        write.put_file(
            alice.files, alice.principal, parse("/film"), Overtaken(LARGE), length=len(LARGE),
            conditions=Conditions(if_match=EtagList(False, frozenset({etag}))),
        )  # fmt: skip
    assert isinstance(refused.value, Conflict)
    assert blobs(alice) >= 3
    prune_ripe(alice)
    assert (count(alice, "chunk"), blobs(alice)) == (0, 0)
    assert alice.get("/film") == b"overtaken"


def test_upload_that_is_repeated_makes_use_of_what_the_broken_one_left(alice: Person) -> None:
    """What a file names by then stays, to the last chunk."""
    cut(alice, "/film")
    alice.put("/film", LARGE)
    assert alice.rows("SELECT SUM(size) FROM pack")[0][0] < len(LARGE) * 1.05
    assert prune_ripe(alice).chunks == 0
    assert count(alice, "garbage") == 0
    assert alice.get("/film") == LARGE


def test_only_what_no_file_names_goes(alice: Person) -> None:
    """Packs that still hold something stay whole."""
    cut(alice, "/film")
    alice.put("/part", PART)
    before = blobs(alice)
    gone = prune_ripe(alice)
    assert gone.chunks > 0
    assert 0 < blobs(alice) < before
    assert unnamed(alice.files.database) == []
    assert alice.get("/part") == PART


def test_upload_that_succeeds_is_no_reason_to_look(alice: Person) -> None:
    """However large it was: manifests are not read for nothing."""
    alice.put("/film", LARGE)
    alice.put("/small", b"small")
    alice.put("/film", noise(2 * MIB, 2))
    assert count(alice, "garbage") == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "read_manifests", None)
        assert prune_ripe(alice) == NOTHING


def test_purged_user_leaves_nothing_but_what_others_have_too(alice: Person, bob: Person) -> None:
    """Chunks, segments and small content of the tree and its history."""
    alice.put("/same", PART)
    alice.put("/small", b"same")
    bob.put("/same", PART)
    bob.put("/own", OTHER)
    bob.put("/zeros", bytes(40 * MIB))
    bob.put("/small", b"same")
    bob.put("/old", b"first")
    bob.put("/old", b"second")
    before = count(alice, "small")
    users.purge_user(alice.files.database, bob.user)
    pruned = prune_ripe(alice)
    assert pruned.segments >= 1
    assert pruned.small == before - 1 == 2
    assert pruned.blobs >= 7
    assert unnamed(alice.files.database) == []
    assert alice.get("/same") == PART
    assert alice.get("/small") == b"same"


def test_old_versions_and_what_is_in_the_trash_stay(alice: Person) -> None:
    """Every manifest counts, not only those of files that can be seen."""
    alice.put("/film", LARGE)
    alice.put("/film", b"short")
    alice.put("/gone", noise(2 * MIB, 3))
    alice.remove("/gone")
    cut(alice, "/other", OTHER)
    prune_ripe(alice)
    assert alice.contents("/film") == [b"short", LARGE]
    alice.put_back(alice.trash()[0])
    assert alice.get("/gone") == noise(2 * MIB, 3)


def test_store_that_is_looked_at_in_parts_loses_the_same(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part has a reading of its own."""
    whole = marks.parts
    alice.put("/kept", noise(3 * MIB, 5))
    alice.put("/zeros", bytes(40 * MIB))
    alice.put("/small", b"small")
    cut(alice, "/film")
    monkeypatch.setattr(marks, "parts", lambda session: whole(session, in_part=7))
    with alice.files.database.read() as session:
        assert len(marks.parts(session)) > 10
    prune_ripe(alice)
    assert unnamed(alice.files.database) == []
    assert alice.get("/kept") == noise(3 * MIB, 5)
    assert alice.get("/zeros") == bytes(40 * MIB)


@on_sqlite
@pytest.mark.parametrize(
    "damage", ["UPDATE version SET manifest = x'5A'", "DELETE FROM segment", "UPDATE segment SET data = x'00'"]
)
def test_store_with_a_damaged_manifest_loses_nothing_more(alice: Person, damage: str, request: object) -> None:
    """Nobody can tell what it names: the run says so, and the reason to look stays."""
    alice.put("/zeros", bytes(40 * MIB))
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()
    before = stored(alice)
    with alice.files.database.read() as session:
        connection = session.connection
        assert isinstance(connection, sqlite3.Connection)
        kept = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("version", "segment")}
        connection.execute(damage)
        spoiled = stored(alice)
        with pytest.raises(Damaged, match="manifest"):
            prune_of(alice)
        assert stored(alice) == spoiled
        assert count(alice, "garbage") == 1
        for table, rows in kept.items():
            connection.execute(f"DELETE FROM {table}")
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    assert stored(alice) == before
    assert prune_of(alice).blobs > 0


class Stubborn(BackendProxy):
    """A backend that deletes nothing for a while."""

    fails = True

    def delete(self, key: str) -> None:
        if self.fails:
            raise BackendError(key=key, reason="not now")
        super().delete(key)


def test_blob_that_cannot_be_deleted_is_tried_again(alice: Person) -> None:
    """Its row says that it counts no more, until it is gone."""
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()
    backend = Stubborn(alice.files.chunks.backend)
    failed = prune(alice.files.database, backend)
    assert (failed.blobs, failed.failed) == (0, blobs(alice))
    assert count(alice, "pack") == blobs(alice)
    assert count(alice, "chunk") == 0
    backend.fails = False
    assert prune(alice.files.database, backend).blobs == failed.failed
    assert (count(alice, "pack"), blobs(alice)) == (0, 0)


def test_blob_that_is_gone_already_is_no_obstacle(alice: Person) -> None:
    """As after a run that was killed between the blob and its row."""
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()

    def killed() -> None:
        raise Unavailable(reason="killed")

    with at_point("prune.removed", killed), pytest.raises(Unavailable):
        prune_of(alice)
    assert blobs(alice) == 0
    assert count(alice, "pack") > 0
    prune_of(alice)
    assert count(alice, "pack") == 0


def test_run_that_is_stopped_is_finished_by_the_next(alice: Person) -> None:
    """A server that ends does not wait for it."""
    alice.put("/kept", noise(3 * MIB, 6))
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()
    for steps in range(12):
        left = iter(range(steps))
        prune(alice.files.database, alice.files.chunks.backend, stopping=lambda left=left: next(left, None) is None)
    assert prune_of(alice).failed == 0
    assert (unnamed(alice.files.database), count(alice, "garbage")) == ([], 0)
    assert alice.get("/kept") == noise(3 * MIB, 6)


def test_pack_of_which_every_chunk_was_stored_twice_goes_too(alice: Person) -> None:
    """Two uploads of the same bytes at once: one pack of each pair stays without chunks."""
    in_threads(2, lambda number: alice.put(f"/film{number}", LARGE))
    cut(alice, "/other", OTHER)
    prune_ripe(alice)
    rows = alice.rows("SELECT id FROM pack WHERE id NOT IN (SELECT pack_id FROM chunk)")
    assert rows == []
    assert blobs(alice) == count(alice, "pack")
    assert alice.get("/film0") == alice.get("/film1") == LARGE


def test_disk_is_as_empty_as_before(alice: Person, backend: DiskBackend) -> None:
    """No empty folder of a writer stays either."""
    before = list(backend.list(""))
    cut(alice, "/film")
    prune_ripe(alice)
    assert list(backend.list("")) == before


def test_lost_rows_of_chunks_keep_their_packs_from_being_dropped(alice: Person, damage: Damage) -> None:
    """A pack without rows seems empty; it holds what a file needs, until somebody has looked for that."""
    alice.put("/kept", OTHER)
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()
    packs = blobs(alice)
    damage.sql("DELETE FROM chunk")
    with pytest.raises(Damaged, match="row of"):
        prune_of(alice)
    assert (blobs(alice), count(alice, "garbage")) == (packs, 1)
    assert alice.rows("SELECT COUNT(*) FROM pack WHERE dropped_at IS NOT NULL") == [(0,)]
    alice.put("/kept", OTHER)
    assert prune_of(alice).blobs > 0
    assert alice.get("/kept") == OTHER

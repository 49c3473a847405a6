"""Packs that are mostly dead weight, and many small ones, are written anew; nothing that is needed is lost."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from appliance.accounts import users
from appliance.backends.base import Buffer
from appliance.chunks import packing
from appliance.errors import StorageFull
from appliance.upkeep import merging, repack
from appliance.upkeep.check import check
from appliance.upkeep.prune import Policy, prune
from appliance.upkeep.repair import repair
from tests.files.person import Person
from tests.files.pruning import at_point, blobs, count, prune_of, prune_ripe
from tests.files.scrubbing import checked, open_findings, pack_of, scrub_all
from tests.support.content import MIB, noise
from tests.support.damage import Damage
from tests.support.faults import BackendProxy
from tests.support.unnamed import unnamed

FILM = noise(8 * MIB)
PARTS = [FILM[index * MIB : index * MIB + 400_000] for index in range(8)]
"""Each has some chunks that the film has as well."""


@pytest.fixture(autouse=True)
def medium_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", 2 * MIB)


@pytest.fixture
def thinned(alice: Person) -> Person:
    """Nobody needs more of the film than its parts, which lie all over its packs."""
    bob = alice.newcomer("bob")
    bob.put("/film", FILM)
    for index, part in enumerate(PARTS):
        alice.put(f"/part{index}", part)
    users.purge_user(alice.files.database, bob.user)
    return alice


def whole(who: Person) -> None:
    """Everything that is named is there, and nothing else."""
    for index, part in enumerate(PARTS):
        assert who.get(f"/part{index}") == part
    assert unnamed(who.files.database) == []
    assert check(who.files.database, who.files.chunks.backend, read_data=True).findings == []


def weight(who: Person) -> int:
    """Bytes of packs."""
    return int(who.rows("SELECT COALESCE(SUM(size), 0) FROM pack WHERE dropped_at IS NULL")[0][0])


def used(who: Person) -> int:
    """Bytes of chunks."""
    return int(who.rows("SELECT COALESCE(SUM(stored), 0) FROM chunk")[0][0])


def test_dead_weight_goes(thinned: Person) -> None:
    """Packs with much of it are written anew; what they shrink to is what is needed."""
    assert weight(thinned) > 2 * used(thinned) or weight(thinned) > 9 * MIB
    done = prune_ripe(thinned)
    assert done.repacked >= 3
    assert used(thinned) <= weight(thinned) <= used(thinned) / 0.75
    assert blobs(thinned) == count(thinned, "pack")
    assert done.copied <= used(thinned)
    whole(thinned)
    assert prune_of(thinned).repacked == 0


def test_little_dead_weight_stays(thinned: Person) -> None:
    """From how much on is a setting."""
    before = weight(thinned)
    prune(thinned.files.database, thinned.files.chunks.backend, Policy(dead_percent=100))
    thinned.files.chunks.writers.renew()
    done = prune(thinned.files.database, thinned.files.chunks.backend, Policy(dead_percent=100))
    assert done.chunks > 3
    assert (done.repacked, done.copied) == (0, 0)
    assert weight(thinned) >= before - 1000
    whole(thinned)


@pytest.mark.parametrize("point", ["repack.copied", "repack.moved", "prune.dropped"])
def test_reader_and_writer_in_the_middle_see_whole_files(thinned: Person, point: str) -> None:
    """Who reads and who stores the same bytes once more."""
    prune_of(thinned)
    thinned.files.chunks.writers.renew()

    def meanwhile() -> None:
        for index, part in enumerate(PARTS):
            assert thinned.get(f"/part{index}") == part
        thinned.put("/film", FILM)

    with at_point(point, meanwhile) as passed:
        prune_of(thinned)
    assert passed
    assert thinned.get("/film") == FILM
    prune_ripe(thinned)
    assert thinned.get("/film") == FILM
    whole(thinned)


def test_what_is_removed_in_the_middle_goes_later(thinned: Person) -> None:
    """It is copied, and forgotten by the next run."""
    prune_of(thinned)
    thinned.files.chunks.writers.renew()
    with at_point("repack.copied", lambda: users.purge_user(thinned.files.database, thinned.user)) as passed:
        prune_of(thinned)
    assert passed
    prune_ripe(thinned)
    assert (count(thinned, "chunk"), count(thinned, "pack"), blobs(thinned)) == (0, 0, 0)


def test_two_runs_at_once_move_everything_once(thinned: Person) -> None:
    """The second one finds the rows moved, and keeps no empty pack."""
    prune_of(thinned)
    thinned.files.chunks.writers.renew()
    with at_point("repack.copied", lambda: prune_of(thinned)) as passed:
        prune_of(thinned)
    assert passed
    prune_ripe(thinned)
    assert weight(thinned) <= used(thinned) / 0.75
    assert blobs(thinned) == count(thinned, "pack")
    whole(thinned)


def test_damaged_chunk_stays_where_it_is_and_scrub_is_told(thinned: Person, damage: Damage) -> None:
    """Its pack is not dropped; everything else moves."""
    pack_id, key = pack_of(thinned)
    rows = thinned.rows(f'SELECT c.id, c."offset" FROM chunk c WHERE pack_id = {pack_id} ORDER BY "offset"')
    named = rows[0]
    damage.flip(key, named[1] + 100)
    before = len(thinned.rows("SELECT id FROM pack"))
    prune_ripe(thinned)
    assert before > 1
    if thinned.rows(f"SELECT 1 FROM chunk WHERE pack_id = {pack_id}"):
        assert thinned.rows(f"SELECT verified_at FROM pack WHERE id = {pack_id}") == [(0,)]
        scrub_all(thinned)
        assert open_findings(thinned) == [("chunk", bytes(named[0]).hex())]
        assert "chunk-damaged" in checked(thinned)
        thinned.put("/film", FILM)
        prune_ripe(thinned)
        assert thinned.get("/film") == FILM
    assert checked(thinned) == []


def test_full_disk_ends_it_without_harm(thinned: Person) -> None:
    """Nothing is moved, nothing lost; later it goes on."""
    prune_of(thinned)
    thinned.files.chunks.writers.renew()

    class Full(BackendProxy):
        """Takes nothing."""

        def put(self, key: str, blocks: object) -> int:
            raise StorageFull

    done = prune(thinned.files.database, Full(thinned.files.chunks.backend))
    assert (done.repacked, done.copied) == (0, 0)
    assert done.chunks > 3
    whole(thinned)
    bob = thinned.newcomer("ben")
    bob.put("/other", noise(300_000, 8))
    users.purge_user(thinned.files.database, bob.user)
    assert prune_ripe(thinned).repacked >= 3
    whole(thinned)


def test_little_room_is_not_taken_for_copies(thinned: Person) -> None:
    """A quarter of it at most, and nothing for what can wait."""
    prune_of(thinned)
    thinned.files.chunks.writers.renew()
    largest: list[int] = []

    class Watched(BackendProxy):
        """Notes how much is put at once."""

        def put(self, key: str, blocks: Iterable[Buffer]) -> int:
            largest.append(self.inner.put(key, blocks))
            return largest[-1]

    done = prune(thinned.files.database, Watched(thinned.files.chunks.backend), room=lambda: 2 * MIB)
    assert done.repacked >= 1
    assert max(largest) <= MIB // 2 + 10_000
    whole(thinned)


def test_many_small_packs_wait_where_room_is_short(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """To merge them gives little."""
    monkeypatch.setattr(merging, "MERGED_FROM", 4)
    for index in range(6):
        alice.put(f"/file{index}", noise(30_000, index))
    assert prune(alice.files.database, alice.files.chunks.backend, room=lambda: 15 * MIB).repacked == 0
    assert prune(alice.files.database, alice.files.chunks.backend, room=lambda: 17 * MIB).repacked == 6


def test_many_small_packs_become_few(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """What single requests left; without reading a manifest, in the order in which it came."""
    monkeypatch.setattr(merging, "MERGED_FROM", 20)
    contents = {f"/file{index}": noise(20_000 + index, 100 + index) for index in range(30)}
    for index, (path, content) in enumerate(contents.items()):
        alice.put(path, content)
        if index == 18:
            assert prune_of(alice).repacked == 0
    assert blobs(alice) == 30
    done = prune_of(alice)
    assert (done.repacked, done.looked) == (30, False)
    assert (blobs(alice), count(alice, "pack")) == (1, 1)
    assert len(alice.rows("SELECT DISTINCT pack_id FROM chunk")) == 1
    for path, content in contents.items():
        assert alice.get(path) == content
    assert checked(alice) == []


def test_pack_that_would_be_as_small_again_is_not_merged(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so many tiny chunks that no two such packs go together: each would be copied again and again."""
    monkeypatch.setattr(merging, "MERGED_FROM", 4)
    for index in range(6):
        alice.put(f"/file{index}", noise(30_000, index))
    monkeypatch.setattr(repack, "_RECORDS", 1)
    assert (prune_of(alice).repacked, prune_of(alice).copied, blobs(alice)) == (0, 0, 6)
    monkeypatch.setattr(repack, "_RECORDS", 2)
    assert (prune_of(alice).repacked, blobs(alice)) == (6, 3)


def test_small_packs_are_merged_as_they_come(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again; overwritten and removed files in between leave nothing behind for ever."""
    monkeypatch.setattr(merging, "MERGED_FROM", 8)
    chance = random.Random(3)
    expected: dict[str, bytes] = {}
    for number in range(60):
        path = f"/file{chance.randrange(12)}"
        expected[path] = noise(chance.randrange(5_000, 90_000), number)
        alice.put(path, expected[path])
        if number % 10 == 9:
            prune_ripe(alice)
            assert blobs(alice) < 20
    for path, content in expected.items():
        assert alice.get(path) == content
    assert checked(alice) == []


def test_merging_keeps_a_pack_whose_rows_were_lost(
    alice: Person, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds what a file needs, until somebody has looked for that."""
    monkeypatch.setattr(merging, "MERGED_FROM", 4)
    for index in range(6):
        alice.put(f"/file{index}", noise(30_000, index))
    pack_id, key = pack_of(alice)
    damage.sql("DELETE FROM chunk WHERE pack_id = :id", id=pack_id)
    prune_of(alice)
    assert alice.files.chunks.backend.head(key) is not None
    assert alice.rows(f"SELECT dropped_at FROM pack WHERE id = {pack_id}") == [(None,)]
    repair(alice.files.database, alice.files.chunks.backend, acts=True)
    for index in range(6):
        assert alice.get(f"/file{index}") == noise(30_000, index)

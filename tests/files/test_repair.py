"""Repair puts right what can be, says what cannot and whose it is, and leaves a store that is as it was."""

from __future__ import annotations

import pytest

from appliance.accounts import users
from appliance.chunks import packing
from appliance.errors import Damaged
from appliance.upkeep.prune import prune
from appliance.upkeep.repair import Repaired, Result, repair
from tests.files.person import Person
from tests.files.scrubbing import checked, chunks_in, open_findings, outcomes, pack_of, scrub_all
from tests.support.content import MIB, noise, prose
from tests.support.damage import Damage
from tests.support.databases import on_sqlite

FILM = noise(3 * MIB)
TEXT = prose(300_000)
SMALL = noise(3000)
NOTHING = Repaired(0, 0, 0, 0, 0)


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB)


@pytest.fixture
def anna(alice: Person) -> Person:
    """With a film of several packs, a text in one, and small content."""
    alice.put("/film", FILM)
    alice.put("/text", TEXT)
    alice.put("/small", SMALL)
    return alice


def repaired(who: Person, *, lost: int = 0) -> Result:
    """What a dry run says is what is done, and a second run has nothing more to do."""
    rows = table(who)
    told = repair(who.files.database, who.files.chunks.backend, acts=False)
    assert table(who) == rows, "a dry run changed something"
    done = repair(who.files.database, who.files.chunks.backend, acts=True)
    assert done.done == told.done
    assert len(done.lost) == len(told.lost) == lost
    assert done.sufferers == told.sufferers
    again = repair(who.files.database, who.files.chunks.backend, acts=True)
    assert again.done == NOTHING
    assert again.sufferers == done.sufferers
    return done


def table(who: Person) -> list[object]:
    """Everything that repair may change."""
    chunks = who.rows('SELECT id, pack_id, "offset", stored, length, codec, xxh3, wanted FROM chunk ORDER BY id')
    findings = who.rows("SELECT id, what, place, closed_at, outcome FROM finding ORDER BY id")
    return [chunks, findings, who.rows("SELECT id, dropped_at FROM pack ORDER BY id")]


def sound(who: Person) -> None:
    """All is as it was."""
    assert who.get("/film") == FILM
    assert who.get("/text") == TEXT
    assert who.get("/small") == SMALL
    assert open_findings(who) == []
    assert checked(who) == []
    scrub_all(who)
    assert open_findings(who) == []


def test_store_without_damage_has_nothing_to_repair(anna: Person) -> None:
    """Also when scrub has just been through."""
    scrub_all(anna)
    assert repaired(anna).done == NOTHING
    sound(anna)


@pytest.mark.parametrize("noticed", [True, False])
def test_lost_table_of_chunks_is_rebuilt_exactly(anna: Person, damage: Damage, *, noticed: bool) -> None:
    """Row by row what it was, whether scrub has noticed or not."""
    rows = table(anna)[0]
    assert isinstance(rows, list)
    damage.sql("DELETE FROM chunk")
    if noticed:
        scrub_all(anna)
    assert repaired(anna).done == Repaired(len(rows), 0, 0, 0, 0)
    assert table(anna)[0] == rows
    assert outcomes(anna) == ({"repaired": len(rows)} if noticed else {})
    sound(anna)


def test_some_lost_rows_are_rebuilt(anna: Person, damage: Damage) -> None:
    """And nothing else is touched."""
    rows = table(anna)[0]
    damage.sql("DELETE FROM chunk WHERE stored < 60000")
    assert 3 < repaired(anna).done.rows < 100
    assert table(anna)[0] == rows
    sound(anna)


def test_rows_that_nobody_needs_are_not_rebuilt(anna: Person, damage: Damage) -> None:
    """What prune has taken stays away, though it still lies in a pack."""
    bob = anna.newcomer("bob")
    bob.put("/film", noise(MIB, seed=5) + FILM[: MIB // 2])
    anna.put("/half", noise(MIB, seed=5)[: MIB // 2])
    users.purge_user(anna.files.database, bob.user)
    prune(anna.files.database, anna.files.chunks.backend)
    anna.files.chunks.writers.renew()
    assert prune(anna.files.database, anna.files.chunks.backend).chunks > 0
    rows = table(anna)[0]
    damage.sql("DELETE FROM chunk")
    repaired(anna)
    assert [row[:7] for row in table(anna)[0]] == [row[:7] for row in rows]  # type: ignore[attr-defined]
    sound(anna)


def test_rows_of_packs_and_chunks_are_both_rebuilt(anna: Person, damage: Damage) -> None:
    """A pack whose row is gone too is found among the blobs, unless its writer may still be about to write the row."""
    damage.sql("DELETE FROM chunk")
    damage.sql("DELETE FROM pack")
    damage.sql("UPDATE writer SET state = 'dead'")
    repaired(anna)
    assert anna.get("/film") == FILM
    assert checked(anna) == []


def test_pack_without_an_index_hands_its_chunks_to_a_new_one(anna: Person, damage: Damage) -> None:
    """Not one byte is lost, and the old pack is dropped."""
    pack_id, key = pack_of(anna)
    damage.flip(key, (anna.files.chunks.backend.head(key) or 0) - 10)
    scrub_all(anna)
    assert repaired(anna).done == Repaired(0, 0, 0, 1, 0)
    assert anna.rows(f"SELECT dropped_at IS NULL FROM pack WHERE id = {pack_id}") == [(False,)]
    sound(anna)


def test_truncated_pack_loses_what_was_cut_off_and_says_whose_it_was(anna: Person, damage: Damage) -> None:
    """When the same content comes again nothing is left of the damage."""
    pack_id, key = pack_of(anna)
    chunks = chunks_in(anna, pack_id)
    damage.truncate(key, chunks[4][1] + 10)
    scrub_all(anna)
    done = repaired(anna, lost=len(chunks) - 4)
    assert done.done == Repaired(0, 0, 0, 1, 0)
    assert [(each.user, each.path, each.where) for each in done.sufferers] == [("alice", "/film", "")]
    with pytest.raises(Damaged):
        anna.get("/film")
    anna.put("/film", FILM)
    sound(anna)


def test_deleted_pack_is_lost_and_every_version_that_needs_it_is_named(anna: Person, damage: Damage) -> None:
    """Copies, earlier versions and what is in the trash."""
    pack_id, key = pack_of(anna)
    anna.mkdir("/old")
    anna.copy("/film", "/old/copy")
    anna.put("/old/later", FILM)
    anna.put("/old/later", b"another")
    anna.copy("/old", "/gone")
    anna.remove("/gone")
    damage.delete(key)
    scrub_all(anna)
    done = repaired(anna, lost=len(chunks_in(anna, pack_id)))
    assert done.done == NOTHING
    named = {(each.user, each.path, each.where) for each in done.sufferers}
    assert ("alice", "/film", "") in named
    assert ("alice", "/old/copy", "") in named
    assert any(path == "/old/later" and where.startswith("version ") for _, path, where in named)
    assert ("alice", "/gone/copy", "in the trash") in named
    anna.put("/film", FILM)
    sound(anna)


def test_second_copy_in_another_pack_is_taken(anna: Person, damage: Damage) -> None:
    """As uploads at the same time leave them: one has the rows, the other only its pack."""
    pack_id, key = pack_of(anna)
    content = damage.take(key)
    damage.put_back(key, content)
    copy = "packs/00000fff/00000001"
    damage.make(copy, content)
    damage.sql(
        "INSERT INTO pack (writer_id, counter, size, synced, created_at) VALUES (4095, 1, :size, 1, 1)",
        size=len(content),
    )
    lost = chunks_in(anna, pack_id)
    for _, offset, size in lost[:3]:
        damage.flip(key, offset + size // 2)
    scrub_all(anna)
    assert len(open_findings(anna)) == 3
    assert repaired(anna).done == Repaired(0, 0, 3, 0, 0)
    assert outcomes(anna) == {"repaired": 3}
    sound(anna)


def test_wrong_row_is_put_right_from_the_index_of_its_pack(anna: Person, damage: Damage) -> None:
    """The bytes are there, a little beside the place that the row tells."""
    pack_id, _ = pack_of(anna)
    digest = bytes.fromhex(chunks_in(anna, pack_id)[1][0])
    damage.sql('UPDATE chunk SET "offset" = "offset" + 1 WHERE id = :id', id=digest)
    scrub_all(anna)
    assert repaired(anna).done == Repaired(0, 0, 1, 0, 0)
    sound(anna)


@pytest.mark.parametrize("spoil", ["DELETE FROM small", "UPDATE small SET data = :zeros"])
def test_small_content_is_taken_from_a_pack_and_the_other_way_round(anna: Person, damage: Damage, spoil: str) -> None:
    """The same bytes can be in both, where the threshold was another one."""
    anna.files.chunks.inline_threshold = 4096
    ingestor = anna.files.chunks._ingestor
    ingestor.inline_threshold = 100
    anna.put("/chunk", SMALL)
    ingestor.inline_threshold = 4096
    damage.sql(spoil, zeros=bytes(7))
    scrub_all(anna)
    assert [what for what, _ in open_findings(anna)] == ["small"]
    assert repaired(anna).done == Repaired(0, 0, 1, 0, 0)
    sound(anna)
    _, key = pack_of(anna, first=False)
    damage.flip(key, 100)
    scrub_all(anna)
    assert [what for what, _ in open_findings(anna)] == ["chunk"]
    assert repaired(anna).done == Repaired(0, 0, 1, 0, 0)
    assert anna.get("/chunk") == SMALL
    sound(anna)


def test_what_is_intact_again_is_closed_without_a_scrub(anna: Person, damage: Damage) -> None:
    """As when a disk was read at a bad moment."""
    _, key = pack_of(anna)
    damage.flip(key, 5000)
    scrub_all(anna)
    damage.flip(key, 5000)
    assert repaired(anna).done == Repaired(0, 1, 0, 0, 0)
    sound(anna)


def test_damage_that_no_version_needs_is_forgotten(anna: Person, damage: Damage) -> None:
    """Its rows and its pack go as garbage does."""
    bob = anna.newcomer("bob")
    bob.put("/secret", noise(MIB // 2, seed=9))
    bob.put("/note", b"a note")
    _, key = pack_of(anna, first=False)
    damage.flip(key, 1000)
    damage.sql("UPDATE small SET data = :zeros WHERE length = 6", zeros=bytes(6))
    scrub_all(anna)
    assert len(open_findings(anna)) == 2
    users.purge_user(anna.files.database, bob.user)
    told = repair(anna.files.database, anna.files.chunks.backend, acts=True)
    assert told.done == Repaired(0, 0, 0, 0, 2)
    assert told.lost == []
    anna.files.chunks.writers.renew()
    repair(anna.files.database, anna.files.chunks.backend, acts=True)
    assert outcomes(anna) == {"forgotten": 2}
    assert anna.files.chunks.backend.head(key) is None
    sound(anna)


def test_chunk_that_is_in_no_pack_does_not_keep_prune_from_its_work_for_ever(anna: Person, damage: Damage) -> None:
    """Once repair has looked everywhere."""
    pack_id, key = pack_of(anna)
    damage.sql("DELETE FROM chunk WHERE pack_id = :id", id=pack_id)
    damage.sql("DELETE FROM pack WHERE id = :id", id=pack_id)
    damage.delete(key)
    bob = anna.newcomer("bob")
    bob.put("/secret", noise(MIB // 2, seed=9))
    _, others = pack_of(anna, first=False)
    users.purge_user(anna.files.database, bob.user)
    prune(anna.files.database, anna.files.chunks.backend)
    anna.files.chunks.writers.renew()
    with pytest.raises(Damaged):
        prune(anna.files.database, anna.files.chunks.backend)
    assert anna.files.chunks.backend.head(others) is not None
    scrub_all(anna)
    done = repair(anna.files.database, anna.files.chunks.backend, acts=True)
    assert len(done.lost) > 5
    assert [(each.path, each.where) for each in done.sufferers] == [("/film", "")]
    assert prune(anna.files.database, anna.files.chunks.backend).blobs == 1
    assert anna.files.chunks.backend.head(others) is None
    anna.put("/film", FILM)
    sound(anna)


def test_loss_that_nobody_has_noticed_is_found_by_repair(anna: Person, damage: Damage) -> None:
    """As in a store that was restored with losses: prune refuses, repair looks everywhere, prune goes on."""
    pack_id, key = pack_of(anna)
    damage.sql("DELETE FROM chunk WHERE pack_id = :id", id=pack_id)
    damage.sql("DELETE FROM pack WHERE id = :id", id=pack_id)
    damage.delete(key)
    bob = anna.newcomer("bob")
    bob.put("/secret", noise(MIB // 2, seed=9))
    users.purge_user(anna.files.database, bob.user)
    prune(anna.files.database, anna.files.chunks.backend)
    anna.files.chunks.writers.renew()
    with pytest.raises(Damaged, match="holdfast repair"):
        prune(anna.files.database, anna.files.chunks.backend)
    done = repair(anna.files.database, anna.files.chunks.backend, acts=True)
    assert len(done.lost) > 5
    assert [(each.path, each.where) for each in done.sufferers] == [("/film", "")]
    assert prune(anna.files.database, anna.files.chunks.backend).blobs == 1
    anna.put("/film", FILM)
    sound(anna)


@on_sqlite
def test_damaged_segment_that_is_needed_is_lost(anna: Person, damage: Damage) -> None:
    """Lists of chunks are kept once."""
    damage.sql("UPDATE segment SET data = :zeros", zeros=bytes(72))
    scrub_all(anna)
    done = repaired(anna, lost=1)
    assert [each.path for each in done.sufferers] == ["/film"]
    anna.put("/film", FILM)
    sound(anna)

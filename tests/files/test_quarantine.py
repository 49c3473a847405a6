"""What prune forgot can be brought back for a while, and then it goes for good."""

from __future__ import annotations

import pytest

from appliance.accounts import users
from appliance.chunks import packing
from appliance.chunks.pack import pack_key
from appliance.upkeep.check import check
from appliance.upkeep.prune import BroughtBack, Policy, Pruned, prune, undo
from appliance.upkeep.repair import repair
from tests.files.conftest import Clock
from tests.files.person import Person
from tests.files.pruning import LARGE, at_point, blobs, count, cut, prune_of, stored
from tests.files.scrubbing import open_findings, scrub_all
from tests.support.content import MIB, noise
from tests.support.damage import Damage
from tests.support.unnamed import unnamed

HOUR = 3600
KEEPS = Policy(quarantine_s=HOUR)
SMALL = b"small content that goes as well"


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB // 2)


def prune_to_quarantine(who: Person) -> Pruned:
    """Writers follow the epoch in between."""
    prune(who.files.database, who.files.chunks.backend, KEEPS)
    who.files.chunks.writers.renew()
    return prune(who.files.database, who.files.chunks.backend, KEEPS)


def clean(who: Person) -> None:
    """No contradiction anywhere, every byte read."""
    assert check(who.files.database, who.files.chunks.backend, read_data=True).findings == []


def purged(alice: Person) -> Person:
    """Somebody whose files nobody needs any more: many chunks, segments and small content."""
    bob = alice.newcomer("bob")
    bob.put("/film", LARGE)
    bob.put("/note", SMALL)
    bob.put("/zeros", bytes(8 * MIB))
    users.purge_user(alice.files.database, bob.user)
    return bob


def test_what_is_forgotten_stays_on_the_disk_for_its_time(alice: Person, wall: Clock) -> None:
    """Then it goes, and the disk is as empty as before."""
    purged(alice)
    packs = blobs(alice)
    done = prune_to_quarantine(alice)
    assert done.chunks > 5
    assert (done.segments, done.small, done.blobs) == (2, 1, 0)
    assert (stored(alice), blobs(alice)) == (0, packs)
    clean(alice)
    wall.advance(HOUR - 1)
    assert prune_to_quarantine(alice).released == 0
    wall.advance(2)
    gone = prune_to_quarantine(alice)
    assert gone.released == 0, "the run before did it"
    assert (count(alice, "forgotten"), blobs(alice), count(alice, "pack"), count(alice, "garbage")) == (0, 0, 0, 0)
    clean(alice)


def test_undo_stores_again_what_was_forgotten(alice: Person) -> None:
    """Rows as they were: what names them can be read again."""
    purged(alice)
    before = {table: alice.rows(f"SELECT * FROM {table}") for table in ("chunk", "small", "segment")}
    done = prune_to_quarantine(alice)
    told: list[BroughtBack] = []
    back = undo(alice.files.database, told.append)
    assert (back.chunks, back.small, back.segments) == (done.chunks, 1, 2)
    assert told[-1] == back
    assert count(alice, "forgotten") == 0
    after = {table: alice.rows(f"SELECT * FROM {table}") for table in ("chunk", "small", "segment")}
    strip = {"chunk": lambda row: row[:-1], "small": lambda row: row[1:4], "segment": lambda row: row[1:3]}
    for table, rows in before.items():
        assert sorted(map(strip[table], after[table])) == sorted(map(strip[table], rows))
    clean(alice)
    assert undo(alice.files.database) == BroughtBack(0, 0, 0, 0)


def test_what_was_brought_back_counts_as_stored(alice: Person) -> None:
    """An upload of the same bytes finds it."""
    purged(alice)
    prune_to_quarantine(alice)
    undo(alice.files.database)
    packs = blobs(alice)
    alice.put("/again", LARGE)
    assert blobs(alice) == packs
    prune_of(alice)
    alice.files.chunks.writers.renew()
    prune_of(alice)
    assert alice.get("/again") == LARGE
    clean(alice)


def test_upload_of_what_is_in_quarantine_stores_it_anew(alice: Person, wall: Clock) -> None:
    """It does not depend on what goes soon; and undo has no quarrel with it."""
    purged(alice)
    prune_to_quarantine(alice)
    alice.put("/again", LARGE)
    places = alice.rows("SELECT id, pack_id FROM chunk")
    undo(alice.files.database)
    assert set(places) <= set(alice.rows("SELECT id, pack_id FROM chunk"))
    wall.advance(2 * HOUR)
    prune_to_quarantine(alice)
    wall.advance(2 * HOUR)
    prune_to_quarantine(alice)
    assert alice.get("/again") == LARGE
    assert unnamed(alice.files.database) == []
    clean(alice)


@pytest.mark.parametrize("point", ["prune.raised", "prune.marked", "prune.forgotten"])
def test_undo_during_a_run_keeps_the_packs_of_what_it_brought_back(alice: Person, point: str) -> None:
    """Whatever the run has seen by then."""
    purged(alice)
    prune_to_quarantine(alice)
    cut(alice, "/other", noise(7 * MIB, 5))
    prune(alice.files.database, alice.files.chunks.backend, KEEPS)
    alice.files.chunks.writers.renew()
    with at_point(point, lambda: undo(alice.files.database)) as passed:
        # What is in quarantine would leave it in this run; part of it was released, the rest comes back.
        prune(alice.files.database, alice.files.chunks.backend, KEEPS)
    assert passed
    clean(alice)
    alice.put("/film", LARGE)
    assert alice.get("/film") == LARGE
    clean(alice)


def test_undo_between_release_and_drop_brings_back_what_was_not_yet_released(alice: Person) -> None:
    """A run lets go of a thousand rows at a time."""
    purged(alice)
    prune_to_quarantine(alice)
    with at_point("prune.released", lambda: undo(alice.files.database)) as passed:
        prune_of(alice)
    assert passed
    prune_of(alice)
    clean(alice)


def test_what_broken_off_uploads_left_is_not_kept(alice: Person) -> None:
    """No version ever named it, so nobody can miss it."""
    cut(alice, "/film")
    done = prune_to_quarantine(alice)
    assert done.chunks > 5
    assert done.blobs >= 3
    assert (stored(alice), count(alice, "forgotten"), blobs(alice)) == (0, 0, 0)


def test_room_that_is_needed_at_once_is_not_kept_in_quarantine(alice: Person) -> None:
    """A run without quarantine takes also what earlier ones kept there."""
    purged(alice)
    prune_to_quarantine(alice)
    assert count(alice, "forgotten") > 5
    released = prune_of(alice)
    assert released.released > 5
    assert released.blobs > 3
    assert (count(alice, "forgotten"), blobs(alice)) == (0, 0)
    clean(alice)


def test_what_comes_back_into_a_pack_that_repair_empties_keeps_it(alice: Person, damage: Damage) -> None:
    """It was not among what repair has copied; the next repair takes it along."""
    bob = alice.newcomer("bob")
    bob.put("/film", LARGE)
    part = LARGE[: 3 * MIB + MIB // 4]
    alice.put("/film", part)
    users.purge_user(alice.files.database, bob.user)
    prune_to_quarantine(alice)
    mixed = alice.rows("""
        SELECT p.id, p.writer_id, p.counter, p.size FROM pack p
        WHERE EXISTS (SELECT 1 FROM chunk c WHERE c.pack_id = p.id)
            AND EXISTS (SELECT 1 FROM forgotten f WHERE f.pack_id = p.id AND f.what = 'chunk')
    """)
    pack_id, writer_id, counter, size = mixed[0]
    damage.flip(pack_key(writer_id, counter), size - 10)
    scrub_all(alice)
    assert open_findings(alice) == [("frame", str(pack_id))]
    database, backend = alice.files.database, alice.files.chunks.backend
    with at_point("repair.copied", lambda: undo(database)) as passed:
        repair(database, backend, acts=True)
    assert passed
    assert alice.rows(f"SELECT COUNT(*) FROM chunk WHERE pack_id = {pack_id}") != [(0,)]
    assert alice.rows(f"SELECT dropped_at FROM pack WHERE id = {pack_id}") == [(None,)]
    repair(database, backend, acts=True)
    assert open_findings(alice) == []
    assert alice.get("/film") == part
    clean(alice)

"""When the job prunes, and what it does in between."""

from __future__ import annotations

import pytest

from appliance.chunks import fences, packing
from appliance.errors import Unavailable
from appliance.upkeep import merging
from appliance.upkeep.prune import AT_ONCE
from appliance.upkeep.prune_job import PruneJob
from appliance.upkeep.turn import Turn
from tests.files.person import Person
from tests.files.pruning import at_point, blobs, count, cut
from tests.files.scrubbing import checked
from tests.support.content import MIB, noise
from tests.support.damage import Damage


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB // 2)


class Clocked:
    """A job whose clock a test moves; its runs by the rows that they took, None where it was not yet time."""

    def __init__(self, who: Person, patch: pytest.MonkeyPatch, *, every_s: float) -> None:
        self.now = 1000.0
        self.hurries = False
        patch.setattr("appliance.upkeep.prune_job.time.monotonic", lambda: self.now)
        self.job = PruneJob(
            who.files.database,
            who.files.chunks.backend,
            policy=AT_ONCE,
            source=who.files.chunks.backend,
            every_s=every_s,
            hurries=lambda: self.hurries,
            room=lambda: None,
            stopping=lambda: False,
        )
        self._who = who

    def run(self) -> int | None:
        pruned = self.job(Turn())
        self._who.files.chunks.writers.renew()
        return None if pruned is None else pruned.chunks

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_job_rests_ten_times_as_long_as_it_read(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose manifests take an hour to read is not read without a pause."""
    clocked = Clocked(alice, monkeypatch, every_s=0)
    cut(alice, "/film")
    assert clocked.run() == 0
    with at_point("prune.marked", lambda: clocked.wait(60)):
        assert clocked.run()
    cut(alice, "/film")
    clocked.wait(599)
    assert clocked.run() == clocked.run() == 0
    assert count(alice, "garbage") == 1
    clocked.wait(2)
    clocked.run()
    assert clocked.run()


def test_calls_in_between_merge_tiny_packs(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there are many, whatever else there is; larger ones and what is left of them wait for the job's time."""
    monkeypatch.setattr(merging, "MERGED_FROM", 8)
    monkeypatch.setattr(merging, "TINY_PART", 32)
    clocked = Clocked(alice, monkeypatch, every_s=3600)
    assert clocked.run() == 0
    alice.put("/large", noise(60_000, 99))
    for index in range(7):
        alice.put(f"/file{index}", noise(9_000, index))
    assert clocked.run() is None
    assert count(alice, "pack") == 8
    alice.put("/file7", noise(9_000, 7))
    assert clocked.run() == 0
    assert (count(alice, "pack"), blobs(alice)) == (2, 2)
    assert [alice.get(f"/file{index}") for index in range(8)] == [noise(9_000, index) for index in range(8)]
    assert clocked.run() is None
    assert checked(alice) == []


def test_merging_leaves_no_writer_and_waits_for_who_copies(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep would look for leftovers of each writer for a day; packs that are being copied have their turn later."""
    monkeypatch.setattr(merging, "MERGED_FROM", 4)
    monkeypatch.setattr(merging, "TINY_PART", 32)
    clocked = Clocked(alice, monkeypatch, every_s=3600)
    clocked.run()
    for index in range(4):
        alice.put(f"/file{index}", noise(9_000, index))
    writers = count(alice, "writer")
    with fences.fence(alice.files.database):
        assert clocked.run() is None
    assert (clocked.run(), count(alice, "pack")) == (0, 1)
    assert count(alice, "writer") == writers
    assert checked(alice) == []


def test_room_of_rows_is_given_back_once_an_hour_and_not_in_need(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers wait for it; that there was nothing to give back does not count."""
    asked: list[bool] = []
    answers = iter([False, True, True])
    monkeypatch.setattr(alice.files.database, "compact", lambda: asked.append(next(answers)) or asked[-1])
    clocked = Clocked(alice, monkeypatch, every_s=0)
    clocked.run()
    clocked.run()
    clocked.wait(3500)
    clocked.run()
    assert asked == [False, True]
    clocked.wait(200)
    clocked.hurries = True
    clocked.run()
    assert asked == [False, True]
    clocked.hurries = False
    clocked.run()
    assert asked == [False, True, True]


def test_call_in_between_tries_no_pack_twice(alice: Person, damage: Damage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read would be read each minute; at the job's time it is tried again."""
    monkeypatch.setattr(merging, "MERGED_FROM", 4)
    monkeypatch.setattr(merging, "TINY_PART", 32)
    clocked = Clocked(alice, monkeypatch, every_s=3600)
    clocked.run()
    for index in range(4):
        alice.put(f"/file{index}", noise(9_000, index))
    for key in damage.packs():
        damage.truncate(key, 100)
    assert [clocked.run(), clocked.run()] == [0, None]
    clocked.wait(3600)
    assert [clocked.run(), clocked.run(), clocked.run()] == [0, 0, None]
    assert count(alice, "pack") == 4


def test_job_that_fails_rests_as_well(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk, say: what it has read it would read again and again."""
    clocked = Clocked(alice, monkeypatch, every_s=0)
    cut(alice, "/film")
    clocked.run()

    def fail() -> None:
        clocked.wait(60)
        raise Unavailable(reason="the disk is full")

    with at_point("prune.marked", fail), pytest.raises(Unavailable):
        clocked.job(Turn())
    clocked.wait(599)
    assert clocked.run() == 0
    clocked.wait(2)
    assert clocked.run()


def test_job_waits_for_its_time_unless_it_hurries(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called every minute, since a disk may have become full."""
    clocked = Clocked(alice, monkeypatch, every_s=300)
    assert clocked.run() == 0
    clocked.wait(290)
    assert clocked.run() is None
    clocked.hurries = True
    assert clocked.run() == 0
    clocked.hurries = False
    clocked.wait(290)
    assert clocked.run() is None
    # A moment early, as a scheduler may be.
    clocked.wait(9.9)
    assert clocked.run() == 0

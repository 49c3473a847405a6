"""The job that scrubs reads what is due and nothing else: evenly, the oldest first, all of it within the period."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from appliance.upkeep import scrub
from appliance.upkeep.scrub import ScrubJob
from appliance.upkeep.scrub_status import status
from appliance.upkeep.turn import Turn
from tests.files.conftest import Clock
from tests.files.person import Person
from tests.files.scrubbing import chunks_in, open_findings, pack_of
from tests.support.content import MIB, noise
from tests.support.damage import Damage
from tests.support.databases import on_sqlite

HOUR = 3600.0
DAYS = 10
PACKS = 30

pytestmark = on_sqlite


@pytest.fixture(autouse=True)
def hourly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of an hour, so that a period takes few of them."""
    monkeypatch.setattr(scrub, "EVERY_S", int(HOUR))


@pytest.fixture
def full(alice: Person, wall: Clock) -> Person:
    """With many packs of the same size and as many small contents, all stored at the same moment."""
    for number in range(PACKS):
        alice.put(f"/file{number}", noise(20_000, seed=number))
        alice.put(f"/small{number}", noise(200, seed=number))
    return alice


def job_of(who: Person, *, days: int = DAYS, bytes_per_s: int = 1 << 40) -> ScrubJob:
    """As the scheduler's process makes it at its start."""
    return ScrubJob(
        who.files.database, who.files.chunks.backend, days=days, bytes_per_s=bytes_per_s, wait=lambda seconds: False
    )


def hours(job: ScrubJob, wall: Clock, count: float) -> Iterator[int]:
    """Let the job run each hour; how many packs it read each time."""
    for _ in range(int(count)):
        wall.advance(HOUR)
        done = job(Turn())
        yield 0 if done is None else done.packs


def oldest_days(who: Person, wall: Clock) -> float:
    """How long ago the oldest pack was verified."""
    (row,) = who.rows("SELECT MIN(verified_at) FROM pack")
    return float(wall() - row[0]) / 86_400e6


def test_new_packs_count_as_verified(full: Person, wall: Clock) -> None:
    """Their bytes were hashed when they came; for half a day nothing is read again, of tables neither."""
    job = job_of(full)
    reads = list(hours(job, wall, DAYS * 24 * 0.05 - 1))
    assert sum(reads) == 0
    assert status(full.files.database).verified_since <= wall()


def test_everything_is_read_within_the_period_and_evenly(full: Person, wall: Clock) -> None:
    """Over three periods no pack ever gets older, and no day reads much more than its share."""
    job = job_of(full)
    reads = []
    for read in hours(job, wall, 3 * DAYS * 24):
        reads.append(read)
        assert oldest_days(full, wall) < DAYS
    daily = [sum(reads[day * 24 : day * 24 + 24]) for day in range(3 * DAYS)]
    share = PACKS / DAYS
    assert max(daily) <= share * 2
    assert sum(reads) <= 3 * PACKS * 1.25
    assert status(full.files.database).verified_since > wall() - 2 * DAYS * 86_400e6


def test_small_content_is_read_within_the_period(full: Person, wall: Clock, damage: Damage) -> None:
    """Damage in a table is found in a period at most, wherever it is."""
    job = job_of(full)
    list(hours(job, wall, 24))
    damage.sql("UPDATE small SET data = :zeros WHERE id IN (1, 15, 30)", zeros=bytes(7))
    found = [len(open_findings(full)) for _ in hours(job, wall, DAYS * 24)]
    assert found[-1] == 3
    assert found[0] < 3


def test_oldest_is_read_first(full: Person, wall: Clock) -> None:
    """Whatever its id is."""
    ids = [row[0] for row in full.rows("SELECT id FROM pack ORDER BY id DESC")]
    job = job_of(full)
    for index, pack_id in enumerate(ids):
        full.files.database.write(
            lambda session, index=index, pack_id=pack_id: session.run(  # type: ignore[misc]
                scrub.Sql("UPDATE pack SET verified_at = :at WHERE id = :id"),
                at=wall() - 86_400_000_000 + index,
                id=pack_id,
            )
        )
    list(hours(job, wall, 4 * 24))
    done = [row[0] for row in full.rows(f"SELECT id FROM pack WHERE verified_at > {wall() - 9 * 43_200_000_000}")]
    assert 8 < len(done) < 20
    assert set(done) == set(ids[: len(done)])


def test_restart_goes_on_where_it_was(full: Person, wall: Clock) -> None:
    """A new process reads no pack again that was read, and none more than one that is not yet due."""
    list(hours(job_of(full), wall, 3 * 24))
    before = full.rows("SELECT id, verified_at FROM pack ORDER BY verified_at DESC")
    for _ in range(3):
        read = job_of(full)(Turn())
        assert read is None or read.packs == 1
    after = dict(full.rows("SELECT id, verified_at FROM pack"))
    read_before = [pack_id for pack_id, at in before if at > wall() - 2 * 86_400_000_000]
    assert len(read_before) > 3
    assert all(after[pack_id] == at for pack_id, at in before if pack_id in read_before)


def test_time_without_a_server_is_made_up_for(full: Person, wall: Clock) -> None:
    """What is too old is read at once, as fast as it may be."""
    job = job_of(full)
    wall.advance(2 * DAYS * 24 * HOUR)
    done = job(Turn())
    assert done is not None
    assert done.packs == PACKS
    assert job(Turn()) is None


def test_read_that_meets_damage_has_the_rest_of_the_pack_looked_at(full: Person, wall: Clock, damage: Damage) -> None:
    """Within minutes: a pack that is gone is more than the chunk that somebody missed."""
    full.put("/film", noise(2 * MIB))
    pack_id, key = pack_of(full, first=False)
    lost = chunks_in(full, pack_id)
    damage.delete(key)
    with pytest.raises(Exception, match="damaged"):
        full.get("/film")
    assert len(open_findings(full)) == 1
    (read,) = hours(job_of(full), wall, 1)
    assert read <= 2
    assert len(open_findings(full)) == len(lost) + 1
    full.put("/film", noise(2 * MIB))
    assert full.get("/film") == noise(2 * MIB)
    assert open_findings(full) == []


def test_idle_run_is_a_few_statements(full: Person, wall: Clock) -> None:
    """Nothing is due: no blob is read, nothing is written, and it takes a millisecond or so."""
    job = job_of(full)
    job(Turn())
    before = full.rows("SELECT name, position, began_at FROM scrub ORDER BY name")
    began = time.process_time()
    for _ in range(20):
        assert job(Turn()) is None
    took = (time.process_time() - began) / 20
    assert took < 0.02
    assert full.rows("SELECT name, position, began_at FROM scrub ORDER BY name") == before


def test_process_that_has_to_end_does_not_read_on(full: Person, wall: Clock) -> None:
    """What it has begun is noted."""
    told = iter([False] * 12)
    job = ScrubJob(
        full.files.database, full.files.chunks.backend, days=DAYS, bytes_per_s=1 << 40,
        wait=lambda seconds: next(told, True),
    )  # fmt: skip
    wall.advance(2 * DAYS * 24 * HOUR)
    done = job(Turn())
    assert done is not None
    assert 0 < done.packs < PACKS

"""The sums that a job keeps are those that a person would compute, and are computed only when something changed."""

from __future__ import annotations

import pytest

from appliance import clock, retention
from appliance.accounts import usage, users
from appliance.accounts.usage import Kept
from appliance.backends.base import Backend
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.files.context import Files
from appliance.upkeep import expire, measure
from appliance.upkeep import usage as usage_of
from appliance.upkeep.expire import Rules
from appliance.upkeep.turn import Turn
from tests.files.person import Person
from tests.support.content import noise


@pytest.fixture
def anna(files: Files) -> Person:
    """With history and trash."""
    person = Person.new(files, "anna")
    for seed in range(3):
        person.put("/film", noise(200_000, seed=seed))
    person.put("/note", b"small content")
    person.put("/gone", noise(50_000, seed=9))
    person.remove("/gone")
    return person


def test_nothing_is_known_before_the_first_run(database: Database) -> None:
    """Which is not the same as nothing being stored."""
    assert measure.last(database) is None
    measure.measure(database)
    found = measure.last(database)
    assert found is not None
    assert (found.stored_bytes, found.kept) == (0, {})


def test_sums_are_those_of_the_store(database: Database, files: Files, anna: Person) -> None:
    """What is stored is what the backend has, and small content."""
    backend: Backend = files.chunks.backend
    made = measure.measure(database)
    found = measure.last(database)
    assert found == made
    blobs = sum(blob.size for blob in backend.list("packs/"))
    with database.read() as session:
        small = session.value(Sql("SELECT SUM(LENGTH(data)) FROM small"))
    assert blobs > 600_000
    assert found.stored_bytes == blobs + small
    assert found.kept == usage.kept(database)
    assert found.kept[anna.user.id].trash_bytes == 50_000
    assert found.kept[anna.user.id].history_bytes == 400_000


def test_who_is_purged_is_no_longer_in_the_sums(database: Database, files: Files, anna: Person) -> None:
    """The rows are replaced, not added to."""
    measure.measure(database)
    users.purge_user(database, anna.user)
    measure.measure(database)
    found = measure.last(database)
    assert found is not None
    assert found.kept == {}


def test_job_measures_only_after_a_change(database: Database, files: Files, anna: Person) -> None:
    """An idle server reads no version."""
    job = measure.Measuring(database, lambda: 0.0)
    assert job(Turn()) is not None
    assert job(Turn()) is None
    before = measure.last(database)
    for change in (lambda: anna.put("/note", b"other content"), lambda: anna.remove("/film"),
                   lambda: Person.new(files, "ben"), lambda: users.purge_user(database, anna.user)):  # fmt: skip
        change()
        assert job(Turn()) is not None
        assert job(Turn()) is None
    assert measure.last(database) != before


def test_job_notices_what_expiring_lets_go(database: Database, anna: Person) -> None:
    """Though no tree changed, nor anything that is stored."""
    job = measure.Measuring(database, lambda: 0.0)
    job(Turn())
    expire.expire(database, Rules(retention.parse("all 24h"), 90 * clock.DAY), now=clock.now() + 2 * clock.DAY)
    assert job(Turn()) is not None
    assert job(Turn()) is None
    found = measure.last(database)
    assert found is not None
    assert found.kept == {anna.user.id: Kept(50_000, 0)}


def test_job_rests_ten_times_as_long_as_it_took(database: Database, anna: Person) -> None:
    """Whatever changes meanwhile."""
    now = 100.0
    took = 2.0

    def monotonic() -> float:
        nonlocal now
        now += took
        return now

    job = measure.Measuring(database, monotonic)
    assert str(job(Turn())).startswith("stored")
    for _ in range(9):
        anna.put("/note", b"%f" % now)
        assert job(Turn()) is None
    anna.put("/note", b"at last")
    assert str(job(Turn())).startswith("stored")


def test_points_are_kept_by_the_hour_and_later_by_the_day(
    database: Database, files: Files, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each the last one; each is what was measured then."""
    begin = clock.now() // clock.DAY * clock.DAY
    hour = clock.DAY // 24
    for at in (*range(begin, begin + clock.DAY, hour // 2), begin + 20 * clock.DAY + 1, begin + 20 * clock.DAY + 2):
        monkeypatch.setattr(clock, "now", lambda at=at: at)
        measure.measure(database)
        found = measure.last(database)
        assert found is not None
        assert found.at == at
        points = measure.points(database, anna.user.id, 0)
        assert points[-1].at == at
        if at == begin + clock.DAY - hour // 2:
            assert [point.at for point in points] == list(range(begin + hour // 2, begin + clock.DAY, hour))
    assert [point.at for point in points] == [begin + clock.DAY - hour // 2, begin + 20 * clock.DAY + 2]
    (user,) = usage_of.of_all(database).users
    assert points[-1] == (begin + 20 * clock.DAY + 2, user.logical, user.stored)
    assert measure.points(database, 0, points[-1].at)[0].stored.needed == found.disk.needed
    gone = anna.user
    users.purge_user(database, gone)
    measure.measure(database)
    assert measure.points(database, gone.id, 0) == []
    assert len(measure.points(database, 0, 0)) == 2

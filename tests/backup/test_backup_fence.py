"""While a backup runs, prune removes no blob that it may need; once it is over, or dead, prune goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from appliance import clock, faults
from appliance.accounts import users
from appliance.backup import folder
from appliance.chunks import fences
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import Unavailable
from appliance.upkeep import dropped, sweep
from tests.backup.places import Place, started
from tests.data_folders.inventory import inventory
from tests.files.person import Person
from tests.files.pruning import at_point, blobs, count, prune_of, prune_ripe
from tests.support.content import noise
from tests.support.databases import on_sqlite


@pytest.fixture
def goner(place: Place) -> Person:
    """Somebody with a pack of their own, who will be purged."""
    person = Person.new(place.files, "goner")
    person.put("/unlike any other", noise(300_000, seed=77))
    return person


def purging(place: Place, goner: Person, anna: Person) -> Callable[[], None]:
    """Purge the goner, prune and sweep, so that nothing is left but what is fenced."""

    def work() -> None:
        users.purge_user(place.files.database, goner.user)
        prune_ripe(anna)
        prune_of(anna)
        sweep.sweep(place.files.database, place.files.chunks.backend)

    return work


@pytest.mark.parametrize("point", ["backup.fenced", "backup.read", "backup.copied"])
def test_what_is_purged_meanwhile_is_in_the_backup_or_was_gone_before_its_moment(
    place: Place, goner: Person, anna: Person, point: str
) -> None:
    """At any moment of the run; the restored store is whole, and prune removes the blob behind the backup."""
    before = place.inventory()
    with at_point(point, purging(place, goner, anna)) as passed:
        taken = place.take()
    assert passed
    after = place.inventory()
    place.restore()
    with started(place.scratch / "restored") as appliance:
        assert inventory(appliance) == (after if point == "backup.fenced" else before)
    assert taken.problems == []
    there = blobs(anna)
    if point == "backup.copied":
        # The fence was lowered by then.
        assert count(anna, "fence") == 0
    else:
        assert prune_of(anna).blobs > 0
        assert blobs(anna) < there
    place.require_clean_backup()


@on_sqlite
def test_without_a_fence_the_blob_would_be_gone(
    place: Place, goner: Person, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail."""

    class Nothing:
        def renew(self) -> None: ...

    @contextlib.contextmanager
    def no_fence(database: Database) -> Iterator[Nothing]:
        yield Nothing()

    monkeypatch.setattr(fences, "fence", no_fence)
    with at_point("backup.read", purging(place, goner, anna)):
        assert "is missing" in str(place.attempt().problems)


def test_fence_of_a_killed_backup_holds_prune_for_its_time_only(
    place: Place, goner: Person, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row stays behind; prune takes it away when it is over, and goes on."""
    raised = fences.fence(place.files.database)
    raised.__enter__()
    purging(place, goner, anna)()
    held = blobs(anna)
    assert count(anna, "fence") == 1
    assert prune_of(anna).blobs == 0
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + (fences.EXPIRES_S + 1) * clock.SECOND)
    assert prune_of(anna).blobs > 0
    assert blobs(anna) < held
    assert count(anna, "fence") == 0
    monkeypatch.undo()
    raised.__exit__(None, None, None)


@on_sqlite
def test_backup_that_slept_too_long_does_not_count(place: Place, anna: Person) -> None:
    """Its fence was taken away, so blobs may have gone: no snapshot, and the next run makes one."""
    place.take()

    def take_away() -> None:
        Person.of(place.files, "anna").files.database.write(lambda session: session.run(fences._TAKE_AWAY, now=1 << 62))

    with at_point("backup.read", take_away), pytest.raises(Unavailable, match="silent for too long"):
        place.attempt()
    with folder.read(place.backup) as there:
        assert there.numbers() == [1]
    assert place.take().snapshot.number == 2


@on_sqlite
def test_fence_is_renewed_while_it_is_held(place: Place, anna: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread that ends with it."""
    monkeypatch.setattr(fences, "RENEW_S", 0.02)
    with fences.fence(place.files.database):
        first = anna.rows("SELECT expires_at FROM fence")
        deadline = time.monotonic() + 20
        while anna.rows("SELECT expires_at FROM fence") == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert anna.rows("SELECT * FROM fence") == []


@on_sqlite
def test_two_backups_at_once_each_hold_prune(place: Place, goner: Person, anna: Person) -> None:
    """To two folders: the end of one does not end the other's fence."""
    before = place.inventory()

    def meanwhile() -> None:
        place.attempt(place.scratch / "other")
        purging(place, goner, anna)()

    with at_point("backup.read", meanwhile):
        place.take()
    place.restore()
    with started(place.scratch / "restored") as appliance:
        assert inventory(appliance) == before


@on_sqlite
def test_fence_raised_while_prune_removes_stops_it_before_what_comes_next(
    place: Place, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was dropped before the fence may go: no snapshot that follows names it. Nothing else is removed."""
    monkeypatch.setattr(dropped, "_DROPPED", Sql(dropped._DROPPED.text.replace("LIMIT 100", "LIMIT 1")))
    for name in ("one", "two", "three"):
        person = Person.new(place.files, name)
        person.put("/file", noise(100_000, seed=len(name) * 100))
        users.purge_user(place.files.database, person.user)
    raised = fences.fence(place.files.database)
    with at_point("prune.removed", raised.__enter__) as passed:
        done = prune_ripe(anna)
    assert passed
    assert done.blobs == 1
    assert faults.POINTS["prune.removed"] == "system"
    raised.__exit__(None, None, None)
    assert prune_of(anna).blobs >= 2


@on_sqlite
def test_server_that_starts_beside_a_backup_leaves_its_fence(place: Place) -> None:
    """Writers and leases of the server before are dead, the backup is not."""
    place.take()
    place.restore()
    with started(place.scratch / "restored") as appliance:
        raised = fences.fence(appliance.database)
        raised.__enter__()
        with appliance.database.read() as session:
            assert session.value(fences.Sql("SELECT COUNT(*) FROM fence")) == 1
    with started(place.scratch / "restored") as appliance, appliance.database.read() as session:
        assert session.value(fences.Sql("SELECT COUNT(*) FROM fence")) == 1
    raised.__exit__(None, None, None)

"""The sums that a job keeps are those that a person would compute, and are computed only when something changed."""

from __future__ import annotations

import pytest

from appliance.accounts import usage, users
from appliance.backends.base import Backend
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.files.context import Files
from appliance.upkeep import measure
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
    job = measure.Measuring(database)
    assert job() != "nothing changed"
    assert job() == "nothing changed"
    before = measure.last(database)
    for change in (lambda: anna.put("/note", b"other content"), lambda: anna.remove("/film"),
                   lambda: Person.new(files, "ben"), lambda: users.purge_user(database, anna.user)):  # fmt: skip
        change()
        assert job() != "nothing changed"
        assert job() == "nothing changed"
    assert measure.last(database) != before

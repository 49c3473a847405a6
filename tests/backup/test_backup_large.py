"""A store with many files: what backups of it cost, in bytes and time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.backup.places import Place, started
from tests.files.person import Person
from tests.support.content import MIB, noise
from tests.support.databases import on_sqlite

FOLDERS, FILES, LARGE = 100, 200, 24


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Told with the output of the test."""
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s")


@pytest.mark.soak
@on_sqlite
def test_backup_of_many_files_costs_what_is_new(place: Place, anna: Person) -> None:
    """20,000 small files and 400 MB; then nothing, then a few hundred changes in one folder."""
    anna.set_quota(None)
    for folder in range(FOLDERS):
        anna.mkdir(f"/{folder}")
        for file in range(FILES):
            anna.put(f"/{folder}/{file}", noise(600, seed=folder * FILES + file))
    for number in range(LARGE):
        anna.put(f"/large {number}", noise(16 * MIB, seed=-number - 1))
    with timed("first"):
        first = place.take()
    whole = first.snapshot.pack_bytes + first.snapshot.row_bytes
    print(f"rows {first.snapshot.row_bytes}, packs {first.snapshot.pack_bytes}")
    with timed("unchanged"):
        second = place.take()
    assert second.copied_bytes < whole / 100
    for file in range(300):
        anna.put(f"/7/{file % FILES}", noise(600, seed=10**6 + file))
    with timed("300 changes"):
        third = place.take()
    print(f"copied: {first.copied_bytes}, {second.copied_bytes}, {third.copied_bytes}")
    assert third.copied_bytes < first.snapshot.row_bytes / 5
    with timed("verified"):
        place.take(verify=True)
    with timed("restored"):
        place.restore()
    with started(place.scratch / "restored") as appliance:
        assert Person.of(appliance.files, "anna").names("/7") == anna.names("/7")

"""An unclean stop with ``durability: fast``: older bytes where the newest are lost, never wrong ones."""

from __future__ import annotations

import pytest

from appliance.backends.disk import DiskBackend
from appliance.chunks import identity
from appliance.db.database import Database
from appliance.upkeep import durable
from appliance.upkeep.check import check
from appliance.upkeep.prune import prune
from appliance.upkeep.sweep import declare_all_dead
from tests.files.person import Person
from tests.support.content import noise
from tests.support.damage import Damage

LARGE = 200_000


@pytest.fixture
def history(alice: Person) -> Person:
    """A file with two packed versions, one with a single one, one in the database; the last two versions unsynced."""
    alice.put("/two", noise(LARGE, 1))
    alice.put("/small", b"small")
    durable_now(alice)
    alice.put("/two", noise(LARGE, 2))
    alice.put("/one", noise(LARGE, 3))
    return alice


def durable_now(person: Person) -> None:
    """The job that follows every few seconds."""
    backend = person.files.chunks.backend
    assert isinstance(backend, DiskBackend)
    assert durable.sync_packs(person.files.database, backend) == 1


def recover(person: Person) -> durable.Recovered | None:
    """What the next start does after a stop that was not in order."""
    backend = person.files.chunks.backend
    assert isinstance(backend, DiskBackend)
    found = durable.recover(person.files.database, backend)
    identity.establish(person.files.database, backend)
    return found


def require_clean(person: Person) -> None:
    """Every invariant holds, every byte is what its row says."""
    assert check(person.files.database, person.files.chunks.backend, read_data=True).findings == []


@pytest.fixture
def unclean(history: Person, database: Database) -> None:
    """A server was running when all this was stored."""
    durable.begin_serving(database, fast=True)


@pytest.mark.usefixtures("unclean")
@pytest.mark.parametrize("lose", ["delete", "truncate", "flip"])
def test_lost_pack_sets_its_file_back_to_the_last_intact_version(history: Person, damage: Damage, lose: str) -> None:
    """The version whose bytes are lost goes; the others stay as they are."""
    newest = damage.packs()[1]
    {
        "delete": lambda: damage.delete(newest),
        "truncate": lambda: damage.truncate(newest, 50_000),
        "flip": lambda: damage.flip(newest, 60_000),
    }[lose]()
    assert recover(history) == durable.Recovered(packs=1, files=1, commits_lost=False)
    assert history.get("/two") == noise(LARGE, 1)
    assert history.get("/one") == noise(LARGE, 3)
    assert history.get("/small") == b"small"
    require_clean(history)


@pytest.mark.usefixtures("unclean")
@pytest.mark.parametrize("lose", ["footer", "index", "header"])
def test_pack_that_lost_only_its_frame_loses_no_file(history: Person, damage: Damage, lose: str) -> None:
    """The chunks are where their rows say; they move to a pack that has an index again."""
    newest = damage.packs()[1]
    blob = history.files.chunks.backend
    size = blob.head(newest)
    assert size is not None
    {
        "footer": lambda: damage.truncate(newest, size - 10),
        "index": lambda: damage.flip(newest, size - 40),
        "header": lambda: damage.flip(newest, 0),
    }[lose]()
    etag = history.etag("/two")
    assert recover(history) == durable.Recovered(packs=1, files=0, commits_lost=False)
    assert history.get("/two") == noise(LARGE, 2)
    assert history.etag("/two") == etag
    require_clean(history)
    declare_all_dead(history.files.database)
    prune(history.files.database, blob)
    assert newest not in damage.packs()
    require_clean(history)


def test_intact_part_of_a_damaged_pack_stays(alice: Person, damage: Damage, database: Database) -> None:
    """Two files in one pack: the one whose bytes are intact is not touched, the other one is set back."""
    shared = noise(400_000, 7)
    alice.put("/whole", shared + noise(LARGE, 8))
    alice.put("/part", shared)
    ((offset,),) = alice.rows('SELECT MAX("offset") FROM chunk WHERE pack_id = 1')
    damage.flip(damage.packs()[0], offset)
    durable.begin_serving(database, fast=True)
    assert recover(alice) == durable.Recovered(packs=1, files=1, commits_lost=False)
    assert alice.get("/part") == shared
    assert alice.get("/whole") == b""
    require_clean(alice)


@pytest.mark.usefixtures("unclean")
def test_file_without_an_intact_version_becomes_empty(history: Person, damage: Damage) -> None:
    """Its name and place are known, its bytes are not."""
    damage.delete(damage.packs()[2])
    assert recover(history) == durable.Recovered(packs=1, files=1, commits_lost=False)
    assert history.get("/one") == b""
    assert history.get("/two") == noise(LARGE, 2)
    require_clean(history)


@pytest.mark.usefixtures("unclean")
def test_recovery_with_nothing_lost_changes_nothing_but_the_marks(history: Person, database: Database) -> None:
    """What was killed and did not lose power has everything."""
    etag = history.etag("/two")
    assert recover(history) == durable.Recovered(packs=0, files=0, commits_lost=False)
    assert history.etag("/two") == etag
    with database.read() as session:
        loaded = identity.load(session)
    assert loaded is not None
    assert loaded.incarnation == history.files.incarnation
    require_clean(history)


@pytest.mark.usefixtures("unclean")
def test_crash_of_the_machine_changes_the_incarnation(history: Person, damage: Damage, database: Database) -> None:
    """Commits may be missing, so numbers that were told will be used again for something else."""
    damage.sql("UPDATE store SET boot_id = 'the boot before'")
    assert recover(history) == durable.Recovered(packs=0, files=0, commits_lost=True)
    with database.read() as session:
        loaded = identity.load(session)
    assert loaded is not None
    assert loaded.incarnation != history.files.incarnation
    require_clean(history)


def test_clean_stop_needs_no_recovery(history: Person, database: Database) -> None:
    """Nothing is read, whatever the packs look like."""
    backend = history.files.chunks.backend
    assert isinstance(backend, DiskBackend)
    durable.begin_serving(database, fast=True)
    durable.end_serving(database, backend)
    assert recover(history) is None

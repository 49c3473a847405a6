"""Whose blobs these are: database and backend have to agree before anything is served."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance.backends.disk import DiskBackend
from appliance.backends.memory import MemoryBackend
from appliance.chunks import identity
from appliance.chunks.cutter import Chunking
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import StoreMismatch
from tests.support.content import keep, noise
from tests.support.faults import BackendProxy, DatabaseProxy, in_threads


def test_new_store_gets_an_identity_once(database: Database, backend: DiskBackend) -> None:
    """In the row and in the blob, and the same from then on."""
    made = identity.establish(database, backend)
    assert (len(made.store_id), len(made.incarnation), made.chunking) == (32, 8, Chunking())
    assert identity.establish(database, backend) == made
    size = backend.head("store")
    assert size is not None
    assert json.loads(backend.get("store", 0, size)) == {
        "store": made.store_id,
        "incarnation": made.incarnation,
        "chunking": "fastcdc:65536:16384:262144:2",
    }


def test_processes_that_start_together_agree(database: Database, backend: DiskBackend) -> None:
    """One of them makes the identity, all have it."""
    assert len(set(in_threads(6, lambda _: identity.establish(database, backend)))) == 1


@pytest.mark.parametrize("asked", ["backend", "database"])
def test_process_that_another_one_overtakes_agrees_too(database: Database, backend: DiskBackend, asked: str) -> None:
    """The other one makes the store just when this one looks whether there is one."""
    made: list[identity.Identity] = []

    def overtake(looks_at: str) -> None:
        if looks_at == asked and not made:
            made.append(identity.establish(database, backend))

    class Looking(BackendProxy):
        def head(self, key: str) -> int | None:
            found = super().head(key)
            overtake("backend")
            return found

    class Reading(DatabaseProxy):
        def read(self) -> AbstractContextManager[Session]:
            overtake("database")
            return super().read()

    assert identity.establish(Reading(database, lambda: None), Looking(backend)) == made[0]
    assert identity.establish(database, backend) == made[0]


def test_blobs_with_an_empty_database_are_refused(database: Database, backend: DiskBackend) -> None:
    """A lost database must not be replaced by a new one over the old bytes."""
    backend.put("store", [json.dumps({"store": "ab" * 16, "incarnation": "0" * 8, "chunking": "x"}).encode()])
    with pytest.raises(StoreMismatch, match="database is empty"):
        identity.establish(database, backend)


def test_blobs_of_another_store_are_refused(database: Database, backend: DiskBackend, tmp_path: Path) -> None:
    """Folders that were swapped; also when only the chunking differs."""
    made = identity.establish(database, backend)
    for wrong in ({"store": "ab" * 16}, {"chunking": "fastcdc:1:2:3:4"}):
        blob = {"store": made.store_id, "incarnation": made.incarnation, "chunking": str(made.chunking)} | wrong
        other = MemoryBackend()
        other.put("store", [json.dumps(blob).encode()])
        with pytest.raises(StoreMismatch):
            identity.establish(database, other)


def test_blobs_that_are_not_there_are_noticed(store: ChunkStore, database: Database) -> None:
    """A disk that is not mounted; a store without packs yet just gets its blob again."""
    assert identity.establish(database, MemoryBackend()).store_id == store.identity.store_id
    keep(store, database, noise(50_000))
    with pytest.raises(StoreMismatch, match="not there"):
        identity.establish(database, MemoryBackend())


@pytest.mark.parametrize("blob", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"store": 1}', b"not json"])
def test_blob_that_cannot_be_read_is_refused(database: Database, backend: DiskBackend, blob: bytes) -> None:
    """It was there and is damaged: whose blobs these are is not known."""
    identity.establish(database, backend)
    backend.put("store", [blob])
    with pytest.raises(StoreMismatch):
        identity.establish(database, backend)


def test_new_incarnation_reaches_the_blob_at_the_next_start(database: Database, backend: DiskBackend) -> None:
    """The database leads; the store stays the same."""
    before = identity.establish(database, backend)
    incarnation = database.write(identity.reincarnate)
    after = identity.establish(database, backend)
    assert after == before._replace(incarnation=incarnation)
    assert after.incarnation != before.incarnation
    size = backend.head("store")
    assert size is not None
    assert json.loads(backend.get("store", 0, size))["incarnation"] == incarnation


def test_chunking_that_this_program_does_not_know_is_refused(database: Database, backend: DiskBackend) -> None:
    """Another method would cut everything differently."""
    identity.establish(database, backend)
    database.write(lambda session: session.run(Sql("UPDATE store SET chunking = 'rabin:1'")))
    with pytest.raises(StoreMismatch):
        identity.establish(database, backend)


def test_store_is_recognized_and_never_made(database: Database, backend: DiskBackend) -> None:
    """Only the server's start makes a store, or writes its blob again."""
    with pytest.raises(StoreMismatch, match="never finished"):
        identity.recognize(database, backend)
    with database.read() as session:
        assert identity.load(session) is None
    made = identity.establish(database, backend)
    assert identity.recognize(database, backend) == made
    size = backend.head("store")
    assert size is not None
    before = backend.get("store", 0, size)
    incarnation = database.write(identity.reincarnate)
    # The database leads.
    assert identity.recognize(database, backend) == made._replace(incarnation=incarnation)
    assert backend.get("store", 0, size) == before
    backend.delete("store")
    with pytest.raises(StoreMismatch, match="never finished"):
        identity.recognize(database, backend)
    assert backend.head("store") is None


def test_store_of_others_is_not_recognized(store: ChunkStore, database: Database, backend: DiskBackend) -> None:
    """As for the server's start."""
    keep(store, database, noise(50_000))
    with pytest.raises(StoreMismatch, match="not there"):
        identity.recognize(database, MemoryBackend())
    blob = {"store": "ab" * 16, "incarnation": "0" * 8, "chunking": str(Chunking())}
    backend.put("store", [json.dumps(blob).encode()])
    with pytest.raises(StoreMismatch, match="the blobs are of abab"):
        identity.recognize(database, backend)

"""A streaming replica of the database: what can be asked of it, and that it takes no writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.accounts import users
from appliance.backends.disk import DiskBackend
from appliance.chunks import identity
from appliance.chunks.store import ChunkStore
from appliance.db import migrate
from appliance.db.database import Database
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Sql
from appliance.errors import Unavailable
from appliance.files.context import Files
from appliance.upkeep.check import check
from providers.dav.errors import answer_error
from tests.files.dump import dump
from tests.files.person import Person, principal_of
from tests.support.postgres import NotInstalled, PrivateServer, private_server, replica

_WRITTEN = Sql("SELECT pg_current_wal_lsn()::TEXT")
_REPLAYED = Sql("SELECT pg_last_wal_replay_lsn() >= CAST(:written AS pg_lsn)")
_CHANGES = Sql("SELECT COUNT(*) FROM journal")
_WITHIN_S = 60


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PrivateServer, PrivateServer]]:
    """One, and another that follows it.

    A commit of the first one is written when it returns, so that ``follow`` waits for it too: without that it may be
    in the server's memory still, behind the position that counts as written.
    """
    try:
        with private_server(synchronous_commit="on") as first, replica(first) as second:
            yield first, second
    except NotInstalled as reason:
        pytest.skip(str(reason))


@pytest.fixture
def both(servers: tuple[PrivateServer, PrivateServer]) -> Iterator[tuple[Database, Database]]:
    """The databases, migrated."""
    with closing(PostgresqlDatabase(servers[0].url)) as first, closing(PostgresqlDatabase(servers[1].url)) as second:
        migrate.migrate_postgresql(first)
        yield first, second


def follow(first: Database, second: Database) -> None:
    """Wait until the second one has replayed what the first one has written, its tables included."""
    with first.read() as session:
        written = session.value(_WRITTEN)
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until:
        with second.read() as session:
            if session.value(_REPLAYED, written=written):
                return
        time.sleep(0.02)
    raise AssertionError(f"the replica did not reach {written} within {_WITHIN_S} s")


def test_replica_answers_reads_and_is_checked_and_takes_no_writes(
    both: tuple[Database, Database], folder: Path
) -> None:
    """What it has is what the first one has; a write through it is refused for now, and is 503."""
    first, second = both
    backend = DiskBackend(folder, synced=False)
    store = ChunkStore(first, backend, identity.establish(first, backend), inline_threshold=4096, synced=False)
    files = Files(first, store, 1 << 40, lambda: None)
    alice = Person(files, principal_of(users.add(first, "alice", "correct horse battery")))
    alice.mkdir("/docs")
    alice.put("/docs/small", b"in a row")
    alice.put("/docs/large", bytes(range(256)) * 1000)
    follow(first, second)
    with second.read() as session:
        assert session.value(_CHANGES) == 3
    assert dump(second) == dump(first)
    assert check(second, backend, read_data=True).findings == []
    reader = Person(Files(second, store, 1 << 40, lambda: None), alice.principal)
    assert reader.names("/docs") == ["large", "small"]
    assert reader.get("/docs/small") == b"in a row"
    with pytest.raises(Unavailable, match="takes no writes") as caught:
        reader.mkdir("/more")
    assert answer_error(caught.value, prefix="/dav", is_folder=lambda path: False).status == 503
    assert alice.names("/") == ["docs"]
    store.writers.retire()
    store.close()

"""Fixtures of all tests.

``database`` comes twice, on SQLite and on PostgreSQL, and so does everything that is built on it; the marks
``on_sqlite`` and ``on_postgresql`` of ``tests.support.databases`` choose one. Whoever spoils a store on purpose asks
for ``damage``: what is then wrong is not held against the test by ``files``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from appliance.accounts.users import User
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.chunks import identity
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.files.context import Files
from appliance.principal import Principal
from appliance.upkeep.check import check
from tests.support.content import OpenStore
from tests.support.damage import Damage
from tests.support.databases import PostgresqlTemplate, SqliteTemplate
from tests.support.people import add_user
from tests.support.postgres import NotInstalled, server

pytest.register_assert_rewrite("tests.conformance.backend_contract")
# How long an example takes says nothing on a machine that does other things as well.
hypothesis.settings.register_profile("holdfast", deadline=None)
hypothesis.settings.load_profile("holdfast")

PASSWORD = "correct horse battery"
"""Of the user of ``user`` and ``principal``."""


_LONG_ON = {
    "postgresql": {
        "test_rules_that_come_and_go_never_make_the_past_wrong",
        "test_clients_follow_a_thousand_changes",
        "test_run_of_a_process_that_was_killed_is_told_and_what_was_asked_of_it_is_done",
        "test_process_that_slept_writes_nothing_over_what_the_next_one_is_at",
        "test_orders_by_chance_lose_nothing_and_leave_nothing",
    },
    "fast": {"test_kill_under_load_loses_nothing_acknowledged_and_leaves_nothing_behind"},
    "postgresql-1": {"test_what_is_kept_reads_exactly_and_what_is_not_says_so"},
    "postgresql-2": {"test_what_is_kept_reads_exactly_and_what_is_not_says_so"},
    "versitygw": {
        "test_ten_thousand_blobs_are_listed_in_their_order",
        "test_server_that_is_started_again_costs_only_time",
    },
}
"""Tests that are done in the ordinary run with another of their parameters: with this one they take long."""


_SLOW = ("tests/server/", "tests/faults/", "tests/power/", "tests/model_dav/", "tests/moving/", "tests/http/")
"""Folders whose files take tens of seconds each. Begun last, one would keep a single core busy at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones come first. What takes minutes by its nature has half an hour, unless it says otherwise."""
    items.sort(key=lambda item: not item.nodeid.startswith(_SLOW))
    for item in items:
        names = {name for part, those in _LONG_ON.items() if part in item.name for name in those}
        if getattr(item, "originalname", "") in names:
            item.add_marker(pytest.mark.soak)
        if item.get_closest_marker("soak") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplate:
    """A migrated SQLite database to copy."""
    return SqliteTemplate(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[PostgresqlTemplate]:
    """A migrated PostgreSQL database to empty; tests that need it are skipped where there is no PostgreSQL."""
    try:
        with server() as url:
            template = PostgresqlTemplate(url)
            yield template
            template.drop()
    except NotInstalled as reason:
        pytest.skip(str(reason))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty data folder."""
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, folder: Path) -> Iterator[Database]:
    """A migrated database without a row."""
    if request.param == "sqlite":
        sqlite: SqliteTemplate = request.getfixturevalue("sqlite_template")
        with sqlite.copy(folder / "holdfast.db") as copied:
            yield copied
    else:
        postgresql: PostgresqlTemplate = request.getfixturevalue("postgresql_template")
        with postgresql.emptied() as emptied:
            yield emptied


@pytest.fixture
def backend(folder: Path) -> DiskBackend:
    """An empty backend."""
    return DiskBackend(folder, synced=False)


@pytest.fixture
def open_store(database: Database) -> Iterator[OpenStore]:
    """Opens stores over a database and a backend, such as proxies that fail; they are closed after the test."""
    with ExitStack() as closing:

        def open_over(database: Database, backend: Backend) -> ChunkStore:
            who = identity.establish(database, backend)
            made = ChunkStore(database, backend, who, inline_threshold=4096, synced=False)
            closing.callback(made.close)
            return made

        yield open_over


@pytest.fixture
def store(database: Database, backend: DiskBackend, open_store: OpenStore) -> Iterator[ChunkStore]:
    """A new store. Content up to 4,096 bytes is kept inline."""
    made = open_store(database, backend)
    yield made
    made.writers.retire()


@pytest.fixture
def files(request: pytest.FixtureRequest, store: ChunkStore, database: Database) -> Iterator[Files]:
    """The use cases over a new store. After the test every invariant has to hold, unless it did ``damage``."""
    yield Files(database, store, max_file_bytes=1 << 40, free_bytes=lambda: None)
    if "damage" not in request.fixturenames:
        assert check(database, store.backend, read_data=True).findings == []


@pytest.fixture
def user(database: Database) -> User:
    """The member alice, whose password is ``PASSWORD``."""
    return add_user(database, "alice", PASSWORD)


@pytest.fixture
def principal(user: User) -> Principal:
    """alice, signed in."""
    return Principal("user", user.id, user.name, user.role, user.id, None, "test", "")


@pytest.fixture
def damage(database: Database, folder: Path) -> Damage:
    """Tools that spoil the store of ``folder``."""
    return Damage(database, folder)

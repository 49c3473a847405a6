"""The write-ahead log: moved into the database while others write, and begun anew when nobody does."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.db import checkpoints, sqlite
from appliance.db.sql import Sql
from appliance.db.sqlite import SqliteDatabase
from tests.http.harness import until

_MAKE = Sql("CREATE TABLE filling (id INTEGER PRIMARY KEY, data BLOB)")
_FILL = Sql("INSERT INTO filling (data) VALUES (randomblob(20000))")
_COUNT = Sql("SELECT COUNT(*) FROM filling")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "test.db"


@pytest.fixture
def database(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteDatabase]:
    """With a table to fill; it rests soon."""
    monkeypatch.setattr(checkpoints, "_REST_S", 0.2)
    with closing(SqliteDatabase(path, synced=False)) as made:
        made.maintain(lambda session: session.run(_MAKE))
        yield made


def fill(database: SqliteDatabase, commits: int) -> None:
    """Five pages a commit."""
    for _ in range(commits):
        database.maintain(lambda session: session.run(_FILL))


def log_size(path: Path) -> int:
    """Bytes; 0 also if there is none."""
    log = path.with_name(f"{path.name}-wal")
    return log.stat().st_size if log.exists() else 0


def is_begun_anew(path: Path) -> bool:
    """Whether the log has its head and one page, from which the next commit goes on."""
    return log_size(path) == 32 + 24 + 4096


def counted_without_the_log(path: Path) -> int:
    """What a copy of the database file alone holds."""
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        try:
            (count,) = connection.execute("SELECT COUNT(*) FROM filling").fetchone()
        except sqlite3.OperationalError:
            return 0
    return int(count)


def test_log_is_begun_anew_when_nobody_writes_and_everything_is_in_the_database(
    path: Path, database: SqliteDatabase
) -> None:
    """Also after one commit, and again after every pause."""
    for commits in (1, 100, 1):
        fill(database, commits)
        assert log_size(path) > 20_000
        until(lambda: is_begun_anew(path), 10)
    assert counted_without_the_log(path) == 102


def test_log_is_moved_while_others_go_on_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written long ago does not wait for a pause, nor for SQLite's own checkpoint."""
    monkeypatch.setattr(sqlite, "_LOG", (1_000_000, sqlite._LOG[1]))
    database = SqliteDatabase(path, synced=False)
    database.maintain(lambda session: session.run(_MAKE))
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            fill(database, 1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: path.stat().st_size > 4_000_000, 20)
    finally:
        ended.set()
        writer.join()
        database.close()


def test_reader_in_a_transaction_keeps_what_it_sees_and_holds_nobody_up(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log cannot be emptied meanwhile; afterwards it is."""
    fill(database, 1)
    made = checkpoints._checkpoint
    emptied = threading.Event()

    def noted(connection: sqlite3.Connection, how: str) -> None:
        made(connection, how)
        if how == "RESTART":
            emptied.set()

    monkeypatch.setattr(checkpoints, "_checkpoint", noted)
    with closing(SqliteDatabase(path, synced=False)) as other, other.snapshot() as session:
        assert session.value(_COUNT) == 1
        emptied.clear()
        fill(database, 70)
        assert emptied.wait(10)
        assert session.value(_COUNT) == 1
        assert log_size(path) > 20_000
    fill(database, 1)
    until(lambda: is_begun_anew(path), 10)
    assert counted_without_the_log(path) == 72


def test_checkpoint_that_fails_is_made_later(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost by it, and nobody is told."""
    failed = threading.Event()

    def fails(connection: sqlite3.Connection, how: str) -> None:
        failed.set()
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_checkpoint", fails)
        fill(database, 3)
        assert failed.wait(10)
    fill(database, 1)
    until(lambda: is_begun_anew(path), 10)
    assert counted_without_the_log(path) == 4


def test_commit_succeeds_where_no_thread_can_be_made(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done by then. A later one makes the thread."""
    until(lambda: is_begun_anew(path), 10)
    database.close()

    def fails(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        fill(database, 3)
        database.close()
    fill(database, 1)
    until(lambda: is_begun_anew(path), 10)
    assert counted_without_the_log(path) == 4


def test_database_that_was_closed_can_be_used_again(path: Path, database: SqliteDatabase) -> None:
    """Its checkpoints too; closing waits for nothing."""
    fill(database, 1)
    database.close()
    assert log_size(path) == 0
    fill(database, 1)
    until(lambda: is_begun_anew(path), 10)
    assert counted_without_the_log(path) == 2


def test_first_commit_after_a_rest_syncs_nothing(path: Path, database: SqliteDatabase) -> None:
    """Commits that need not be durable do not wait for the disk, the first one neither."""
    fill(database, 1)
    until(lambda: is_begun_anew(path), 10)
    before = path.with_name(f"{path.name}-wal").read_bytes()[:32]
    fill(database, 1)
    # Its head has stayed: another one would have had to be synced.
    assert path.with_name(f"{path.name}-wal").read_bytes()[:32] == before
    assert log_size(path) > 20_000


def test_log_that_cannot_be_begun_is_left_as_it_is(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk: it is tried once a rest, and everything is in the database all the same."""
    tried: list[float] = []

    def fails(connection: sqlite3.Connection) -> None:
        tried.append(time.monotonic())
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_begin_log", fails)
        fill(database, 3)
        until(lambda: len(tried) == 1, 10)
        time.sleep(1)
        assert len(tried) == 1
        assert log_size(path) > 60_000
        assert counted_without_the_log(path) == 3
    fill(database, 1)
    until(lambda: is_begun_anew(path), 10)
    assert counted_without_the_log(path) == 4


def test_log_is_cut_off_behind_its_new_beginning(path: Path) -> None:
    """Never before: of what an unfinished cut leaves, the old beginning would count."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("journal_mode = WAL", "wal_autocheckpoint = 0", "synchronous = FULL"):
            connection.execute(f"PRAGMA {statement}").fetchall()
        connection.execute("CREATE TABLE filling (data BLOB)")
        for _ in range(20):
            connection.execute("INSERT INTO filling VALUES (randomblob(20000))")
        log = path.with_name(f"{path.name}-wal")
        before = log.read_bytes()
        assert len(before) > 100_000
        sizes: list[int] = []
        connection.set_trace_callback(lambda text: sizes.append(log_size(path)) if "user_version =" in text else None)
        checkpoints.empty_log(connection)
        connection.set_trace_callback(None)
        assert sizes == [len(before)]
        assert is_begun_anew(path)
        # Another salt: nothing of what was there would count, had it stayed.
        assert log.read_bytes()[16:24] != before[16:24]
        assert counted_without_the_log(path) == 20

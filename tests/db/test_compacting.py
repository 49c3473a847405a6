"""The room that deleted rows have left in a small SQLite database is given back, and nobody notices."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.db import location, sqlite
from appliance.db.sql import Sql
from appliance.db.sqlite import SqliteDatabase
from tests.support.databases import SqliteTemplate

_FILL = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, 0)")
_EMPTY = Sql("DELETE FROM lease WHERE name <> 'kept'")
_NAMES = Sql("SELECT name FROM lease")


@pytest.fixture
def database(sqlite_template: SqliteTemplate, folder: Path) -> Iterator[SqliteDatabase]:
    """With one row that stays and room for two megabytes that went."""
    with sqlite_template.copy(folder / "holdfast.db", synced=True) as copied:
        copied.write(lambda session: session.run(_FILL, name="kept", holder=""))
        for number in range(100):
            name = f"n{number}"
            copied.write(lambda session, name=name: session.run(_FILL, name=name, holder="x" * 20_000))  # type: ignore[misc]
        assert not copied.compact(), "there is no room yet"
        copied.write(lambda session: session.run(_EMPTY))
        yield copied


def size(database: SqliteDatabase) -> int:
    """In bytes, with what still stands in the log."""
    with closing(database.connect()) as connection:
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        return pages * 4096


def test_room_of_deleted_rows_is_given_back(database: SqliteDatabase) -> None:
    """Once; the file is shorter at once, and rows are as they were."""
    assert size(database) > 2_000_000
    assert database.compact()
    assert size(database) == database.path.stat().st_size < 500_000
    assert not database.compact()
    with database.read() as session:
        assert session.rows(_NAMES) == [("kept",)]
    database.write(lambda session: session.run(_FILL, name="new", holder=""))


def test_who_reads_goes_on_with_what_he_saw(database: SqliteDatabase) -> None:
    """The file is shortened by a later checkpoint then."""
    with database.snapshot() as session:
        assert session.rows(_NAMES) == [("kept",)]
        with closing(SqliteDatabase(database.path, synced=True)) as other:
            other.compact()
            other.write(lambda session: session.run(_FILL, name="new", holder=""))
        assert session.rows(_NAMES) == [("kept",)]
    assert size(database) < 500_000


def test_large_database_is_left_alone(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers would wait for it."""
    monkeypatch.setattr(sqlite, "_MOMENT", 1_000_000)
    assert not database.compact()
    assert size(database) > 2_000_000


def test_failure_changes_nothing(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, say: what was written to the log goes, the rows are there, and the next time it succeeds."""

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "VACUUM":
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *values)

    connect = database._connect
    with monkeypatch.context() as patch:
        patch.setattr(database, "_connect", lambda: Full(database.path, isolation_level=None))
        assert not database.compact()
    assert database._connect == connect
    assert Path(f"{database.path}-wal").stat().st_size < 20_000
    with database.read() as session:
        assert session.rows(_NAMES) == [("kept",)]
    assert database.compact()
    assert database.path.stat().st_size < 500_000


def test_frozen_database_stays_as_it_is(database: SqliteDatabase) -> None:
    """Its rows are being copied, or live elsewhere by now."""
    location.freeze(database, location.LEAVING)
    assert not database.compact()
    assert size(database) > 2_000_000
    location.thaw(database)
    assert database.compact()

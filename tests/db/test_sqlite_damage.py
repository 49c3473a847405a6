"""SQLite files that are damaged, or none: whoever reads or writes is told, in the product's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.db.sql import Session, Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import Damaged, Unavailable
from tests.support.databases import SqliteTemplate

_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES ('x', :holder, 0)")


def add(session: Session) -> int:
    """More than a page."""
    return session.run(_INSERT, holder="y" * 100_000)


@pytest.mark.parametrize("content", [b"this is no database, " * 500, b"SQLite format 3\0" + b"\xff" * 8000])
def test_file_that_is_no_database_is_damaged(folder: Path, content: bytes) -> None:
    """To whoever reads or writes, and never taken for an empty one."""
    path = folder / "other.db"
    path.write_bytes(content)
    database = SqliteDatabase(path, synced=False)

    def read() -> None:
        with database.read() as session:
            session.value(Sql("SELECT COUNT(*) FROM lease"))

    def snapshot() -> None:
        with database.snapshot() as session:
            session.value(Sql("SELECT COUNT(*) FROM lease"))

    for use in (read, snapshot, lambda: database.write(add)):
        with pytest.raises(Damaged):
            use()
    database.close()
    assert path.read_bytes() == content


def test_damaged_page_is_damaged(sqlite_template: SqliteTemplate, folder: Path) -> None:
    """SQLite notices, and says so in its own words; ours come out."""
    path = folder / "holdfast.db"
    with sqlite_template.copy(path) as database:
        database.write(add)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    database = SqliteDatabase(path, synced=False)

    def read() -> None:
        with database.read() as session:
            session.rows(Sql("SELECT * FROM lease"))

    for use in (read, lambda: database.write(add)):
        with pytest.raises(Damaged):
            use()
    database.close()


def test_database_that_cannot_be_opened_is_unavailable(folder: Path) -> None:
    """A path that is a folder, say; the same for readers and writers."""
    (folder / "x.db").mkdir()
    database = SqliteDatabase(folder / "x.db", synced=False)

    def read() -> None:
        with database.read() as session:
            session.value(Sql("SELECT 1"))

    for use in (read, lambda: database.write(add)):
        with pytest.raises(Unavailable):
            use()
    database.close()

"""Reading connections are lent: the warm one first, never to two at a time, and none outlives a close."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.db.sql import Connection, Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import Unavailable
from tests.support.databases import SqliteTemplate
from tests.support.faults import in_threads

_COUNT = Sql("SELECT COUNT(*) FROM lease")
_NONE = Sql("SELECT name FROM lease")
_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, '', 0)")


@pytest.fixture
def database(sqlite_template: SqliteTemplate, folder: Path) -> Iterator[SqliteDatabase]:
    """An empty one."""
    with sqlite_template.copy(folder / "holdfast.db", synced=False) as copied:
        yield copied


def lent(database: SqliteDatabase) -> Connection:
    """The connection that the next reader gets."""
    with database.read() as session:
        return session.connection


def is_open(connection: Connection) -> bool:
    """Whether it can still be asked."""
    assert isinstance(connection, sqlite3.Connection)
    try:
        connection.execute("SELECT 1").fetchall()
    except sqlite3.ProgrammingError:
        return False
    return True


def test_one_reader_after_another_gets_the_same_connection(database: SqliteDatabase) -> None:
    """Whatever thread it is: one is warm, and one is open."""
    found = {id(lent(database)) for _ in range(3)}
    for _ in range(3):
        thread = threading.Thread(target=lambda: found.add(id(lent(database))))
        thread.start()
        thread.join()
    assert len(found) == 1


def test_last_one_used_is_the_first_one_lent(database: SqliteDatabase) -> None:
    """The others stay cold, and are there when many read at once."""
    with database.read() as outer:
        with database.read() as inner:
            assert inner.connection is not outer.connection
        assert lent(database) is inner.connection
    assert lent(database) is outer.connection


def test_each_reader_at_a_time_has_its_own(database: SqliteDatabase) -> None:
    """Snapshots that are held at once see each their own moment."""
    with ExitStack() as held:
        sessions = []
        for number in range(6):
            sessions.append(held.enter_context(database.snapshot()))
            assert sessions[-1].value(_COUNT) == number
            database.write(lambda session, number=number: session.run(_INSERT, name=f"lease {number}"))  # type: ignore[misc]
        assert [session.value(_COUNT) for session in sessions] == list(range(6))
        assert len({id(session.connection) for session in sessions}) == 6
    with database.read() as session:
        assert session.value(_COUNT) == 6


def test_few_stay_open_after_a_burst(database: SqliteDatabase) -> None:
    """Each has a cache of pages: what a burst opened is closed again."""
    with ExitStack() as held:
        connections = [held.enter_context(database.read()).connection for _ in range(20)]
    assert sum(map(is_open, connections)) == 4


def test_close_ends_idle_ones_at_once_and_lent_ones_on_their_return(database: SqliteDatabase) -> None:
    """Who reads at that moment is not cut off; nothing old is lent again."""
    idle = lent(database)
    with database.read() as session:
        with database.read() as other:
            pass
        database.close()
        assert is_open(session.connection)
        assert not is_open(other.connection)
    assert session.connection is idle
    assert not is_open(idle)
    assert is_open(lent(database))


def test_error_is_translated_and_the_connection_goes_on(database: SqliteDatabase) -> None:
    """What failed in one use concerns no other."""
    with pytest.raises(Unavailable), database.read() as failing:
        raise _error("SQLITE_IOERR", sqlite3.SQLITE_IOERR)
    with database.read() as session:
        assert session.connection is failing.connection
        assert session.value(_COUNT) == 0


def test_failed_snapshot_leaves_no_transaction(database: SqliteDatabase) -> None:
    """The next reader sees what is committed now."""
    with pytest.raises(LookupError), database.snapshot() as session:
        session.value(_NONE)
    database.write(lambda writing: writing.run(_INSERT, name="later"))
    with database.read() as reading:
        assert reading.connection is session.connection
        assert reading.value(_COUNT) == 1


def test_many_threads_read_what_they_wrote(database: SqliteDatabase) -> None:
    """Each statement sees the newest state, on whatever connection it runs."""

    def run(number: int) -> None:
        for turn in range(50):
            name = f"{number} {turn}"
            database.write(lambda session: session.run(_INSERT, name=name))  # noqa: B023
            with database.read() as session:
                assert session.row(Sql("SELECT 1 FROM lease WHERE name = :name"), name=name) is not None

    in_threads(8, run)
    with database.read() as session:
        assert session.value(_COUNT) == 400


def _error(name: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error

"""SQLite with many threads and processes: group commit loses nothing, and its errors are the product's."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance import faults
from appliance.db import migrate, sqlite
from appliance.db.sql import Session, Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import HoldfastError, StorageFull, Unavailable
from appliance.faults import Fault, Trap
from tests.support.databases import SqliteTemplate
from tests.support.faults import in_threads, within

_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, 0)")
_ADD = Sql("UPDATE lease SET expires_at = expires_at + 1 WHERE name = 'counter' RETURNING expires_at")


@pytest.fixture
def path(folder: Path) -> Path:
    """Of the database."""
    return folder / "holdfast.db"


@pytest.fixture
def database(sqlite_template: SqliteTemplate, path: Path) -> Iterator[SqliteDatabase]:
    """Synced, with a counter."""
    with sqlite_template.copy(path, synced=True) as copied:
        copied.write(lambda session: session.run(_INSERT, name="counter", holder=""))
        yield copied


def add(session: Session) -> int:
    """Count one."""
    number: int = session.value(_ADD)
    return number


_COUNT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from appliance.db.sql import Sql
from appliance.db.sqlite import SqliteDatabase

add = Sql("UPDATE lease SET expires_at = expires_at + 1 WHERE name = 'counter' RETURNING expires_at")
database = SqliteDatabase(Path(sys.argv[1]), synced=False)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(4) as pool:
    for number in pool.map(lambda _: database.write(lambda session: session.value(add)), range(160)):
        print(number)
"""


def test_increments_of_several_processes_are_all_there(path: Path, database: SqliteDatabase) -> None:
    """Three processes of four threads each: every number is given out once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _COUNT, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    numbers = [int(number) for process in processes for number in process.communicate(timeout=60)[0].split()]
    assert sorted(numbers) == list(range(1, 481))


def test_writers_queue_on_the_lock_that_all_processes_share(path: Path, database: SqliteDatabase) -> None:
    """Not on SQLite's own, where they would sleep and some starve: nothing begins while another one holds it."""
    other = SqliteDatabase(path, synced=False)
    began: list[int] = []

    def work(session: Session) -> int:
        began.append(1)
        return add(session)

    writer = threading.Thread(target=lambda: other.write(work), daemon=True)
    with database.exclusive():
        writer.start()
        writer.join(0.2)
        assert began == []
    writer.join(20)
    assert began == [1]
    other.close()


def test_write_has_the_database_before_it_reads(path: Path, database: SqliteDatabase) -> None:
    """Else a program that knows nothing of our lock could write between a work's reading and its writing."""

    def work(session: Session) -> int:
        shell = sqlite3.connect(path, isolation_level=None, timeout=0)
        with closing(shell), pytest.raises(sqlite3.OperationalError, match="locked"):
            shell.execute("BEGIN IMMEDIATE")
        return add(session)

    assert database.write(work) == 1
    assert behind(database, [work, work]) in ([2, 3], [3, 2])


def behind(database: SqliteDatabase, works: list[Callable[[Session], Any]]) -> list[Any]:
    """The outcomes of works that join one group: they wait while another one is under way."""
    held, entered = threading.Event(), threading.Event()
    queue = database._commits

    def hold(_: Session) -> None:
        entered.set()
        assert held.wait(20)

    def release() -> None:
        while len(queue._waiting) < len(works):
            threading.Event().wait(0.005)
        held.set()

    def work(number: int) -> Any:
        if number == len(works):
            return database.write(hold)
        assert entered.wait(20)
        if number > len(works):
            return release()
        try:
            return database.write(works[number])
        except (HoldfastError, sqlite3.Error, KeyError) as error:
            return error

    return in_threads(len(works) + 2, work, seconds=30)[: len(works)]


def test_group_of_more_than_its_limit_is_committed(database: SqliteDatabase) -> None:
    """150 at once, each with a result of its own."""
    assert sorted(behind(database, [add] * 150)) == list(range(1, 151))


def test_exception_in_a_group_rolls_back_its_own_work_only(database: SqliteDatabase) -> None:
    """Those before and after it in the same transaction stay."""

    def fail(session: Session) -> None:
        add(session)
        raise KeyError("mine")

    outcomes = behind(database, [add, fail, add, fail, add])
    assert sorted(each for each in outcomes if isinstance(each, int)) == [1, 2, 3]
    assert [each.args for each in outcomes if isinstance(each, KeyError)] == [("mine",)] * 2
    assert database.write(add) == 4


def test_works_of_a_group_in_which_none_fails_run_once(database: SqliteDatabase) -> None:
    """Only a failure makes the others run again, a savepoint each."""
    runs: list[int] = []

    def once(session: Session) -> int:
        runs.append(add(session))
        return runs[-1]

    assert sorted(behind(database, [once] * 5)) == sorted(runs) == [1, 2, 3, 4, 5]


def test_refusal_that_wrote_nothing_costs_the_others_nothing(database: SqliteDatabase) -> None:
    """Most are of that kind: a name that is taken, a lock, a quota."""
    runs: list[int] = []

    def once(session: Session) -> int:
        runs.append(add(session))
        return runs[-1]

    def refuse(session: Session) -> int:
        raise KeyError("mine")

    outcomes = behind(database, [once, refuse, once, refuse, once])
    assert sorted(each for each in outcomes if isinstance(each, int)) == sorted(runs) == [1, 2, 3]
    assert sum(isinstance(each, KeyError) for each in outcomes) == 2


def test_failure_that_wrote_makes_the_group_begin_anew_together(database: SqliteDatabase) -> None:
    """In one transaction still: nobody waits for a sync of each."""
    statements: list[str] = []

    def fail(session: Session) -> int:
        add(session)
        raise KeyError("mine")

    database.write(add)
    database._writer().set_trace_callback(statements.append)
    outcomes = behind(database, [add, add, fail])
    assert sorted(each for each in outcomes if isinstance(each, int)) == [2, 3]
    counted = [statements.count(each) for each in ("SAVEPOINT work", "ROLLBACK TO work", "COMMIT")]
    # The one that held the others back commits too.
    assert counted == [3, 1, 2]


def test_group_broken_by_the_database_is_tried_one_by_one(database: SqliteDatabase) -> None:
    """One work that runs into a constraint takes nobody with it; works may run twice, and count once."""
    outcomes = behind(database, [add, lambda session: session.run(_INSERT, name="counter", holder="x"), add])
    assert isinstance(outcomes[1], sqlite3.IntegrityError)
    assert sorted([outcomes[0], outcomes[2]]) == [1, 2]
    assert database.write(add) == 3


def test_error_within_a_work_can_be_handled_by_it(database: SqliteDatabase) -> None:
    """A work that catches what the database says goes on in its transaction."""

    def work(session: Session) -> int:
        with pytest.raises(sqlite3.IntegrityError):
            session.run(_INSERT, name="counter", holder="")
        return add(session)

    assert database.write(work) == 1


class Stop(BaseException):
    """What ends a process in the middle of anything."""


def test_exception_that_ends_a_process_leaves_the_queue_usable(database: SqliteDatabase) -> None:
    """Nothing stays open in which the next work would find itself."""

    def work(session: Session) -> None:
        add(session)
        raise Stop

    with pytest.raises(Stop):
        database.write(work)
    assert within(10, lambda: database.write(add)) == 1


def test_full_disk_is_storage_full_for_what_does_not_fit(path: Path, database: SqliteDatabase) -> None:
    """What fits is committed, in the same group too; when there is room again everything works."""
    writing = database._writer()
    pages = writing.execute("PRAGMA page_count").fetchone()[0]
    writing.execute(f"PRAGMA max_page_count = {pages + 4}")

    def large(session: Session) -> int:
        return session.run(_INSERT, name="large", holder="x" * 1_000_000)

    with pytest.raises(StorageFull):
        database.write(large)
    outcomes = behind(database, [add, large, add])
    assert isinstance(outcomes[1], StorageFull)
    assert sorted([outcomes[0], outcomes[2]]) == [1, 2]
    writing.execute("PRAGMA max_page_count = 1000000")
    assert database.write(large) == 1


def test_full_disk_is_tried_again_as_long_as_there_is_something_to_give(path: Path) -> None:
    """Each time a little more, until it fits; whoever else was in the group does not notice."""
    asked: list[bool] = []

    def give(certain: bool) -> bool:
        asked.append(certain)
        (most,) = database._writer().execute("PRAGMA max_page_count").fetchone()
        database._writer().execute(f"PRAGMA max_page_count = {most + 100}")
        return True

    def large(session: Session) -> int:
        return session.run(_INSERT, name="large", holder="x" * 1_000_000)

    def larger(session: Session) -> int:
        return session.run(_INSERT, name="larger", holder="x" * 1_500_000)

    database = SqliteDatabase(path, synced=False, make_room=give)
    migrate.migrate_sqlite(database, path.parent / "copies")
    database.write(lambda session: session.run(_INSERT, name="counter", holder=""))
    (pages,) = database._writer().execute("PRAGMA page_count").fetchone()
    database._writer().execute(f"PRAGMA max_page_count = {pages + 4}")
    assert database.write(large) == 1
    assert asked == [True] * 3
    database._writer().execute("PRAGMA max_page_count = 1")
    assert sorted(map(str, behind(database, [add, larger, add]))) == ["1", "1", "2"]
    database.close()


def test_full_disk_that_nobody_can_help_is_told_after_a_few_attempts(path: Path) -> None:
    """Whatever is promised."""
    asked: list[bool] = []
    database = SqliteDatabase(path, synced=False, make_room=lambda certain: asked.append(certain) is None)
    migrate.migrate_sqlite(database, path.parent / "copies")
    database._writer().execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageFull):
        database.write(lambda session: session.run(_INSERT, name="large", holder="x" * 1_000_000))
    assert 1 < len(asked) < 20
    database.close()


def test_database_that_does_not_open_for_want_of_room_is_opened_with_some(
    path: Path, sqlite_template: SqliteTemplate
) -> None:
    """SQLite tells of an I/O error then; whether it is that is for others to find out."""
    with sqlite_template.copy(path):
        pass
    asked: list[bool] = []
    database = SqliteDatabase(path, synced=False, make_room=lambda certain: asked.append(certain) is None)
    trap = Trap(Fault("sql.connect", 1, "EIO"))
    with faults.hooked(trap):
        database.connect().close()
    assert asked == [False]
    trap.close()
    database.close()


def test_database_that_somebody_else_locks_is_unavailable(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that does not know the file lock, the sqlite3 shell say, holds it for longer than we wait."""
    monkeypatch.setattr(sqlite, "_BUSY_MS", 50)
    other = SqliteDatabase(path, synced=False)
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(Unavailable):
            within(10, lambda: other.write(add))
        with other.read() as session:
            assert session.value(Sql("SELECT expires_at FROM lease")) == 0
    finally:
        shell.execute("ROLLBACK")
        shell.close()
    assert other.write(add) == 1
    other.close()


def test_connections_have_the_settings_that_durability_relies_on(path: Path, database: SqliteDatabase) -> None:
    """WAL, and FULL where commits have to be on stable storage before they are answered."""
    unsynced = SqliteDatabase(path, synced=False)
    for each, synchronous in ((database, 2), (unsynced, 1)):
        with each.read() as session:
            assert session.value(Sql("PRAGMA journal_mode")) == "wal"
            assert session.value(Sql("PRAGMA synchronous")) == synchronous
        assert each.write(lambda session: session.value(Sql("PRAGMA synchronous"))) == synchronous
    unsynced.close()


def test_database_can_be_used_again_after_close(database: SqliteDatabase) -> None:
    """Close lets go of what is open, no more."""
    database.close()
    assert database.write(add) == 1
    database.close()
    with database.read() as session:
        assert session.value(Sql("SELECT expires_at FROM lease")) == 1


def test_database_that_is_gone_leaves_no_file_open(sqlite_template: SqliteTemplate, path: Path) -> None:
    """Many may come and go in one process: tests, commands, moves."""

    def use() -> None:
        with sqlite_template.copy(path) as database:
            with database.read() as session:
                session.value(Sql("SELECT COUNT(*) FROM lease"))
            database.write(lambda session: session.run(_INSERT, name="x", holder=""))
        path.unlink()

    use()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        use()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before

"""PostgreSQL that goes away and comes back: who is hit, for how long, and what is known of what was to be changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from appliance.db import connections, migrate
from appliance.db.database import Database
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Session, Sql
from appliance.errors import OutcomeUnknown, Unavailable
from appliance.jobs.performing import Job, perform
from providers.dav.errors import answer_error
from tests.support.faults import in_threads, within
from tests.support.postgres import NotInstalled, PrivateServer, private_server

_MAKE = Sql("CREATE TABLE IF NOT EXISTS entry (name TEXT PRIMARY KEY)")
_CLEAR = Sql("DELETE FROM entry")
_ADD = Sql("INSERT INTO entry (name) VALUES (:name)")
_NAMES = Sql("SELECT name FROM entry")
_ONE = Sql("SELECT 1")
_PID = Sql("SELECT pg_backend_pid()")
_END = Sql("SELECT pg_terminate_backend(:pid)")
_CONNECTIONS = Sql("SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'counted'")


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateServer]:
    """What it has committed survives its own end."""
    try:
        with private_server(synchronous_commit="on") as private:
            yield private
    except NotInstalled as reason:
        pytest.skip(str(reason))


@pytest.fixture
def url(server: PrivateServer) -> str:
    """Of a database with an empty table."""
    with closing(PostgresqlDatabase(server.url)) as database:
        migrate.migrate_postgresql(database)
        database.write(lambda session: (session.run(_MAKE), session.run(_CLEAR)))
    return f"{server.url}&connect_timeout=2"


@pytest.fixture
def database(url: str) -> Iterator[PostgresqlDatabase]:
    """With the limits of the product."""
    with closing(PostgresqlDatabase(url)) as opened:
        yield opened


@pytest.fixture
def impatient(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresqlDatabase]:
    """With limits of about a second."""
    monkeypatch.setattr(connections, "_GRACE_S", 0.5)
    with closing(PostgresqlDatabase(url, statement_s=1)) as opened:
        yield opened


def names(database: Database) -> set[str]:
    """Of all entries."""
    with database.read() as session:
        return {row[0] for row in session.rows(_NAMES)}


def read(database: Database) -> None:
    """One statement."""
    with database.read() as session:
        session.value(_ONE)


def snapshot(database: Database) -> None:
    """Two of one state."""
    with database.snapshot() as session:
        session.value(_ONE)
        session.value(_ONE)


def write(database: Database) -> None:
    """A transaction."""
    database.write(lambda session: session.value(_ONE))


USES = pytest.mark.parametrize("use", [read, snapshot, write])
Use = Callable[[Database], None]


class Load:
    """Threads that add entries, and read, until it is ``over``; what they were told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.over = threading.Event()
        self.done: set[str] = set()
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        # When the requests began that failed.
        self.failed: list[float] = []
        self._mutex = threading.Lock()

    def work(self, number: int) -> None:
        """One thread."""
        turn = 0
        while not self.over.is_set():
            turn += 1
            name = f"{number}-{turn}"
            began = time.monotonic()
            told = self.done
            try:
                snapshot(self.database) if turn % 2 else read(self.database)
                self.database.write(lambda session, name=name: session.run(_ADD, name=name))  # type: ignore[misc]
            except OutcomeUnknown:
                told = self.unknown
            except Unavailable:
                told = self.refused
            with self._mutex:
                told.add(name)
                if told is not self.done:
                    self.failed.append(began)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_under_load_refuses_while_it_lasts_and_costs_nothing_afterwards(
    server: PrivateServer, database: PostgresqlDatabase, mode: str
) -> None:
    """What was acknowledged is there, what was refused is not; every request that begins afterwards is served."""
    load = Load(database)
    back: list[float] = []

    def work(number: int) -> None:
        if number < 8:
            load.work(number)
            return
        try:
            for _ in range(3):
                time.sleep(0.5)
                server.stop(mode)
                time.sleep(0.2)
                server.start()
                back.append(time.monotonic())
            time.sleep(1)
        finally:
            load.over.set()

    in_threads(9, work)
    there = names(database)
    assert load.done <= there
    assert not load.refused & there
    assert there <= load.done | load.unknown
    assert load.failed
    assert [began for began in load.failed if began > back[-1]] == []
    assert len(load.done) > 100


@USES
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_connections_that_rested_over_a_restart_cost_nobody_a_request(
    server: PrivateServer, database: PostgresqlDatabase, mode: str, use: Use
) -> None:
    """All of the pool at once."""

    def held(session: Session) -> None:
        session.value(_ONE)
        together.wait(20)

    together = threading.Barrier(16)
    in_threads(16, lambda _: database.write(held))
    server.stop(mode)
    server.start()
    for _ in range(3):
        in_threads(16, lambda _: use(database))


@USES
def test_connection_that_dies_unseen_is_exchanged(
    database: PostgresqlDatabase, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails with the first thing that is asked; nothing was changed by then."""
    monkeypatch.setattr(connections, "_has_something_to_say", lambda driver: False)
    for _ in range(3):
        with database.read() as session:
            pid = session.value(_PID)
            with database.read() as other:
                other.row(_END, pid=pid)
        use(database)


@USES
def test_server_that_says_nothing_is_unavailable_and_holds_nobody_for_long(
    server: PrivateServer, impatient: PostgresqlDatabase, use: Use
) -> None:
    """Also those who come next, and what it answers to nobody any more harms nobody."""
    in_threads(4, lambda _: use(impatient))
    server.sleep()

    def refused(_: int) -> None:
        with pytest.raises(Unavailable):
            use(impatient)

    try:
        in_threads(8, refused, seconds=10)
    finally:
        server.wake()
    in_threads(8, lambda _: use(impatient), seconds=10)


def test_commit_that_nobody_answers_is_unknown_and_not_repeated(
    server: PrivateServer, impatient: PostgresqlDatabase
) -> None:
    """Here it was done, when the server came to it."""
    attempts: list[None] = []

    def work(session: Session) -> None:
        attempts.append(None)
        session.run(_ADD, name="late")
        server.sleep()

    try:
        with pytest.raises(OutcomeUnknown):
            within(10, lambda: impatient.write(work))
    finally:
        server.wake()
    assert len(attempts) == 1
    until = time.monotonic() + 10
    while "late" not in names(impatient):
        assert time.monotonic() < until


def test_commit_that_finds_its_connection_closed_is_unknown(database: PostgresqlDatabase) -> None:
    """Here it was not done; only the server knows that."""

    def work(session: Session) -> None:
        session.run(_ADD, name="lost")
        pid = session.value(_PID)
        with database.read() as other:
            other.row(_END, pid=pid)

    with pytest.raises(OutcomeUnknown):
        database.write(work)
    assert names(database) == set()
    answer = answer_error(OutcomeUnknown(reason="unknown"), prefix="/dav", is_folder=lambda path: False)
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (503, "5")


def test_transaction_that_sleeps_loses_its_locks_and_runs_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a process that was suspended: nobody waits for it for long, and it does its work in the end."""
    monkeypatch.setattr(connections, "_IDLE_S", 1)
    asleep, wake = threading.Event(), threading.Event()
    attempts: list[None] = []
    seen: list[set[str]] = []

    def sleeping(session: Session) -> None:
        attempts.append(None)
        session.run(_ADD, name="one")
        asleep.set()
        assert wake.wait(20)
        seen.append({row[0] for row in session.rows(_NAMES)})

    with closing(PostgresqlDatabase(url)) as database:

        def other() -> None:
            assert asleep.wait(20)
            # The same key: it waits for the other's end.
            database.write(lambda session: (session.run(_ADD, name="one"), session.run(_CLEAR)))
            wake.set()

        in_threads(2, lambda number: other() if number else database.write(sleeping), seconds=15)
        assert (len(attempts), seen) == (2, [{"one"}])
        assert names(database) == {"one"}


def test_lock_is_not_waited_for_for_ever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds it, and however busy it keeps its transaction."""
    monkeypatch.setattr(connections, "_LOCK_S", 0.5)
    with closing(PostgresqlDatabase(url)) as database:

        def holding(session: Session) -> None:
            session.run(_ADD, name="one")
            with pytest.raises(Unavailable):
                within(10, lambda: database.write(lambda other: other.run(_ADD, name="one")))

        database.write(holding)
        assert names(database) == {"one"}


def test_statement_that_takes_too_long_is_ended_by_the_server(impatient: PostgresqlDatabase) -> None:
    """Its connection stays good."""
    began = time.monotonic()
    with pytest.raises(Unavailable):
        impatient.write(lambda session: session.row(Sql("SELECT pg_sleep(20)")))
    assert time.monotonic() - began < 8
    pids = {_value(impatient, _PID) for _ in range(3)}
    assert len(pids) == 1


def test_half_of_the_threads_have_connections_and_the_others_wait(url: str, database: PostgresqlDatabase) -> None:
    """The arithmetic that the documents give: 32 threads, 16 connections, of which 8 stay."""
    with closing(PostgresqlDatabase(f"{url}&application_name=counted")) as counted:

        def work(number: int) -> int:
            if number == 32:
                time.sleep(0.3)
                return int(_value(database, _CONNECTIONS))
            counted.write(lambda session: session.row(Sql("SELECT pg_sleep(0.5)")))
            return 0

        assert max(in_threads(33, work)) == 16
        deadline = time.monotonic() + 10
        while _value(database, _CONNECTIONS) != 8:
            assert time.monotonic() < deadline


def test_work_that_goes_on_over_a_failed_statement_is_not_taken_for_committed(database: PostgresqlDatabase) -> None:
    """The server rolls such a transaction back, and calls that no error."""

    def work(session: Session) -> None:
        session.run(_ADD, name="one")
        with pytest.raises(Exception, match="nowhere"):
            session.run(Sql("DELETE FROM nowhere"))

    with pytest.raises(Exception, match="rolled back"):
        database.write(work)
    assert names(database) == set()


def _value(database: Database, sql: Sql) -> Any:
    with database.read() as session:
        return session.value(sql)


def test_job_that_falls_due_meanwhile_says_so_in_a_line_and_runs_the_next_time(
    server: PrivateServer, database: PostgresqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """The scheduler's own thread sees no exception, which it would log with all that led to it."""
    done = list[int]()
    job = Job("due", 60, lambda turn: done.append(1))
    server.stop("fast")
    try:
        perform(database, job, "test", next_at=lambda: 0)
    finally:
        server.start()
    (told,) = [record for record in caplog.records if record.name == "appliance.jobs.performing"]
    assert told.getMessage().startswith("job due failed and will run again: the database does not answer")
    assert told.exc_info is None
    assert perform(database, job, "test", next_at=lambda: 0)
    assert done == [1]

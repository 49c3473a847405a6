"""PostgreSQL: lost races run again, and what the server says comes out as the product's own errors."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.accounts import users
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Session, Sql
from appliance.errors import NameTaken, StorageFull, Unavailable
from tests.support.databases import PostgresqlTemplate
from tests.support.faults import in_threads, within

_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, '', 0)")
_ADD = Sql("UPDATE lease SET expires_at = expires_at + 1 WHERE name = :name RETURNING expires_at")
_ONE = Sql("SELECT 1")


@pytest.fixture
def database(postgresql_template: PostgresqlTemplate) -> Iterator[PostgresqlDatabase]:
    """With the counters a and b."""
    with postgresql_template.emptied() as emptied:
        for name in "ab":
            emptied.write(lambda session, name=name: session.run(_INSERT, name=name))  # type: ignore[misc]
        yield emptied


def terminate_others(database: PostgresqlDatabase) -> None:
    """What a restart of the server does to every connection but this one."""
    others = Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                 " AND pid <> pg_backend_pid()")  # fmt: skip
    with database.read() as session:
        session.rows(others)


def fail_with(code: str) -> Sql:
    """A statement that ends with this SQLSTATE."""
    return Sql(f"DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; END $$")


def test_plan_made_while_a_table_is_new_reads_no_whole_table(database: PostgresqlDatabase) -> None:
    """The planner takes it for almost empty, and would keep to that while it grows."""
    ids = {f"id{number}": bytes([number]) * 32 for number in range(64)}
    asked = Sql(f"EXPLAIN SELECT id, wanted FROM chunk WHERE id IN ({', '.join(f':{name}' for name in ids)})")
    with database.read() as session:
        plan = "\n".join(row[0] for row in session.rows(asked, **ids))
    assert "pk_chunk" in plan
    assert "Seq Scan" not in plan


def test_transactions_that_block_each_other_are_both_committed(database: PostgresqlDatabase) -> None:
    """The server ends one of them; it runs again, and nobody hears of it."""
    both = threading.Barrier(2)
    attempts: list[str] = []

    def work(number: int) -> None:
        first, second = "ab" if number == 0 else "ba"

        def change(session: Session) -> None:
            attempts.append(first)
            session.run(_ADD, name=first)
            if len(attempts) <= 2:
                both.wait(20)
            session.run(_ADD, name=second)

        database.write(change)

    in_threads(2, work, seconds=30)
    assert len(attempts) >= 3
    with database.read() as session:
        assert session.rows(Sql("SELECT expires_at FROM lease")) == [(2,), (2,)]


def test_same_row_inserted_twice_at_once_is_seen_by_the_second(database: PostgresqlDatabase) -> None:
    """Look, then insert: whoever comes second looks again and finds it."""
    both = threading.Barrier(2)
    attempts: list[int] = []

    def work(number: int) -> str:
        def change(session: Session) -> str:
            attempts.append(number)
            if session.row(Sql("SELECT 1 FROM lease WHERE name = 'new'")) is not None:
                return "found"
            if len(attempts) <= 2:
                both.wait(20)
            session.run(_INSERT, name="new")
            return "made"

        return database.write(change)

    assert sorted(in_threads(2, work, seconds=30)) == ["found", "made"]


def test_same_user_added_twice_at_once_is_name_taken(database: PostgresqlDatabase) -> None:
    """The use case behind it: one gets the user, the others a clear answer."""

    def work(_: int) -> str:
        try:
            return users.add(database, "alice", "correct horse").name
        except NameTaken:
            return "taken"

    assert sorted(in_threads(4, work)) == ["alice", "taken", "taken", "taken"]


def test_row_that_is_there_for_good_is_no_race(database: PostgresqlDatabase) -> None:
    """A fault of the program's own comes out as it is, after a few attempts."""
    with pytest.raises(Exception, match="duplicate key"):
        within(20, lambda: database.write(lambda session: session.run(_INSERT, name="a")))


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_race_that_is_lost_again_and_again_is_unavailable(database: PostgresqlDatabase, code: str) -> None:
    """Not for ever, and with nothing changed."""
    attempts: list[None] = []

    def work(session: Session) -> None:
        attempts.append(None)
        session.run(_ADD, name="a")
        session.run(fail_with(code))

    with pytest.raises(Unavailable):
        within(20, lambda: database.write(work))
    assert 1 < len(attempts) <= 20
    with database.read() as session:
        assert session.value(Sql("SELECT MAX(expires_at) FROM lease")) == 0


@pytest.mark.parametrize("code, error", [("53100", StorageFull), ("57014", Unavailable), ("55P03", Unavailable)])
def test_what_the_server_refuses_is_translated(database: PostgresqlDatabase, code: str, error: type[Exception]) -> None:
    """A full disk, a statement that was cancelled, a lock that was not to be had: in writes and in reads."""
    with pytest.raises(error):
        database.write(lambda session: session.run(fail_with(code)))

    def read() -> None:
        with database.read() as session:
            session.run(fail_with(code))

    def snapshot() -> None:
        with database.snapshot() as session:
            session.run(fail_with(code))

    for use in (read, snapshot):
        with pytest.raises(error):
            use()
    assert database.write(lambda session: session.value(_ADD, name="a")) == 1


def test_connections_that_the_server_closed_are_replaced(database: PostgresqlDatabase) -> None:
    """After its restart nobody hears of any of them."""
    in_threads(8, lambda _: database.write(lambda session: session.value(_ADD, name="a")))
    terminate_others(database)
    for number in range(1, 41):
        assert within(10, lambda: database.write(lambda session: session.value(_ADD, name="b"))) == number


def test_connection_lost_in_a_transaction_again_is_unavailable_and_changes_nothing(
    database: PostgresqlDatabase,
) -> None:
    """It runs once more on another one, and not for ever; the request may be sent again."""
    attempts: list[int] = []
    own_pid = Sql("SELECT pg_backend_pid()")
    end = Sql("SELECT pg_terminate_backend(:pid)")

    def work(session: Session) -> None:
        session.run(_ADD, name="a")
        pid = session.value(own_pid)
        attempts.append(pid)
        with database.read() as other:
            other.row(end, pid=pid)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            session.value(_ONE)

    with pytest.raises(Unavailable):
        within(20, lambda: database.write(work))
    assert len(set(attempts)) == len(attempts) == 2
    with database.read() as session:
        assert session.value(Sql("SELECT MAX(expires_at) FROM lease")) == 0


def test_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """To whoever reads or writes, without the driver's own errors."""
    database = PostgresqlDatabase(f"postgresql://nobody@/none?host={tmp_path}")

    def read() -> None:
        with database.read() as session:
            session.value(_ONE)

    def snapshot() -> None:
        with database.snapshot() as session:
            session.value(_ONE)

    for use in (read, snapshot, lambda: database.write(lambda session: session.value(_ONE))):
        with pytest.raises(Unavailable):
            within(20, use)
    database.close()


def test_threads_beyond_the_pool_wait_and_do_not_wait_for_ever(database: PostgresqlDatabase) -> None:
    """Connections are bounded; a thread that gets none in time is told to come back."""
    with contextlib.closing(
        PostgresqlDatabase(database.engine.url.render_as_string(hide_password=False), threads=6, wait_s=0.5)
    ) as small:
        assert in_threads(6, lambda _: small.write(lambda session: session.value(_ONE))) == [1] * 6
        holding, released = threading.Barrier(4), threading.Event()

        def hold(session: Session) -> int:
            holding.wait(20)
            assert released.wait(20)
            value: int = session.value(_ONE)
            return value

        def work(number: int) -> int:
            if number < 3:
                return small.write(hold)
            try:
                holding.wait(20)
                with pytest.raises(Unavailable):
                    small.write(lambda session: session.value(_ONE))
            finally:
                released.set()
            return 1

        assert in_threads(4, work) == [1, 1, 1, 1]


def test_start_never_waits_for_itself(database: PostgresqlDatabase) -> None:
    """With the fewest threads there can be: it looks where the blobs are while it makes the first data key."""
    url = database.engine.url.render_as_string(hide_password=False)
    with contextlib.closing(PostgresqlDatabase(url, threads=4, wait_s=0.5)) as small:

        def work(session: Session) -> tuple[int, int]:
            return session.value(_ONE), _value(small, _ONE)

        with small.exclusive():
            assert small.write(work) == (1, 1)


def test_statements_are_not_wrapped_in_transactions_of_their_own(database: PostgresqlDatabase) -> None:
    """A read holds nothing open: each statement sees what was committed before it, and vacuum can go on."""
    with database.read() as session:
        session.value(_ONE)
        idle = Sql("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
                   " AND state LIKE 'idle in transaction%'")  # fmt: skip
        assert in_threads(1, lambda _: _value(database, idle)) == [0]


def _value(database: PostgresqlDatabase, sql: Sql) -> Any:
    with database.read() as session:
        return session.value(sql)

"""Statements on PostgreSQL that go together: how many trips there are, and what is known of what was seen before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Session, Sql
from appliance.db.wire import Reply, Wire
from tests.support.databases import PostgresqlTemplate

_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, '', :at)")
_AT = Sql("SELECT expires_at FROM lease WHERE name = :name")
_COUNT = Sql("SELECT COUNT(*) FROM lease")
_MANY = Sql("SELECT number FROM generate_series(1, :count) number")


@pytest.fixture
def database(postgresql_template: PostgresqlTemplate) -> Iterator[PostgresqlDatabase]:
    """Empty."""
    with postgresql_template.emptied() as emptied:
        yield emptied


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The first words of the statements of each trip."""
    told: list[list[str]] = []
    original = Wire.trip

    def trip(self: Wire, replies: Sequence[Reply]) -> None:
        told.append([reply.text.split()[0] for reply in replies])
        original(self, replies)

    monkeypatch.setattr(Wire, "trip", trip)
    return told


def test_transaction_has_a_trip_for_each_answer_that_is_waited_for(
    database: PostgresqlDatabase, trips: list[list[str]]
) -> None:
    """It begins with the first one, and what nobody waits for is committed with the last."""

    def work(session: Session) -> object:
        session.run_later(_INSERT, name="a", at=1)
        found = session.value(_AT, name="a")
        session.run_later(_INSERT, name="b", at=2)
        session.run_many(_INSERT, [{"name": f"c{number}", "at": number} for number in range(3)])
        return found

    assert database.write(work) == 1
    begin = ["BEGIN", "SELECT", "SELECT"]
    assert trips == [[*begin, "INSERT", "SELECT"], ["INSERT"] * 4 + ["COMMIT"]]
    with database.read() as session:
        assert session.value(_COUNT) == 5


def test_what_is_foreseen_goes_with_what_is_asked_and_is_answered_once(
    database: PostgresqlDatabase, trips: list[list[str]]
) -> None:
    """Nothing that was read ahead of a change is told behind it."""

    def work(session: Session) -> list[object]:
        session.foresee(_COUNT)
        session.foresee(_AT, name="a")
        session.foresee(_AT, name="a")
        found: list[object] = [session.value(_COUNT), session.row(_AT, name="a")]
        session.foresee(_COUNT)
        session.run_later(_INSERT, name="a", at=7)
        return [*found, session.value(_COUNT), session.row(_AT, name="a")]

    assert database.write(work) == [0, None, 1, (7,)]
    assert len(trips) == 4


def test_what_was_seen_is_not_asked_again(database: PostgresqlDatabase, trips: list[list[str]]) -> None:
    """But for a second time, or with other parameters."""
    database.write(lambda session: session.run_many(_INSERT, [{"name": "a", "at": 1}, {"name": "b", "at": 2}]))
    with database.read() as session:
        session.foresee(_AT, name="a")
        session.foresee(_AT, name="none")
        assert session.value(_COUNT) == 2
        seen = session.seen()
    trips.clear()
    with database.read(seen) as session:
        assert (session.rows(_AT, name="a"), session.row(_AT, name="none")) == ([(1,)], None)
        assert trips == []
        assert session.value(_AT, name="b") == 2
        assert session.value(_AT, name="a") == 1
    assert len(trips) == 2


def test_more_than_a_trip_holds_goes_in_several(database: PostgresqlDatabase) -> None:
    """Many statements, much at once, and long answers, which come in parts."""
    many = [{"name": f"n{number}", "at": number} for number in range(3000)]
    database.write(lambda session: session.run_many(_INSERT, many))
    long = "x" * 3_000_000
    put = Sql("UPDATE lease SET holder = :holder WHERE name IN ('n1', 'n2', 'n3')")
    database.write(lambda session: [session.run_later(put, holder=f"{long}{number}") for number in range(5)])
    with database.read() as session:
        assert session.value(_COUNT) == 3000
        assert session.rows(Sql("SELECT holder FROM lease WHERE holder <> ''")) == [(f"{long}4",)] * 3
        assert [row[0] for row in session.stream(_MANY, count=2500)] == list(range(1, 2501))


@pytest.mark.parametrize(
    "value", [0, -1, 2**31, -(2**63), 2**63 - 1, "", "ä'\\%s $1", b"", b"\0\xff", None, True, False, 1.5, "\U0001f600"]
)
def test_value_comes_back_as_it_was(database: PostgresqlDatabase, value: object) -> None:
    """Of the types that the product stores."""
    types = {int: "BIGINT", str: "TEXT", bytes: "BYTEA", bool: "BOOLEAN", float: "FLOAT8", type(None): "TEXT"}
    with database.read() as session:
        assert session.value(Sql(f"SELECT CAST(:value AS {types[type(value)]})"), value=value) == value


@pytest.mark.parametrize("value", ["a\0b", "a\ud800", object(), datetime(2026, 1, 1, tzinfo=UTC)])
def test_value_that_cannot_be_stored_is_refused_and_harms_nobody(database: PostgresqlDatabase, value: object) -> None:
    """Nothing of it is cut off, and the connection goes on."""
    with database.read() as session:
        with pytest.raises((psycopg.Error, UnicodeEncodeError)):
            session.value(Sql("SELECT CAST(:value AS TEXT)"), value=value)
        assert session.value(Sql("SELECT 1")) == 1


def test_statement_that_fails_leaves_its_connection_good(database: PostgresqlDatabase) -> None:
    """Also one that cannot be prepared; what was sent behind it was not done."""
    with _same_connection(database):
        for text in ("SELECT nothing FROM nowhere", "SELECT 1 / 0", "INVALID"):
            for _ in range(2):
                with database.read() as session, pytest.raises(psycopg.Error):
                    session.value(Sql(text))
    with pytest.raises(psycopg.Error, match="zero"):
        database.write(lambda session: (session.run_later(Sql("SELECT 1 / 0")), session.run_later(_INSERT, **_A))[0])
    with database.read() as session:
        assert session.value(_COUNT) == 0


def test_prepared_statements_do_not_become_more_and_more(
    database: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server forgets them all, and those that come again are prepared again."""
    monkeypatch.setattr("appliance.db.wire._PREPARED_MOST", 10)
    count = Sql("SELECT COUNT(*) FROM pg_prepared_statements")
    with _same_connection(database):
        for round_ in range(3):
            for number in range(20):
                with database.read() as session:
                    assert session.value(Sql(f"SELECT {number}")) == number
            with database.read() as session:
                assert session.value(count) <= 12, round_


_A: dict[str, Any] = {"name": "a", "at": 0}


@contextmanager
def _same_connection(database: PostgresqlDatabase) -> Iterator[None]:
    pid = Sql("SELECT pg_backend_pid()")
    with database.read() as session:
        before = session.value(pid)
    yield
    with database.read() as session:
        assert session.value(pid) == before

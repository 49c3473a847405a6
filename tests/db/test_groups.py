"""Writes of one line on PostgreSQL: they share a transaction, and everybody gets their own outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest

from appliance.db import location
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Session, Sql
from appliance.db.wire import Reply, Wire
from appliance.errors import NotFound, OutcomeUnknown, ReadOnly
from tests.support.databases import PostgresqlTemplate
from tests.support.faults import in_threads

_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, '', 0)")
_NAMES = Sql("SELECT name FROM lease ORDER BY name")
_TRANSACTION = Sql("SELECT CAST(pg_current_xact_id() AS text)")
_PID = Sql("SELECT pg_backend_pid()")
_END = Sql("SELECT pg_terminate_backend(:pid)")

Work = Callable[[Session], str]


@pytest.fixture
def database(postgresql_template: PostgresqlTemplate) -> Iterator[PostgresqlDatabase]:
    """Empty."""
    with postgresql_template.emptied() as emptied:
        yield emptied


def names(database: PostgresqlDatabase) -> list[str]:
    """Of what was committed."""
    with database.read() as session:
        return [row[0] for row in session.rows(_NAMES)]


def together(database: PostgresqlDatabase, first: Work, *others: Work) -> list[object]:
    """What came of each: its result, or its error. The others stand in line by the time that the first one ends."""
    begun = threading.Event()

    def held(session: Session) -> str:
        if begun.is_set():
            # It runs again, by itself.
            return first(session)
        try:
            return first(session)
        finally:
            begun.set()
            until = time.monotonic() + 20
            while (queue := database._groups._queues.get("line")) and len(queue._waiting) < len(others):
                assert time.monotonic() < until
                time.sleep(0.01)

    def work(number: int) -> object:
        try:
            if number == 0:
                return database.write(held, line="line")
            assert begun.wait(20)
            return database.write(others[number - 1], line="line")
        except Exception as error:  # noqa: BLE001 (it is the outcome)
            return error

    return in_threads(1 + len(others), work, seconds=40)


def adding(name: str) -> Work:
    """A work that tells its transaction."""

    def work(session: Session) -> str:
        session.run_later(_INSERT, name=name)
        found: str = session.value(_TRANSACTION)
        return found

    return work


def later(name: str) -> Work:
    """A work that waits for nothing."""

    def work(session: Session) -> str:
        session.run_later(_INSERT, name=name)
        return name

    return work


def refused(name: str) -> Work:
    """A work that changes something, and then is refused by its own reasons."""

    def work(session: Session) -> str:
        session.run_later(_INSERT, name=name)
        raise NotFound(what=name)

    return work


def test_works_that_wait_in_one_line_share_a_transaction(database: PostgresqlDatabase) -> None:
    """Those of no line, or of another one, do not."""
    shared = together(database, adding("a"), adding("b"), adding("c"))
    assert len(set(shared)) == 1
    assert database.write(adding("d"), line="other") not in shared
    assert names(database) == ["a", "b", "c", "d"]


def test_work_that_is_refused_takes_back_its_own_changes_only(database: PostgresqlDatabase) -> None:
    """Whether it came first, in the middle or last."""
    for place in range(3):
        works = [adding(f"{place}-{number}") for number in range(2)]
        works.insert(place, refused(f"{place}-refused"))
        outcomes = together(database, *works)
        assert isinstance(outcomes[place], NotFound)
        assert all(isinstance(outcome, str) for number, outcome in enumerate(outcomes) if number != place)
    assert names(database) == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]


def test_statement_that_fails_is_told_to_the_one_whose_it_is(database: PostgresqlDatabase) -> None:
    """Also where it was only sent with what another one asked."""
    database.write(lambda session: session.run(_INSERT, name="twice"))
    outcomes = together(database, adding("a"), later("twice"), adding("b"), later("c"))
    assert [isinstance(outcome, str) for outcome in outcomes] == [True, False, True, True]
    assert "duplicate key" in str(outcomes[1])
    assert names(database) == ["a", "b", "c", "twice"]


@pytest.mark.parametrize("first", [adding, later])
def test_frozen_store_refuses_all_of_a_group(database: PostgresqlDatabase, first: Callable[[str], Work]) -> None:
    """Nothing of any of them stays."""
    location.freeze(database, location.LEAVING)
    outcomes = together(database, first("a"), later("b"), adding("c"))
    assert [type(outcome) for outcome in outcomes] == [ReadOnly] * 3
    assert names(database) == []


def test_work_that_swallows_the_refusal_is_refused_all_the_same(database: PostgresqlDatabase) -> None:
    """Alone, and with others."""

    def stubborn(session: Session) -> str:
        try:
            session.value(_PID)
        except ReadOnly:
            session.run(_INSERT, name="stubborn")
        return "done"

    location.freeze(database, location.LEAVING)
    with pytest.raises(ReadOnly):
        database.write(stubborn)
    with pytest.raises(ReadOnly):
        database.write(stubborn, line="line")
    assert [type(outcome) for outcome in together(database, stubborn, later("b"))] == [ReadOnly] * 2
    assert names(database) == []


def test_connection_lost_in_the_middle_hits_nobody(database: PostgresqlDatabase) -> None:
    """Nothing was committed, so each runs again by itself."""
    ended: list[int] = []

    def ending(session: Session) -> str:
        if not ended:
            ended.append(session.value(_PID))
            with database.read() as other:
                other.row(_END, pid=ended[0])
        return adding("ending")(session)

    outcomes = together(database, adding("a"), ending, adding("b"))
    assert all(isinstance(outcome, str) for outcome in outcomes), outcomes
    assert names(database) == ["a", "b", "ending"]


def test_connection_lost_ahead_of_the_commit_hits_nobody_else(database: PostgresqlDatabase) -> None:
    """The server has refused a statement ahead of it, so it is known that nothing was committed."""

    def ending(session: Session) -> str:
        pid = session.value(_PID)
        with database.read() as other:
            other.row(_END, pid=pid)
        return "ended"

    outcomes = together(database, adding("a"), refused("b"), ending)
    assert [type(outcome) for outcome in outcomes] == [str, NotFound, OutcomeUnknown]
    assert names(database) == ["a"]


def test_commit_that_nobody_answers_is_unknown_to_all_but_the_refused(
    database: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it was done, and its answer got lost."""
    original = Wire.trip

    def trip(self: Wire, replies: Sequence[Reply]) -> None:
        original(self, replies)
        if replies[-1].text == "COMMIT":
            self.driver.close()
            raise psycopg.OperationalError("lost")

    monkeypatch.setattr(Wire, "trip", trip)
    outcomes = together(database, adding("a"), refused("b"), later("c"))
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown, NotFound, OutcomeUnknown]
    assert names(database) == ["a", "c"]

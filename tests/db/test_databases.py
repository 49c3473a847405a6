"""What callers rely on, whichever database it is: transactions, snapshots, many threads, numbers."""

from __future__ import annotations

import threading

import pytest

from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import NotFound
from tests.support.faults import in_threads

_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, '', 0)")
_COUNT = Sql("SELECT expires_at FROM lease WHERE name = :name {lock}")
_SET = Sql("UPDATE lease SET expires_at = :value WHERE name = :name")
_ADD = Sql("UPDATE lease SET expires_at = expires_at + 1 WHERE name = :name RETURNING expires_at")


@pytest.fixture
def counter(database: Database) -> str:
    """The name of a lease whose expires_at is 0."""
    database.write(lambda session: session.run(_INSERT, name="counter"))
    return "counter"


def value_of(database: Database, name: str) -> int:
    """The present number of a counter."""
    with database.read() as session:
        value: int = session.value(Sql("SELECT expires_at FROM lease WHERE name = :name"), name=name)
    return value


def test_write_is_committed_when_it_returns(database: Database, counter: str) -> None:
    """Others see it at once; the result is the work's own."""
    assert database.write(lambda session: session.value(_ADD, name=counter)) == 1
    assert in_threads(1, lambda _: value_of(database, counter)) == [1]


class Stop(BaseException):
    """What ends a process in the middle of anything."""


@pytest.mark.parametrize("error", [NotFound(what="x"), KeyError("x"), KeyboardInterrupt(), Stop()])
def test_exception_rolls_back_and_comes_out(database: Database, counter: str, error: BaseException) -> None:
    """Nothing of the work stays, the very error is raised, and the next write works."""

    def work(session: Session) -> None:
        session.run(_ADD, name=counter)
        session.run(_INSERT, name="other")
        raise error

    with pytest.raises(type(error)) as caught:
        database.write(work)
    assert caught.value is error
    assert value_of(database, counter) == 0
    assert database.write(lambda session: session.value(_ADD, name=counter)) == 1
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM lease")) == 1


def test_increments_of_many_threads_are_all_there(database: Database, counter: str) -> None:
    """Each gets a number of its own; none is lost."""
    results = in_threads(
        16, lambda _: [database.write(lambda session: session.value(_ADD, name=counter)) for _ in range(20)]
    )
    assert sorted(number for each in results for number in each) == list(range(1, 321))
    assert value_of(database, counter) == 320


def test_failures_among_many_threads_touch_nobody_else(database: Database, counter: str) -> None:
    """Works that raise share transactions with others; the others' changes stay."""

    def work(number: int) -> int:
        done = 0
        for turn in range(20):

            def change(session: Session, fails: bool = (number + turn) % 3 == 0, turn: int = turn) -> int:
                session.run(_INSERT, name=f"{number}-{turn}")
                session.run(_ADD, name=counter)
                if fails:
                    raise NotFound(what=f"{number}-{turn}")
                return number * 100 + turn

            try:
                assert database.write(change) == number * 100 + turn
                done += 1
            except NotFound as error:
                assert error.what == f"{number}-{turn}"
        return done

    done = sum(in_threads(12, work))
    assert value_of(database, counter) == done
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM lease")) == done + 1


def test_snapshot_shows_one_state_while_others_commit(database: Database, counter: str) -> None:
    """From its first statement to its last; a plain read sees the newest state with every statement."""
    with database.snapshot() as session:
        assert session.value(Sql("SELECT expires_at FROM lease WHERE name = :name"), name=counter) == 0
        in_threads(1, lambda _: database.write(lambda other: other.run(_ADD, name=counter)))
        in_threads(1, lambda _: database.write(lambda other: other.run(_INSERT, name="other")))
        assert session.rows(Sql("SELECT name, expires_at FROM lease")) == [(counter, 0)]
    with database.read() as session:
        query = Sql("SELECT expires_at FROM lease WHERE name = :name")
        assert session.value(query, name=counter) == 1
        in_threads(1, lambda _: database.write(lambda other: other.run(_ADD, name=counter)))
        assert session.value(query, name=counter) == 2


def test_first_row_of_many_pins_no_old_state(database: Database) -> None:
    """A session that took one row of a longer result sees what is committed later."""
    for number in range(5):
        database.write(lambda session, number=number: session.run(_INSERT, name=f"l{number}"))  # type: ignore[misc]
    with database.read() as session:
        assert session.row(Sql("SELECT expires_at FROM lease ORDER BY name")) == (0,)
        in_threads(1, lambda _: database.write(lambda other: other.run(Sql("UPDATE lease SET expires_at = 7"))))
        assert session.row(Sql("SELECT expires_at FROM lease ORDER BY name")) == (7,)


def test_snapshot_ends_with_an_error_too(database: Database, counter: str) -> None:
    """The thread's next read sees the newest state."""

    def fail() -> None:
        with database.snapshot() as session:
            session.value(Sql("SELECT COUNT(*) FROM lease"))
            raise NotFound(what="x")

    with pytest.raises(NotFound):
        fail()
    in_threads(1, lambda _: database.write(lambda other: other.run(_ADD, name=counter)))
    assert value_of(database, counter) == 1


def test_readers_are_not_held_up_by_a_writer(database: Database, counter: str) -> None:
    """They see the state before it, at once, however long its transaction lasts."""
    written, read = threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        session.run(_ADD, name=counter)
        written.set()
        assert read.wait(20)

    def work(number: int) -> int:
        if number == 0:
            database.write(slow)
            return value_of(database, counter)
        assert written.wait(20)
        try:
            return value_of(database, counter)
        finally:
            read.set()

    assert in_threads(2, work) == [1, 0]


def test_reserved_ids_never_meet_ordinary_inserts(database: Database) -> None:
    """Bulk inserts that name their rows, and inserts that leave it to the database, from many threads."""
    named = Sql("""
        INSERT INTO tree (id, owner_id, root_id, seq, changed_at) VALUES (:id, :owner, 0, 0, 0)
    """)
    unnamed = Sql("INSERT INTO tree (owner_id, root_id, seq, changed_at) VALUES (:owner, 0, 0, 0) RETURNING id")

    def work(number: int) -> list[int]:
        given: list[int] = []
        for turn in range(8):
            owner = number * 10_000 + turn * 100

            def reserve(session: Session, owner: int = owner) -> list[int]:
                ids = session.reserve_ids("tree", 7)
                session.run_many(named, [{"id": each, "owner": owner + place} for place, each in enumerate(ids)])
                return ids

            given += database.write(reserve)
            given.append(database.write(lambda session, owner=owner: session.value(unnamed, owner=owner + 50)))  # type: ignore[misc]
        return given

    ids = [each for result in in_threads(8, work) for each in result]
    assert len(set(ids)) == len(ids) == 8 * 8 * 8
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM tree")) == len(ids)


def test_rolled_back_reservation_harms_nobody(database: Database) -> None:
    """Its ids may be given out again, or never; later ones are free."""
    unnamed = Sql("INSERT INTO tree (owner_id, root_id, seq, changed_at) VALUES (:owner, 0, 0, 0) RETURNING id")

    def reserve(session: Session) -> None:
        session.reserve_ids("tree", 5)
        raise KeyError

    for owner in range(3):
        with pytest.raises(KeyError):
            database.write(reserve)
        database.write(lambda session, owner=owner: session.value(unnamed, owner=owner))  # type: ignore[misc]
    ids = database.write(lambda session: session.reserve_ids("tree", 2))
    with database.read() as session:
        assert not session.rows_by(Sql("SELECT 1 FROM tree WHERE id IN (:ids*)"), ids)


def test_changes_of_one_tree_wait_for_each_other(database: Database) -> None:
    """Read, think, write: with the tree's row lock no number is given out twice."""
    insert = Sql("INSERT INTO tree (owner_id, root_id, seq, changed_at) VALUES (1, 0, 0, 0) RETURNING id")
    tree_id = database.write(lambda session: session.value(insert))
    lock = Sql("SELECT seq FROM tree WHERE id = :id {lock}")
    advance = Sql("UPDATE tree SET seq = :seq WHERE id = :id")

    def change(session: Session) -> int:
        seq: int = session.value(lock, id=tree_id)
        session.run(advance, id=tree_id, seq=seq + 1)
        return seq + 1

    results = in_threads(8, lambda _: [database.write(change) for _ in range(10)])
    assert sorted(number for each in results for number in each) == list(range(1, 81))
    for numbers in results:
        assert numbers == sorted(numbers)

"""Every transaction looks at where the store is first: frozen or moved, it changes nothing, and says so."""

from __future__ import annotations

import threading
import time

import pytest

from appliance.db import location
from appliance.db.database import Database, Work
from appliance.db.sql import Session, Sql
from appliance.errors import Moved, ReadOnly
from tests.support.faults import in_threads

_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, '', 0)")
_COUNT = Sql("SELECT COUNT(*) FROM lease")


def rows(database: Database) -> int:
    """What was committed."""
    with database.read() as session:
        count: int = session.value(_COUNT)
    return count


def insert(database: Database, name: str) -> None:
    """One row."""
    database.write(lambda session: session.run(_INSERT, name=name))


def test_frozen_store_refuses_writes_and_goes_on_reading(database: Database) -> None:
    """Until it is thawed; maintenance goes on, and nothing of a refused write stays."""
    insert(database, "before")
    since = location.freeze(database, location.LEAVING).frozen_at
    works: list[Work[object]] = [
        lambda session: None,
        lambda session: session.run(_INSERT, name="at once"),
        lambda session: session.run_later(_INSERT, name="later"),
    ]
    for work in works:
        with pytest.raises(ReadOnly) as caught:
            database.write(work)
        assert caught.value.retry_after_s > 0
    assert rows(database) == 1
    # Frozen once more it is frozen since the first time.
    assert location.freeze(database, location.LEAVING).frozen_at == since
    database.maintain(lambda session: session.run(_INSERT, name="maintained"))
    assert rows(database) == 2
    location.thaw(database)
    insert(database, "after")
    assert rows(database) == 3


def test_store_that_has_moved_refuses_writes_and_says_where_it_is(database: Database) -> None:
    """Whoever knows that can look anew."""
    frozen = location.freeze(database, location.LEAVING)
    database.maintain(lambda session: location.store(session, frozen._replace(moved_to="sqlite:////srv/x.db")))
    with pytest.raises(Moved) as caught:
        insert(database, "lost")
    assert caught.value.where == "sqlite:////srv/x.db"
    assert rows(database) == 0


def test_process_that_knows_another_generation_writes_nothing(database: Database) -> None:
    """Blobs are elsewhere now, say: a process that composed itself before has to do so anew."""
    insert(database, "before")
    now = location.read(database)
    assert now is not None
    database.maintain(lambda session: location.store(session, now._replace(generation=now.generation + 1)))
    with pytest.raises(Moved):
        insert(database, "refused")
    database.guard.expect(now.generation + 1)
    insert(database, "after")
    assert rows(database) == 2


def test_no_write_that_began_before_is_committed_after_the_freeze(database: Database) -> None:
    """Freezing waits for it; what comes while it waits is refused."""
    insert(database, "warm")
    begun, goes_on = threading.Event(), threading.Event()
    frozen = threading.Event()

    def work(number: int) -> str:
        def slow(session: Session) -> None:
            session.value(_COUNT)
            begun.set()
            assert goes_on.wait(20)
            session.run(_INSERT, name="slow")

        if number == 0:
            database.write(slow)
            return "written"
        assert begun.wait(20)
        if number == 1:
            location.freeze(database, location.LEAVING)
            frozen.set()
            return f"frozen over {rows(database)}"
        time.sleep(0.3)
        assert not frozen.is_set()
        goes_on.set()
        return "let go"

    assert sorted(in_threads(3, work, seconds=40)) == ["frozen over 2", "let go", "written"]
    with pytest.raises(ReadOnly):
        insert(database, "late")


def test_freeze_amid_many_writers_loses_and_gains_nothing(database: Database) -> None:
    """What each thread was told is what is there, and nothing changes once the store is frozen."""
    stop = threading.Event()
    at_freeze: list[int] = []

    def work(number: int) -> int:
        if number == 0:
            time.sleep(0.3)
            location.freeze(database, location.LEAVING)
            at_freeze.append(rows(database))
            time.sleep(0.2)
            stop.set()
            return 0
        done = 0
        while not stop.is_set():
            try:
                insert(database, f"{number}-{done}")
                done += 1
            except ReadOnly:
                time.sleep(0.005)
        return done

    done = sum(in_threads(6, work, seconds=60))
    assert done > 0
    assert at_freeze == [done]
    assert rows(database) == done


def test_refused_works_of_a_group_do_not_hold_up_maintenance(database: Database) -> None:
    """They may share a transaction: each gets its own answer."""
    location.freeze(database, location.LEAVING)

    def work(number: int) -> str:
        try:
            if number % 2:
                insert(database, f"{number}")
            else:
                database.maintain(lambda session: session.run(_INSERT, name=f"{number}"))
        except ReadOnly:
            return "refused"
        return "done"

    assert sorted(in_threads(16, work)) == ["done"] * 8 + ["refused"] * 8
    assert rows(database) == 8

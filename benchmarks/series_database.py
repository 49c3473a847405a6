"""A SQLite database that an application works with: inserts, updates, deletes. Vacuumed copies are a series apart."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

from benchmarks.series import Extent, Files, Prose, Series

_SCHEMA = """
    CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, email TEXT, since INTEGER);
    CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER, at INTEGER, state TEXT, total REAL, note TEXT);
    CREATE INDEX purchase_customer ON purchase (customer);
    CREATE INDEX purchase_at ON purchase (at);
    CREATE TABLE document (id INTEGER PRIMARY KEY, title TEXT, body TEXT, revision INTEGER);
"""
_START = 1_760_000_000


class _Application:
    """The database, in memory: what it serializes to is what a file of it would hold."""

    def __init__(self, connection: sqlite3.Connection, extent: Extent) -> None:
        self._connection = connection
        self._chosen = random.Random(71)
        self._prose = Prose(self._chosen)
        self._customers = extent.of(30_000, least=300)
        self.documents = extent.of(8_000, least=80)
        self._purchases = 0
        connection.executescript(_SCHEMA)
        connection.executemany(
            "INSERT INTO customer VALUES (?, ?, ?, ?)",
            [
                (number, self._prose.short(25), f"person{number}@example.org", _START - number)
                for number in range(self._customers)
            ],
        )
        self.buy(extent.of(160_000, least=1_600))
        connection.executemany(
            "INSERT INTO document VALUES (?, ?, ?, 1)",
            [(number, self._prose.short(50), self._body()) for number in range(self.documents)],
        )
        connection.commit()

    def _body(self) -> str:
        return "\n".join(self._prose.lines(self._chosen.randint(10, 50)))

    def buy(self, count: int) -> None:
        first = self._purchases
        self._purchases += count
        self._connection.executemany(
            "INSERT INTO purchase VALUES (?, ?, ?, 'new', ?, ?)",
            [
                (number, self._chosen.randrange(self._customers), _START + number * 20,
                 self._chosen.randrange(10**5) / 100, self._prose.short(70))
                for number in range(first, first + count)
            ],
        )  # fmt: skip

    def set_state(self, state: str, count: int, *, newest: float = 1.0) -> None:
        """Of single purchases among the newest share."""
        lowest = int(self._purchases * (1 - newest))
        self._connection.executemany(
            "UPDATE purchase SET state = ? WHERE id = ?",
            [(state, self._chosen.randrange(lowest, self._purchases)) for _ in range(count)],
        )

    def set_all(self, state: str, *, newest: float) -> None:
        lowest = int(self._purchases * (1 - newest))
        self._connection.execute("UPDATE purchase SET state = ? WHERE id >= ?", (state, lowest))

    def rewrite(self, count: int) -> None:
        """Documents, some of which become longer."""
        self._connection.executemany(
            "UPDATE document SET body = ?, revision = revision + 1 WHERE id = ?",
            [(self._body(), self._chosen.randrange(self.documents)) for _ in range(count)],
        )

    def archive(self, share: float) -> None:
        """Take out the oldest purchases."""
        self._connection.execute("DELETE FROM purchase WHERE id < ?", (int(self._purchases * share),))

    def bytes(self) -> bytes:
        self._connection.commit()
        return self._connection.serialize()


def _states(extent: Extent) -> Iterator[bytes]:
    """The database after each of some days."""
    with closing(sqlite3.connect(":memory:")) as connection:
        application = _Application(connection, extent)
        yield application.bytes()
        days: tuple[Callable[[], None], ...] = (
            lambda: _working_day(application, extent),
            lambda: application.set_state("returned", extent.of(600)),
            lambda: _inventory(application, extent),
            lambda: application.set_all("sent", newest=0.05),
            lambda: _quiet_day(application, extent),
            lambda: _working_day(application, extent),
        )
        for day in days:
            day()
            yield application.bytes()


def _working_day(application: _Application, extent: Extent) -> None:
    application.set_state("paid", extent.of(300), newest=0.02)
    application.buy(extent.of(1_000))
    application.rewrite(extent.of(40))


def _inventory(application: _Application, extent: Extent) -> None:
    application.rewrite(extent.of(150))
    application.archive(0.02)


def _quiet_day(application: _Application, extent: Extent) -> None:
    application.rewrite(extent.of(10))
    application.buy(extent.of(50))


def _files(extent: Extent) -> Iterator[Files]:
    for state in _states(extent):
        yield {"app/app.db": state}


def _vacuumed(extent: Extent) -> Iterator[Files]:
    """Each copy written anew, page by page: a change of one row moves what follows by parts of a page."""
    for state in _states(extent):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(state)
            connection.execute("VACUUM")
            yield {"app/app.db": connection.serialize()}


SERIES = (
    Series("sqlite", "SQLite database", _files),
    Series("sqlite-vacuumed", "SQLite database, vacuumed", _vacuumed, excepted=True),
)

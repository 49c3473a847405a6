"""Statements written once for every database, and sessions that run them.

A statement is text with ``:name`` parameters. ``(:ids*)`` stands for a list; ``{lock}`` and ``{share}`` for the row
locks of databases that have them; ``{binary}`` behind a column makes it compare by code points. The text is turned into
the driver's own form once, and then runs on the bare driver: built statements cost several times the query itself.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from appliance import faults

Row = tuple[Any, ...]

# The row of an INSERT: all of the statement's parameters are in it.
_ROW = re.compile(r"(?<=VALUES )\([^()]*\)")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)(\*?)")


class Cursor(Protocol):
    """What is used of a DB-API cursor."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchmany(self, size: int, /) -> Any: ...
    def fetchall(self) -> Any: ...


class Connection(Protocol):
    """What is used of a DB-API connection."""

    def cursor(self) -> Any: ...
    def close(self) -> None: ...


class Dialect:
    """How one database writes parameters (by their place), row locks, and the order of code points.

    ``lock`` keeps others from changing the row's tree, ``share`` from changing the row at all, until the end of
    the transaction. SQLite needs neither: a write transaction is alone there.
    """

    def __init__(self, *, name: str, marker: str, lock: str, share: str, binary: str) -> None:
        self.name = name
        self.marker = marker
        self.lock = lock
        self.share = share
        self.binary = binary


SQLITE = Dialect(name="sqlite", marker="?", lock="", share="", binary="")
POSTGRESQL = Dialect(
    name="postgresql", marker="${}", lock="FOR NO KEY UPDATE OF tree", share="FOR SHARE", binary='COLLATE "C"'
)

Pick = Callable[[Mapping[str, Any]], Sequence[Any]]


class Sql:
    """One statement; compare and keep it as a module constant."""

    __slots__ = ("_forms", "_rows", "listed", "text")

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        self.listed = tuple(name for name, star in _PARAMETER.findall(self.text) if star)
        self._forms: dict[tuple[str, int], tuple[str, Pick]] = {}
        self._rows: dict[tuple[str, int], str] = {}

    def form(self, dialect: Dialect, count: int = 0) -> tuple[str, Pick]:
        """The driver's text, and what picks its positional parameters; ``count`` is the length of the list."""
        key = (dialect.name, count)
        found = self._forms.get(key)
        if found is None:
            found = self._forms[key] = self._render(dialect, count)
        return found

    def of_rows(self, dialect: Dialect, count: int) -> str:
        """The text of an INSERT of so many rows, whose parameters come row by row."""
        key = (dialect.name, count)
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = self._repeated(dialect, count)
        return found

    def _repeated(self, dialect: Dialect, count: int) -> str:
        row = _ROW.search(self.text)
        if row is None or _PARAMETER.search(self.text[: row.start()] + self.text[row.end() :]):
            raise ValueError(f"not an INSERT of one row: {self.text}")
        numbers = itertools.count(1)
        rows = [_PARAMETER.sub(lambda _: dialect.marker.format(next(numbers)), row[0]) for _ in range(count)]
        return self.text[: row.start()] + ", ".join(rows) + self.text[row.end() :]

    def _render(self, dialect: Dialect, count: int) -> tuple[str, Pick]:
        names: list[str] = []

        def mark(match: re.Match[str]) -> str:
            first = len(names) + 1
            names.extend([f"{match[1]} {index}" for index in range(count)] if match[2] else [match[1]])
            return ", ".join(dialect.marker.format(number) for number in range(first, len(names) + 1))

        text = _PARAMETER.sub(mark, self.text)
        for place, written in (("{lock}", dialect.lock), ("{share}", dialect.share), ("{binary}", dialect.binary)):
            text = text.replace(place, written)
        return text, _picker(names)


def _picker(names: Sequence[str]) -> Pick:
    if not names:
        return lambda _: ()
    if len(names) == 1:
        only = names[0]
        return lambda parameters: (parameters[only],)
    return itemgetter(*names)


# A list is padded with its last element to one of these lengths, so that few forms of a statement exist.
_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
LIST_LIMIT = _LENGTHS[-1]
"""The longest list that one statement takes; callers cut longer ones."""


Seen = dict[tuple[str, Sequence[Any]], list[Row]]
"""What statements gave, by their form and parameters."""


class Session:
    """Runs statements on one connection, in one thread. Whether they share a transaction is up to who made it."""

    __slots__ = ("connection", "cursor", "dialect")

    foresees = False

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self.connection = connection
        self.cursor: Cursor = connection.cursor()
        self.dialect = dialect

    def _execute(self, sql: Sql, parameters: dict[str, Any]) -> Cursor:
        text, picked = self._form(sql, parameters)
        faults.point("sql.statement")
        self.cursor.execute(text, picked)
        return self.cursor

    def _form(self, sql: Sql, parameters: dict[str, Any]) -> tuple[str, Sequence[Any]]:
        count = 0
        if sql.listed:
            (name,) = sql.listed
            values = parameters[name]
            count = next(length for length in _LENGTHS if length >= len(values))
            for index in range(count):
                parameters[f"{name} {index}"] = values[index] if index < len(values) else values[-1]
        text, pick = sql.form(self.dialect, count)
        return text, pick(parameters)

    def run(self, sql: Sql, **parameters: Any) -> int:
        """The number of rows changed."""
        return self._execute(sql, parameters).rowcount

    def run_later(self, sql: Sql, **parameters: Any) -> None:
        """``run`` at once, or together with what is asked next, at the latest with the commit: what it fails with may
        come only then.
        """
        self._execute(sql, parameters)

    def foresee(self, sql: Sql, **parameters: Any) -> None:
        """Soon this is asked with these very parameters, and until then nothing is written that it would read: where
        each trip to the database costs, it goes with the next one. To be called if ``foresees``.
        """

    def seen(self) -> Seen | None:
        """What was foreseen and not asked for yet, to be told to ``Database.read``."""
        return None

    def run_many(self, sql: Sql, parameters: Iterable[Mapping[str, Any]]) -> None:
        """The statement once per set of parameters, in their order."""
        text, pick = sql.form(self.dialect)
        faults.point("sql.statement")
        self.cursor.executemany(text, [pick(each) for each in parameters])

    def run_rows(self, sql: Sql, parameters: Iterable[Mapping[str, Any]]) -> None:
        """``run_many`` of an INSERT, for rows that do not conflict with each other: several go in one statement where
        that is faster.
        """
        self.run_many(sql, parameters)

    def row(self, sql: Sql, **parameters: Any) -> Row | None:
        """The first row, if any."""
        found: Row | None = self._execute(sql, parameters).fetchone()
        return found

    def rows(self, sql: Sql, **parameters: Any) -> list[Row]:
        """All rows, in memory: for results that a caller has bounded."""
        found: list[Row] = self._execute(sql, parameters).fetchall()
        return found

    def stream(self, sql: Sql, **parameters: Any) -> Iterator[Row]:
        """All rows, a thousand at a time (PostgreSQL's driver fetches all first); others may run in between."""
        text, pick = sql.form(self.dialect)
        faults.point("sql.statement")
        cursor: Cursor = self.connection.cursor()
        cursor.execute(text, pick(parameters))
        while rows := cursor.fetchmany(1000):
            yield from rows

    def value(self, sql: Sql, **parameters: Any) -> Any:
        """The first column of the only row."""
        found = self._execute(sql, parameters).fetchone()
        if found is None:
            raise LookupError(sql.text)
        # A statement that returns what it wrote has to be read to its end before it counts as done.
        self.cursor.fetchall()
        return found[0]

    def rows_by(self, sql: Sql, values: Sequence[Any], **parameters: Any) -> list[Row]:
        """``rows`` for a list of any length, given as the statement's only ``:name*``."""
        if len(values) == 0:
            return []
        (name,) = sql.listed
        if len(values) <= LIST_LIMIT:
            return self.rows(sql, **{name: values}, **parameters)
        found: list[Row] = []
        for start in range(0, len(values), LIST_LIMIT):
            found += self.rows(sql, **{name: values[start : start + LIST_LIMIT]}, **parameters)
        return found

    def run_by(self, sql: Sql, values: Sequence[Any], **parameters: Any) -> int:
        """``run`` for a list of any length, given as the statement's only ``:name*``."""
        if len(values) == 0:
            return 0
        (name,) = sql.listed
        return sum(
            self.run(sql, **{name: values[start : start + LIST_LIMIT]}, **parameters)
            for start in range(0, len(values), LIST_LIMIT)
        )

    def run_later_by(self, sql: Sql, values: Sequence[Any], **parameters: Any) -> None:
        """``run_later`` for a list of any length, given as the statement's only ``:name*``."""
        if len(values):
            (name,) = sql.listed
            for start in range(0, len(values), LIST_LIMIT):
                self.run_later(sql, **{name: values[start : start + LIST_LIMIT]}, **parameters)

    def foresee_id(self, table: str) -> None:
        """``take_id`` will be called. To be called if ``foresees``."""

    def take_id(self, table: str) -> int | None:
        """A new id of ``table`` that was foreseen, to be named in the insert; None: the row gets one by itself."""
        return None

    def reserve_ids(self, table: str, count: int) -> list[int]:
        """``count`` new ids of ``table``, for bulk inserts that name their rows themselves. In a write only."""
        if self.dialect is SQLITE:
            last = self.row(_SEQUENCE, name=table)
            first = (last[0] if last else 0) + 1
            if self.run(_ADVANCE, name=table, last=first + count - 1) == 0:
                self.run(_BEGIN_SEQUENCE, name=table, last=first + count - 1)
            return list(range(first, first + count))
        return [row[0] for row in self.rows(_NEXT_IDS, name=f"{table}_id_seq", count=count)]

    def last_ids(self) -> dict[str, int]:
        """By table, the last id that was given out, if any was."""
        if self.dialect is SQLITE:
            return dict(self.rows(_SEQUENCES))
        return {name.removesuffix("_id_seq"): last for name, last in self.rows(_PG_SEQUENCES)}

    def keep_ids(self, table: str, last: int) -> None:
        """Give out none up to ``last``. In a write only; SQLite."""
        self.reserve_ids(table, 0)
        self.run(_RAISE, name=table, last=last)


_SEQUENCE = Sql("SELECT seq FROM sqlite_sequence WHERE name = :name")
_ADVANCE = Sql("UPDATE sqlite_sequence SET seq = :last WHERE name = :name")
_BEGIN_SEQUENCE = Sql("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)")
_SEQUENCES = Sql("SELECT name, seq FROM sqlite_sequence")
_RAISE = Sql("UPDATE sqlite_sequence SET seq = :last WHERE name = :name AND seq < :last")
_PG_SEQUENCES = Sql("""
    SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema() AND last_value IS NOT NULL
""")
_NEXT_IDS = Sql("SELECT nextval(CAST(:name AS regclass)) FROM generate_series(1, :count)")

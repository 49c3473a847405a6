"""SQLite, as a place that a database moves from or to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.moving.shape import NULL, Bounds, Digest, Shape, has_escapes, unescape
from appliance.moving.side import Lines, Side

_PAGE = 2000
_CACHE_KIB = 262_144


class SqliteSide(Side):
    """A file with all its tables. ``fresh``: it is thrown away if anything fails, until ``settle``."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
        self._connection.text_factory = bytes
        self._connection.create_function("from_hex", 1, _from_hex, deterministic=True)
        self._run(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._run("PRAGMA temp_store = MEMORY")
        if fresh:
            self._run("PRAGMA synchronous = OFF")
            self._run("PRAGMA journal_mode = OFF")

    def settle(self) -> None:
        """From here on transactions are such."""
        self._run("PRAGMA journal_mode = WAL")

    def unsettle(self) -> None:
        """Everything into the one file; whoever opens it next says how it is used."""
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        self._run("PRAGMA journal_mode = DELETE")

    def _run(self, sql: str) -> list[tuple[object, ...]]:
        return self._connection.execute(sql).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._run("BEGIN")
        try:
            yield
        finally:
            self._run("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    def read(self, shape: Shape, bounds: Bounds) -> Iterator[Lines]:
        cursor = self._connection.execute(f"{self._select(shape, bounds)} ORDER BY {shape.order}")
        while rows := cursor.fetchmany(_PAGE):
            yield [line for (line,) in rows]

    def _select(self, shape: Shape, bounds: Bounds) -> str:
        where = shape.where(bounds, as_bytea=False)
        return f"SELECT {shape.sqlite_line()} AS line FROM {shape.quoted} {where}"

    def count(self, shape: Shape) -> int:
        counted: int = self._connection.execute(f"SELECT COUNT(*) FROM {shape.quoted}").fetchone()[0]
        return counted

    def digest(self, shape: Shape, bounds: Bounds) -> Digest:
        # In one step, in which other threads run.
        text = self._connection.execute(
            f"SELECT group_concat(line, char(10)) FROM ({self._select(shape, bounds)})"
        ).fetchone()[0]
        return Digest() if text is None else Digest.of(text.split(b"\n"))

    def load(self, shape: Shape, lines: Iterable[Lines]) -> None:
        places = zip(shape.bytes, shape.nullable, strict=True)
        marks = ["from_hex(?)" if of_bytes else f"NULLIF(?, '{NULL}')" if null else "?" for of_bytes, null in places]
        insert = f"INSERT INTO {shape.quoted} ({shape.column_list()}) VALUES"
        as_they_are = f"{insert} ({', '.join(marks)})"
        # What was escaped may be a NULL to the other form.
        unescaped = f"{insert} ({', '.join('from_hex(?)' if of_bytes else '?' for of_bytes in shape.bytes)})"
        for block in lines:
            text = b"\n".join(block).decode()
            # Numbers become such by the columns that they are for.
            rows: list[list[str]] = [line.split("\t") for line in text.split("\n")]
            if has_escapes(text):
                self._connection.executemany(unescaped, [[unescape(part) for part in row] for row in rows])
            else:
                self._connection.executemany(as_they_are, rows)

    def clear(self, shape: Shape, bounds: Bounds) -> None:
        self._run(f"DELETE FROM {shape.quoted} {shape.where(bounds, as_bytea=False)}")

    def drop_indexes(self) -> Sequence[str]:
        found = self._run("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        for name, _ in found:
            self._run(f'DROP INDEX "{_text(name)}"')
        return [_text(sql) for _, sql in found]

    def make_index(self, statement: str) -> None:
        self._run(statement)

    def last_ids(self, shapes: Sequence[Shape]) -> Mapping[str, int]:
        given = {_text(name): last for name, last in self._run("SELECT name, seq FROM sqlite_sequence")}
        found: dict[str, int] = {}
        for shape in shapes:
            if shape.numbers_rows:
                highest = self._connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM {shape.quoted}").fetchone()[0]
                found[shape.name] = max(highest, int(str(given.get(shape.name, 0))))
        return found

    def keep_ids(self, last: Mapping[str, int]) -> None:
        for name, number in last.items():
            self._run(f"DELETE FROM sqlite_sequence WHERE name = '{name}'")
            if number:
                self._run(f"INSERT INTO sqlite_sequence (name, seq) VALUES ('{name}', {number})")

    def close(self) -> None:
        self._connection.close()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _from_hex(part: bytes | str | None) -> bytes | None:
    if part is None:
        return None
    text = part.decode() if isinstance(part, bytes) else part
    return None if text == NULL else bytes.fromhex(text)

r"""Rows as lines, the same from every database, so that they can be compared, and loaded as they are.

A line is what PostgreSQL's COPY writes as text: columns between tabs, ``\N`` for NULL, control characters and
backslashes escaped; the key's columns come first. Bytes are hexadecimal, with ``\\x`` before them where PostgreSQL
shall load them. SQLite puts the lines together by itself: from Python it would take several times as long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import LargeBinary, Table, Text
from xxhash import xxh3_128_intdigest

from appliance.db.models import metadata

NULL = "\\N"
_PREFIX = "\\\\x"
# What COPY escapes, and how.
_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}
_UNESCAPES = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\(.)")
_SUMS = (1 << 128) - 1

Key = tuple[Any, ...]


class Bounds(NamedTuple):
    """A run of a table's rows: above ``low``, up to ``high``; None: from the first, to the last."""

    low: Key | None = None
    high: Key | None = None


class Digest(NamedTuple):
    """Of rows, in whatever order they come."""

    rows: int = 0
    sum: int = 0

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> Digest:
        return cls(len(lines), sum(map(xxh3_128_intdigest, lines)) & _SUMS)

    def plus(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, (self.sum + other.sum) & _SUMS)


class Shape:
    """A table's columns, and how its lines are written. ``prefixed``: as PostgreSQL reads them."""

    def __init__(self, table: Table, *, prefixed: bool) -> None:
        keys = list(table.primary_key)
        columns = [*keys, *(column for column in table.columns if not column.primary_key)]
        self.name = table.name
        self.columns = [column.name for column in columns]
        self.texts = [isinstance(column.type, Text) for column in columns]
        self.bytes = [isinstance(column.type, LargeBinary) for column in columns]
        self.nullable = [bool(column.nullable) for column in columns]
        self.keys = self.columns[: len(keys)]
        self._prefixed = prefixed
        # Text may be ordered in another way elsewhere; such tables are small.
        self.is_cut = not any(self.texts[: len(keys)])
        self.numbers_rows = len(keys) == 1 and keys[0].name == "id" and keys[0].autoincrement is True

    @property
    def quoted(self) -> str:
        return f'"{self.name}"'

    @property
    def order(self) -> str:
        return ", ".join(map(_quoted, self.keys))

    def column_list(self) -> str:
        return ", ".join(map(_quoted, self.columns))

    def sqlite_line(self) -> str:
        """An expression for the line of a row."""
        parts = [self._sqlite_part(place) for place in range(len(self.columns))]
        return f"format('{chr(9).join(['%s'] * len(parts))}', {', '.join(parts)})"

    def _sqlite_part(self, place: int) -> str:
        name = _quoted(self.columns[place])
        part = name
        if self.bytes[place]:
            part = f"lower(hex({name}))"
            if self._prefixed:
                part = f"'{_PREFIX}' || {part}"
        elif self.texts[place]:
            escaped = name
            for plain, written in _ESCAPES.items():
                escaped = f"replace({escaped}, '{plain}', '{written}')"
            part = f"CASE WHEN {name} GLOB '*[{''.join(_ESCAPES)}]*' THEN {escaped} ELSE {name} END"
        return f"CASE WHEN {name} IS NULL THEN '{NULL}' ELSE {part} END" if self.nullable[place] else part

    def postgresql_columns(self) -> str:
        """What COPY is to select."""
        if self._prefixed:
            return self.column_list()
        return ", ".join(
            f"encode({_quoted(name)}, 'hex')" if is_bytes else _quoted(name)
            for name, is_bytes in zip(self.columns, self.bytes, strict=True)
        )

    def where(self, bounds: Bounds, *, as_bytea: bool) -> str:
        """A condition with everything written out; "" for all rows."""
        names = f"({self.order})"
        conditions = [
            f"{names} {sign} ({', '.join(_literal(value, as_bytea) for value in key)})"
            for sign, key in ((">", bounds.low), ("<=", bounds.high))
            if key is not None
        ]
        return f"WHERE {' AND '.join(conditions)}" if conditions else ""

    def key_of(self, line: bytes) -> Key:
        """Of a table that ``is_cut``."""
        parts = line.split(b"\t", len(self.keys))[: len(self.keys)]
        return tuple(
            bytes.fromhex(part.decode().removeprefix(_PREFIX)) if is_bytes else int(part)
            for part, is_bytes in zip(parts, self.bytes, strict=False)
        )


def shapes(*, prefixed: bool) -> list[Shape]:
    """Of all tables but the one that says where the store is, in the order of their names."""
    return [Shape(table, prefixed=prefixed) for name, table in sorted(metadata.tables.items()) if name != "location"]


def has_escapes(text: str) -> bool:
    """Whether some line of ``text`` has more of them than NULL."""
    return text.count("\\") != text.count(NULL)


def unescape(part: str) -> str | None:
    """The value of a column."""
    if part == NULL:
        return None
    return _ESCAPED.sub(lambda found: _UNESCAPES[found[1]], part) if "\\" in part else part


def joined(lines: Iterable[bytes]) -> bytes:
    """Lines as COPY takes them."""
    return b"".join([each + b"\n" for each in lines])


def _quoted(name: str) -> str:
    return f'"{name}"'


def _literal(value: Any, as_bytea: bool) -> str:
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea" if as_bytea else f"x'{value.hex()}'"
    return str(int(value))

"""Everything that the tables tell of trees, to compare before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from appliance.db import models
from appliance.db.database import Database
from appliance.db.sql import Row, Sql

TREES = ("tree", "node", "placement", "version", "journal", "trash", "property", "lock")
CONTENT = ("chunk", "small", "segment", "pack")

Dump = dict[str, set[Row]]


def dump(database: Database, tables: tuple[str, ...] = TREES) -> Dump:
    """All rows of some tables, in one snapshot."""
    with database.snapshot() as session:
        return {name: {_plain(row) for row in session.rows(_select(name))} for name in tables}


def _select(table: str) -> Sql:
    columns = ", ".join(f'"{column.name}"' for column in models.metadata.tables[table].columns)
    return Sql(f'SELECT {columns} FROM "{table}"')


def _plain(row: Row) -> tuple[Any, ...]:
    return tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row)


def written(before: Dump, after: Dump) -> dict[str, int]:
    """How many rows of each table are new, or not what they were."""
    return {name: len(after[name] - before[name]) for name in before if after[name] - before[name]}


def gone(before: Dump, after: Dump) -> dict[str, int]:
    """How many rows of each table are not there any more, or not what they were."""
    return written(after, before)


@contextmanager
def refused(database: Database, error: type[Exception]) -> Iterator[pytest.ExceptionInfo[Any]]:
    """What is done within raises exactly this error, and changes nothing."""
    before = dump(database)
    with pytest.raises(error) as caught:
        yield caught
    assert caught.type is error
    assert dump(database) == before

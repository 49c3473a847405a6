"""Tables read page by page, in a snapshot or as they are at each page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql

LEAST = -(1 << 63)
"""Below every id."""

Fetch = Callable[..., list[Row]]
"""``Session.rows``, or ``newest``."""


def newest(database: Database) -> Fetch:
    """Fetches rows from a session of its own each time, for reading that takes long and needs no snapshot."""

    def fetch(sql: Sql, **parameters: Any) -> list[Row]:
        with database.read() as session:
            return session.rows(sql, **parameters)

    return fetch


def paged(fetch: Fetch, sql: Sql, start: Mapping[str, Any], **others: Any) -> Iterator[list[Row]]:
    """The rows of a table, page by page.

    The statement selects so many rows beyond the parameters of ``start``, in the order of its first columns, which
    take the place of ``start`` for the next page.
    """
    after = dict(start)
    while page := fetch(sql, **after, **others):
        yield page
        after = dict(zip(start, page[-1], strict=False))


def count(session: Session, table: str) -> int:
    """The rows of a table."""
    rows: int = session.value(Sql(f'SELECT COUNT(*) FROM "{table}"'))
    return rows

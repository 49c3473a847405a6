"""How ``check`` asks for rows: rules, which select what breaks them, and tables read page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.upkeep.check_report import BOUND, Findings, Steps

LEAST = -(1 << 63)
"""Below every id."""

Fetch = Callable[..., list[Row]]
"""``Session.rows``, or ``newest``."""


class Rule:
    """A statement that selects the rows that break an invariant, and how to tell it.

    ``where`` and ``what`` are formats that count the columns.
    """

    def __init__(self, kind: str, columns: str, body: str, where: str, what: str) -> None:
        self._kind = kind
        self._where = where
        self._what = what
        self._select = Sql(f"SELECT {columns} {body} LIMIT {BOUND + 1}")
        self._count = Sql(f"SELECT COUNT(*) FROM (SELECT {columns} {body}) AS broken")

    def check(self, session: Session, findings: Findings) -> None:
        broken = session.rows(self._select)
        for row in broken[:BOUND]:
            cells = [cell.hex() if isinstance(cell, bytes) else cell for cell in row]
            findings.add(self._kind, self._where.format(*cells), self._what.format(*cells))
        if len(broken) > BOUND:
            findings.add_unseen(self._kind, session.value(self._count) - BOUND)


def check_rules(session: Session, rules: Sequence[Rule], findings: Findings, steps: Steps, *, step: str) -> None:
    """All of ``rules``, in one snapshot."""
    steps.begin(step, len(rules), "rules")
    for rule in rules:
        rule.check(session, findings)
        steps.advance(1)


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

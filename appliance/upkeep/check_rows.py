"""How ``check`` asks for rows that break a rule."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.db.sql import Session, Sql
from appliance.upkeep.check_report import BOUND, Findings, Steps


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

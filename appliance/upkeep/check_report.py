"""What ``check`` tells: findings, notes, counts, and how far it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

BOUND = 1000
"""So many findings of a kind are told one by one; the others are only counted."""

_TICK_S = 0.2


class Finding(NamedTuple):
    """Something that is not as it has to be. ``kind`` is a stable word; ``where`` names the row or blob."""

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where} {self.what}"


class Progress(NamedTuple):
    """How far one step is; ``unit`` is "rules", "rows", "blobs", "bytes", … Rows come and go: ``total`` is a guess, 0
    if nobody knows.
    """

    step: str
    done: int
    total: int
    unit: str

    def __str__(self) -> str:
        if not self.total:
            return f"{self.step}: {self.done:,} {self.unit}"
        percent = 100 * min(self.done, self.total) // self.total
        return f"{self.step}: {self.done:,} of {self.total:,} {self.unit} ({percent} %)"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome. Notes are for information: what they tell is as it may be. ``counts``: what was looked at."""

    findings: list[Finding]
    notes: list[str]
    counts: dict[str, int]

    @property
    def clean(self) -> bool:
        return not self.findings


class Findings:
    """Gathers findings, at most ``BOUND`` of a kind."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._of_kind: Counter[str] = Counter()

    def add(self, kind: str, where: str, what: str) -> None:
        """One more. It becomes one line, whatever names it quotes."""
        self._of_kind[kind] += 1
        if self._of_kind[kind] <= BOUND:
            self._found.append(Finding(kind, _one_line(where), _one_line(what)))

    def add_unseen(self, kind: str, count: int) -> None:
        """More of a kind of which ``BOUND`` were told already."""
        self._of_kind[kind] += count

    def all(self) -> list[Finding]:
        """Each kind in the order of its finding, with a last line for those that were only counted."""
        found = []
        for kind, count in self._of_kind.items():
            found += [finding for finding in self._found if finding.kind == kind]
            if count > BOUND:
                found.append(Finding(kind, "and", f"{count - BOUND} more"))
        return found


class Steps:
    """Passes on how far the check is, a few times a second."""

    def __init__(self, tell: Callable[[Progress], None] | None) -> None:
        self._tell = tell
        self._now = Progress("", 0, 0, "")
        self._told_at = 0.0

    def begin(self, step: str, total: int, unit: str) -> None:
        """The next step; the one before is finished."""
        self._now = Progress(step, 0, total, unit)
        self._pass_on()

    def advance(self, count: int) -> None:
        """So much more of the step is done."""
        self._now = self._now._replace(done=self._now.done + count)
        if self._now.done >= self._now.total or time.monotonic() - self._told_at > _TICK_S:
            self._pass_on()

    def _pass_on(self) -> None:
        self._told_at = time.monotonic()
        if self._tell is not None:
            self._tell(self._now)


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)

"""What the history of each series takes: results, one JSON file a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

HOLDFAST = "holdfast"

_FORMAT = 1


@dataclass
class Measured:
    """A series: ``stored`` and ``blocks`` are bytes by store, ``parts`` those of Holdfast's folder."""

    title: str
    excepted: bool
    versions: int = 0
    files: int = 0
    input_bytes: int = 0
    changed_bytes: int = 0
    stored: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)

    def ratio(self) -> float | None:
        """Holdfast to the smallest of the others; None where either is missing."""
        others = [size for name, size in self.stored.items() if name != HOLDFAST]
        return self.stored[HOLDFAST] / min(others) if others and HOLDFAST in self.stored else None

    @property
    def holds(self) -> bool:
        """Whether Holdfast is no larger than any of them, and nothing of it failed."""
        reached = self.ratio()
        return HOLDFAST not in self.failed and (self.excepted or reached is None or reached <= 1)


@dataclass
class Sizes:
    """Everything that was measured in one run; ``series`` by name."""

    made_at: str
    scale: float
    verified: bool
    machine: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    series: dict[str, Measured] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(each.holds for each in self.series.values())

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps({"sizes": _FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def load(path: Path) -> Sizes:
    """What ``save`` wrote.

    Raises:
        ValueError: it is something else.
    """
    found: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.pop("sizes", None) != _FORMAT:
        raise ValueError(f"{path} holds no sizes")
    found["series"] = {name: Measured(**each) for name, each in found["series"].items()}
    return Sizes(**found)


def joined(runs: Sequence[Sizes], order: Sequence[str]) -> Sizes:
    """One of several; a series that was measured twice counts as it was the last time.

    Raises:
        ValueError: they are of different scales.
    """
    if len({run.scale for run in runs}) != 1:
        raise ValueError("these runs are of different scales")
    found: dict[str, Measured] = {}
    for run in runs:
        found |= run.series
    return replace(
        runs[0],
        verified=all(run.verified for run in runs),
        labels={name: label for run in runs for name, label in run.labels.items()},
        missing={name: reason for run in runs for name, reason in run.missing.items() if name not in found},
        series=dict(sorted(found.items(), key=lambda each: order.index(each[0]))),
    )

"""Raw results: what was measured where, each figure of each run; one JSON file a comparison."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import Cost
from benchmarks.site import Sizes

_FORMAT = 1


@dataclass
class Results:
    """``values[target][workload]`` has an entry for each run: a figure, or a text that says what went wrong.

    ``costs`` and ``details`` go with the runs that did not fail. ``labels`` are in the order of the columns.
    """

    made_at: str
    base: str
    runs: int
    sizes: Sizes
    machine: dict[str, str]
    labels: dict[str, str]
    missing: dict[str, str] = field(default_factory=dict)
    client_rates: dict[str, float] = field(default_factory=dict)
    values: dict[str, dict[str, list[float | str]]] = field(default_factory=dict)
    costs: dict[str, dict[str, list[Cost]]] = field(default_factory=dict)
    details: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)

    def add(self, target: str, workload: str, value: float, cost: Cost, details: Mapping[str, float]) -> None:
        self.values.setdefault(target, {}).setdefault(workload, []).append(value)
        self.costs.setdefault(target, {}).setdefault(workload, []).append(cost)
        if details:
            self.details.setdefault(target, {}).setdefault(workload, []).append(dict(details))

    def add_failure(self, target: str, workload: str, reason: str) -> None:
        self.values.setdefault(target, {}).setdefault(workload, []).append(reason)

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(json.dumps({"format": _FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def load(path: Path) -> Results:
    """What ``save`` wrote.

    Raises:
        ValueError: it is something else.
    """
    found: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.pop("format", None) != _FORMAT:
        raise ValueError(f"{path} holds no results of this program")
    found["sizes"] = Sizes(**found["sizes"])
    found["costs"] = {
        target: {workload: [Cost(**cost) for cost in costs] for workload, costs in by_workload.items()}
        for target, by_workload in found["costs"].items()
    }
    return Results(**found)


def machine() -> dict[str, str]:
    """What the figures depend on, without anything that names the machine."""
    cpu = "unknown"
    memory = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            memory = f"{int(line.split()[1]) / 1024**2:.0f} GiB"
            break
    return {
        "processor": cpu,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }

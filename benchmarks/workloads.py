"""What is measured. Each workload prepares outside of the clock, runs, and hands back how its answers are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.site import Site, Sizes


class Taken(NamedTuple):
    """``value`` in the workload's unit; ``check`` raises WrongAnswer; ``details`` stand beside it in the results."""

    value: float
    check: Callable[[], None]
    details: Mapping[str, float] = {}


@dataclass(frozen=True)
class Workload:
    """``title`` takes numbers from ``Sizes``; ``writes``: the disk is let come to rest first.

    ``prepare`` may take its time; ``run`` measures.
    """

    name: str
    title: str
    unit: str
    run: Callable[[Site], Taken]
    prepare: Callable[[Site], None] = field(default=lambda _: None)
    writes: bool = False
    # Long enough to look at memory several times.
    large: bool = False

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")

    def heading(self, sizes: Sizes) -> str:
        return self.title.format_map(vars(sizes))

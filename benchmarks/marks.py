"""The marks that Holdfast has to reach, as ratios to peers of the same comparison."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.compare import HOLDFAST
from benchmarks.figures import ratio
from benchmarks.results import Results
from benchmarks.suite import BY_NAME

RIVALS = ("apache", "rclone", "copyparty", "wsgidav")


class Mark(NamedTuple):
    """In ``workload`` Holdfast is ``least`` times as fast as ``rival``; ``beyond``: even faster than that."""

    workload: str
    rival: str
    least: float
    beyond: bool = False

    def holds(self, reached: float) -> bool:
        return reached > self.least if self.beyond else reached >= self.least

    def __str__(self) -> str:
        return f"{self.workload}: {'more than' if self.beyond else 'at least'} {self.least:g}x {self.rival}"


MARKS: tuple[Mark, ...] = (
    Mark("put_large", "apache", 1.0),
    Mark("get_large", "apache", 1.0),
    Mark("propfind1_10k_allprop", "apache", 5.0),
    Mark("propfind1_10k_props", "apache", 5.0),
    *(
        Mark(workload, rival, 1.0, beyond=True)
        for workload in ("copy_large", "copy_tree", "move_tree", "delete_tree")
        for rival in RIVALS
    ),
    *(
        Mark(f"{request}_c{connections}", "rclone", 1.0)
        for request in ("put_small", "get_small", "propfind0")
        for connections in (1, 8)
    ),
    *(
        Mark(f"{request}_c{connections}", "apache", 1.0)
        for request in ("get_small", "propfind0")
        for connections in (1, 8)
    ),
)


class Verdict(NamedTuple):
    """``reached`` None: there are no figures of both; such a mark does not hold."""

    mark: Mark
    reached: float | None

    @property
    def holds(self) -> bool:
        return self.reached is not None and self.mark.holds(self.reached)

    def __str__(self) -> str:
        reached = "not measured" if self.reached is None else f"{self.reached:.2f}x"
        return f"{'holds ' if self.holds else 'MISSED'}  {reached:>12}  {self.mark}"


def judge(results: Results, target: str = HOLDFAST) -> list[Verdict]:
    """Each mark against the comparison."""
    verdicts = []
    for mark in MARKS:
        ours, theirs = (results.values.get(name, {}).get(mark.workload, []) for name in (target, mark.rival))
        more_is_better = BY_NAME[mark.workload].more_is_better
        verdicts.append(Verdict(mark, ratio(ours, theirs, more_is_better=more_is_better)))
    return verdicts

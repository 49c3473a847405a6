"""The commands about the size of history: sizes, sizes-report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import sizes_report
from benchmarks.all_series import SERIES, chosen_series
from benchmarks.history_peers import PEERS
from benchmarks.sizes import Sizes, joined, load
from benchmarks.sizes_run import Plan, measure_sizes

_QUICK = 0.02


def add_commands(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    command = commands.add_parser("sizes", help="what history takes, beside restic and borg")
    known = ", ".join(each.name for each in SERIES)
    command.add_argument("--series", default="", metavar="NAMES", help=f"these alone, separated by commas: {known}")
    command.add_argument("--peers", default=",".join(PEERS), metavar="NAMES", help="separated by commas, or none")
    command.add_argument("--scale", type=float, default=1.0, metavar="X", help="a part of each series (default: 1)")
    command.add_argument("--quick", action="store_true", help=f"scale {_QUICK}: a smoke test")
    command.add_argument("--settle", type=float, default=70.0, metavar="SECONDS",
                         help="the most time to merge small packs before it is stopped (default: 70)")  # fmt: skip
    command.add_argument("--no-verify", action="store_true", help="do not read the versions back")
    command.add_argument("--cache", type=Path, metavar="FOLDER", help="where downloaded releases are kept")
    command.add_argument("--scratch", type=Path, metavar="FOLDER", help="where stores are while it runs")
    command.add_argument("--port", type=int, default=18300, help="ports are taken from here upwards (default: 18300)")
    command.add_argument("--json", type=Path, metavar="FILE", help="keep the raw results, after each series")
    command.add_argument("--docs", type=Path, metavar="FOLDER", help="write the tables into performance.md there")
    command.set_defaults(run=_sizes)
    command = commands.add_parser("sizes-report", help="write the tables of such results once more")
    command.add_argument("files", type=Path, nargs="+", metavar="FILE.json", help="of runs with the same scale")
    command.add_argument("--docs", type=Path, metavar="FOLDER", help="write the tables into performance.md there")
    command.set_defaults(run=_report)


def _sizes(options: argparse.Namespace) -> int:
    scale = _QUICK if options.quick else options.scale
    if not 0 < scale <= 1:
        raise ValueError("--scale is above 0, and at most 1")
    plan = Plan(
        series=chosen_series(options.series),
        peers=_peers(options.peers),
        scale=scale,
        settle_s=options.settle,
        verify=not options.no_verify,
        cache=options.cache,
        scratch=options.scratch,
        first_port=options.port,
        json=options.json,
    )
    return _tell(measure_sizes(plan), options.docs)


def _peers(names: str) -> list[str]:
    found = [] if names == "none" else [name for name in names.split(",") if name]
    if unknown := set(found) - set(PEERS):
        raise ValueError(f"no peer is called {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return found


def _report(options: argparse.Namespace) -> int:
    return _tell(joined([load(file) for file in options.files], [each.name for each in SERIES]), options.docs)


def _tell(sizes: Sizes, docs: Path | None) -> int:
    print(sizes_report.show(sizes))
    if docs is not None:
        sizes_report.write_docs(sizes, docs)
    return 0 if sizes.holds else 1

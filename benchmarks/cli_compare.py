"""The commands about comparisons: compare, report, marks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import marks, report
from benchmarks.compare import HOLDFAST, Plan, compare, known_peers
from benchmarks.peers import PEERS
from benchmarks.results import load
from benchmarks.site import Sizes
from benchmarks.suite import BY_NAME, SUITE, chosen


def add_commands(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    _add_compare(commands)
    _add_marks(commands)


def _add_compare(commands: Any) -> None:
    command = commands.add_parser("compare", help="Holdfast and its peers in one run")
    command.add_argument("--peers", default="apache,rclone,copyparty,wsgidav,sftpgo", metavar="NAMES",
                         help=f"peers, separated by commas, or none (there are {', '.join(PEERS)})")  # fmt: skip
    command.add_argument("--safe", action="store_true", help="a second column for Holdfast with durability safe")
    command.add_argument("--base", default="apache", help="whom the ratios are to (default: apache)")
    command.add_argument("--runs", type=int, default=5, metavar="N", help="interleaved runs (default: 5)")
    command.add_argument("--only", default="", metavar="WORKLOADS", help="these alone, separated by commas")
    command.add_argument("--skip", default="", metavar="WORKLOADS", help="all but these")
    command.add_argument("--list", action="store_true", help="list the workloads and stop")
    command.add_argument("--quick", action="store_true", help="small sizes and one run: a smoke test")
    command.add_argument("--cache", type=Path, metavar="FOLDER", help="where installed peers are kept")
    command.add_argument("--scratch", type=Path, metavar="FOLDER", help="where the servers' files are while they run")
    command.add_argument("--port", type=int, default=18300, help="ports are taken from here upwards (default: 18300)")
    command.add_argument("--json", type=Path, metavar="FILE", help="keep the raw results, after each run")
    command.add_argument("--docs", type=Path, metavar="FOLDER",
                         help="write figures into performance.md there, and pictures beside it")  # fmt: skip
    command.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    if options.list:
        for workload in SUITE:
            print(f"{workload.name:22} {workload.unit:10} {workload.heading(Sizes())}")
        return 0
    only, skip = _workloads(options.only), _workloads(options.skip)
    plan = Plan(
        peers=known_peers(options.peers),
        safe=options.safe,
        base=options.base,
        runs=1 if options.quick else options.runs,
        sizes=Sizes.quick() if options.quick else Sizes(),
        workloads=chosen(only, skip),
        cache=options.cache,
        scratch=options.scratch,
        first_port=options.port,
        json=options.json,
    )
    results = compare(plan)
    print(report.report(results))
    if options.docs is not None:
        report.write_docs(results, options.docs)
    return 0 if not list(report.failed(results, HOLDFAST)) else 1


def _workloads(names: str) -> set[str]:
    found = {name for name in names.split(",") if name}
    if unknown := found - set(BY_NAME):
        raise ValueError(f"no workload is called {', '.join(sorted(unknown))}; --list shows them")
    return found


def _add_marks(commands: Any) -> None:
    command = commands.add_parser("marks", help="hold a comparison's results against the marks")
    command.add_argument("file", type=Path, metavar="FILE.json")
    command.set_defaults(run=_marks)
    command = commands.add_parser("report", help="write the report of a comparison's results once more")
    command.add_argument("file", type=Path, metavar="FILE.json")
    command.add_argument("--docs", type=Path, metavar="FOLDER", help="write figures into performance.md there")
    command.set_defaults(run=_report)


def _marks(options: argparse.Namespace) -> int:
    verdicts = marks.judge(load(options.file))
    for verdict in verdicts:
        print(verdict)
    missed = sum(not verdict.holds for verdict in verdicts)
    print(f"{len(verdicts) - missed} of {len(verdicts)} marks hold")
    return 1 if missed else 0


def _report(options: argparse.Namespace) -> int:
    results = load(options.file)
    print(report.report(results))
    if options.docs is not None:
        report.write_docs(results, options.docs)
    return 0

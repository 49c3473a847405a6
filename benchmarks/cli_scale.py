"""The commands about how far it goes: scale, scale-report."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from benchmarks import scale_report
from benchmarks.scale import Measured, Plan, load, measure_scale


def add_commands(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    command = commands.add_parser(
        "scale", help="what limits a store over PostgreSQL and S3, and from how many users on"
    )
    command.add_argument("database_url", metavar="DATABASE_URL", help="of an empty database; the role may make others")
    command.add_argument("blobs_url", metavar="BLOBS_URL", help="s3://BUCKET/PREFIX?endpoint=http://…")
    command.add_argument("--nodes", type=int, metavar="N", help="of the smallest generated store (default: 100000)")
    command.add_argument("--times", type=int, nargs="+", metavar="N", help="how many times larger others are (10)")
    command.add_argument("--versions-per-node", type=float, metavar="X", help="of generated stores (default: 3)")
    command.add_argument("--quick", action="store_true", help="a smoke test")
    command.add_argument("--port", type=int, default=18300, help="ports are taken from here upwards (default: 18300)")
    command.add_argument("--scratch", type=Path, metavar="FOLDER", help="where nodes' files are while it runs")
    command.add_argument("--json", type=Path, metavar="FILE", help="keep the raw results")
    command.add_argument("--docs", type=Path, metavar="FOLDER", help="write them into scale.md there, and its picture")
    command.set_defaults(run=_scale)
    command = commands.add_parser("scale-report", help="write the tables of such results once more")
    command.add_argument("file", type=Path, metavar="FILE.json")
    command.add_argument("--docs", type=Path, metavar="FOLDER", help="write them into scale.md there, and its picture")
    command.set_defaults(run=_report)


def _scale(options: argparse.Namespace) -> int:
    plan = Plan.quick() if options.quick else Plan()
    given = {name: getattr(options, name) for name in ("nodes", "times", "versions_per_node")}
    plan = dataclasses.replace(plan, **{name: value for name, value in given.items() if value is not None})
    if plan.nodes < 1000 or min(plan.times) < 2:
        raise ValueError("a generated store has at least 1000 nodes, and a larger one twice as many")
    measured = measure_scale(
        options.database_url, options.blobs_url, plan, first_port=options.port, scratch=options.scratch
    )
    if options.json is not None:
        measured.save(options.json)
    return _tell(measured, options.docs)


def _report(options: argparse.Namespace) -> int:
    return _tell(load(options.file), options.docs)


def _tell(measured: Measured, docs: Path | None) -> int:
    print(scale_report.report(measured))
    if docs is not None:
        scale_report.write_docs(measured, docs)
    return 0

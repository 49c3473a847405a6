"""``holdfast check``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from appliance.cli.context import Context, visible
from appliance.stores import open_store
from appliance.upkeep.check import check
from appliance.upkeep.check_report import Progress


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    command = commands.add_parser(
        "check", parents=[common], help="compare the tables with each other and with the blobs; changes nothing"
    )
    command.add_argument("--read-data", action="store_true", help="also read and hash every byte")
    command.set_defaults(run=_check)


def _check(context: Context, options: argparse.Namespace) -> int:
    # Not the services: they refuse to begin over a store that contradicts itself, which is what is asked here.
    database, backend = open_store(context.settings)
    try:
        report = check(
            database,
            backend,
            read_data=options.read_data,
            progress=_show if sys.stderr.isatty() else None,
        )
    finally:
        database.close()
    for finding in report.findings:
        print(visible(f"{finding.kind}: {finding.where}: {finding.what}"))
    for note in report.notes:
        print(f"note: {note}")
    print("clean" if report.clean else f"{len(report.findings)} findings")
    return 0 if report.clean else 1


def _show(progress: Progress) -> None:
    print(f"\r{progress}\033[K", end="", file=sys.stderr, flush=True)

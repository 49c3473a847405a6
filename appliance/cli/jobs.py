"""``holdfast job``."""

from __future__ import annotations

import argparse
from typing import Any

from appliance import moments
from appliance.cli.context import Context, print_table
from appliance.jobs import runs


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("job", help="what the server does by itself")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="list each job's last run and its next one")
    listing.set_defaults(run=_list)


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = runs.listing(appliance.database)
    print_table(
        ("JOB", "LAST RUN", "RESULT", "NEXT RUN", "SAID"),
        [(each.name, moments.show(each.ended_at), each.outcome, moments.show(each.next_at), each.said)
         for each in found],
    )  # fmt: skip
    return 0

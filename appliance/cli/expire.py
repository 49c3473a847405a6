"""``holdfast expire``."""

from __future__ import annotations

import argparse
from typing import Any

from appliance import clock, moments, sizes
from appliance.cli.context import Context, names_of, print_table
from appliance.upkeep import expire
from appliance.upkeep.expire import Planned, Rules


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "expire", parents=[common], help="thin the past as the retention says, and empty the trash of what is due"
    )
    command.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    command.set_defaults(run=_expire)


def _expire(context: Context, options: argparse.Namespace) -> int:
    rules = Rules(context.settings.retention, context.settings.trash_days * clock.DAY)
    with context.appliance() as appliance:
        if options.dry_run:
            planned = expire.plan(appliance.database, rules)
            _print_plan(planned, names_of(appliance))
            return 0
        done = expire.expire(appliance.database, rules)
    print(
        f"{done.versions} versions ({sizes.show(done.bytes)}) and {done.trash} things from the trash have gone; "
        "prune frees their bytes"
    )
    return 0


def _print_plan(planned: list[Planned], people: dict[int, str]) -> None:
    print_table(
        ("USER", "KEEPS", "MOMENTS", "ALL SINCE", "VERSIONS TO GO", "BYTES", "TRASH TO GO"),
        [
            (
                people.get(each.owner_id, f"user {each.owner_id}"),
                str(each.retention),
                len(each.decision.kept.seqs),
                moments.show(each.all_since) if each.decision.kept.since else "the beginning",
                each.versions,
                each.bytes,
                each.trash,
            )
            for each in planned
        ],
    )

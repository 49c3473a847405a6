"""``holdfast expire``."""

from __future__ import annotations

import argparse
from typing import Any

from appliance import clock, moments, sizes
from appliance.cli.context import Context, names_of, print_table
from appliance.upkeep import expire, expire_plan
from appliance.upkeep.expire import Rules
from appliance.upkeep.expire_plan import Planned, PlannedFolder


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
            planned = expire_plan.plan(appliance.database, rules)
            _print_plan(planned, names_of(appliance))
            return 0
        done = expire.expire(appliance.database, rules)
    print(
        f"{done.versions} versions ({sizes.show(done.bytes)}) and {done.trash} things from the trash have gone; "
        "prune frees their bytes"
    )
    return 0


def _print_plan(planned: list[Planned], people: dict[int, str]) -> None:
    lines: list[tuple[object, ...]] = []
    for each in planned:
        name = people.get(each.owner_id, f"user {each.owner_id}")
        lines.append((name, *_states(each), each.versions, each.bytes, each.trash, "/"))
        lines += [(name, *_states(folder), "", "", "", folder.path or "(removed)") for folder in each.folders]
    head = ("USER", "KEEPS", "MOMENTS", "ALL SINCE", "VERSIONS TO GO", "BYTES", "TRASH TO GO", "FOLDER")
    print_table(head, lines)


def _states(each: Planned | PlannedFolder) -> tuple[str, int, str]:
    """What it keeps, how many single moments, and since when all of them."""
    since = moments.show(each.all_since) if each.kept.since else "the beginning"
    return str(each.retention), len(each.kept.seqs), since

"""``holdfast login``."""

from __future__ import annotations

import argparse
from typing import Any

from appliance import moments
from appliance.accounts import failures
from appliance.accounts.failures import EVERYWHERE
from appliance.cli.context import Context, print_table, visible


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("login", help="accounts that are blocked after wrong passwords")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    blocked = actions.add_parser("blocked", parents=[common], help="list the blocks that hold now")
    blocked.set_defaults(run=_blocked)
    unblock = actions.add_parser("unblock", parents=[common], help="end an account's blocks, and forget its failures")
    unblock.add_argument("name", metavar="NAME", help="as listed")
    unblock.set_defaults(run=_unblock)


def _blocked(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = failures.listing(appliance.database)
    print_table(
        ("NAME", "FROM", "STRIKES", "UNTIL"),
        [
            (
                pair.account,
                "anywhere new" if pair.network == EVERYWHERE else pair.network,
                block.strikes,
                moments.show(block.until_at),
            )
            for pair, block in found
        ],
    )
    return 0


def _unblock(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        ended = failures.lift(appliance.database, options.name)
    print(f"ended {ended} {'block' if ended == 1 else 'blocks'} of {visible(options.name)}")
    return 0

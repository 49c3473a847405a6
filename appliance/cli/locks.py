"""``holdfast lock``."""

from __future__ import annotations

import argparse
from typing import Any

from appliance import moments
from appliance.accounts import users
from appliance.cli.context import Context, names_of, principal_for, print_table, visible
from appliance.files import lock
from appliance.principal import system
from appliance.tree.paths import parse, show


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("lock", help="locks that clients hold").add_subparsers(metavar="ACTION", required=True)
    listing = group.add_parser("list", parents=[common], help="list the locks")
    listing.add_argument("--user", metavar="NAME", help="on whose files (everybody's if none is named)")
    listing.set_defaults(run=_list)
    breaking = group.add_parser(
        "break", parents=[common], help="end a lock whose client is gone; one that still works loses it"
    )
    breaking.add_argument("path", metavar="PATH", help="as listed")
    breaking.add_argument("--user", metavar="NAME", help="on whose files (not needed if there is one user)")
    breaking.set_defaults(run=_break)


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        database = appliance.database
        owners = users.listing(database) if options.user is None else [users.get(database, options.user)]
        found = [
            (owner.name, held)
            for owner in owners
            for held in lock.list_locks(appliance.files, system(owner.id, face="cli"))
        ]
        people = names_of(appliance)
    print_table(
        ("USER", "BY", "SCOPE", "DEPTH", "UNTIL", "PATH"),
        [
            (
                owner,
                people.get(held.user_id, f"user {held.user_id}"),
                held.scope,
                held.depth,
                moments.show(held.expires_at),
                held.path,
            )
            for owner, held in found
        ],
    )
    return 0


def _break(context: Context, options: argparse.Namespace) -> int:
    path = parse(options.path)
    with context.appliance() as appliance:
        ended = lock.break_locks(appliance.files, principal_for(appliance, options.user), path)
    print(f"ended {len(ended)} {'lock' if len(ended) == 1 else 'locks'} on {visible(show(path))}")
    return 0

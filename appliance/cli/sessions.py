"""``holdfast session``."""

from __future__ import annotations

import argparse
from typing import Any

from appliance import moments
from appliance.accounts import sessions, users
from appliance.app import lives
from appliance.cli.context import Context, print_table


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("session", help="browsers that are signed in to the web panel")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="list the sessions that hold")
    listing.set_defaults(run=_list)
    end = actions.add_parser("end", parents=[common], help="sign a user out of all browsers, from the next request on")
    end.add_argument("name", metavar="NAME")
    end.set_defaults(run=_end)


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = sessions.listing(appliance.database, lives(context.settings))
    print_table(
        ("NAME", "SINCE", "LAST SEEN", "ADDRESS", "BROWSER"),
        [(each.user, moments.show(each.created_at), moments.show(each.seen_at), each.address, each.agent)
         for each in found],
    )  # fmt: skip
    return 0


def _end(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.name)
        ended = sessions.end_others(appliance.database, user.id)
    print(f"ended {ended} {'session' if ended == 1 else 'sessions'} of {user.name}")
    return 0

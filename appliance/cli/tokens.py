"""``holdfast token``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from appliance import moments
from appliance.accounts import tokens, users
from appliance.accounts.tokens import Wanted
from appliance.cli.context import Context, print_table, row_id
from appliance.principal import system

_DAY_S = 86_400


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("token", help="bearer tokens of programs").add_subparsers(
        metavar="ACTION", required=True
    )
    add = group.add_parser("add", parents=[common], help="make a token; it is shown once")
    add.add_argument("name", metavar="NAME", help="what it is for")
    add.add_argument(
        "--scope", action="append", required=True, choices=sorted(tokens.SCOPES), help="may be given more than once"
    )
    add.add_argument("--days", type=_days, default=tokens.LIFE_S // _DAY_S, metavar="N", help="until it expires")
    add.set_defaults(run=_add)
    listing = group.add_parser("list", parents=[common], help="list the tokens that hold")
    listing.set_defaults(run=_list)
    revoke = group.add_parser("revoke", parents=[common], help="make a token work no more, from the next request on")
    revoke.add_argument("id", type=row_id, metavar="ID", help="as listed")
    revoke.set_defaults(run=_revoke)
    for command in (add, listing, revoke):
        command.add_argument("--user", required=True, metavar="NAME")


def _days(text: str) -> int:
    most = tokens.LIFE_MOST_S // _DAY_S
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of days from 1 to {most}")
    return int(text)


def _add(context: Context, options: argparse.Namespace) -> int:
    wanted = Wanted(options.name, frozenset(options.scope), options.days * _DAY_S)
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.user)
        token, secret = tokens.make(appliance.database, system(user.id, face="cli"), wanted)
    until = moments.show(token.expires_at)
    print(f"token {token.id} of {user.name} for {token.name!r}, until {until} (shown this once):", file=sys.stderr)
    print(secret)
    return 0


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.user)
        found = tokens.listing(appliance.database, system(user.id, face="cli"))
    print_table(
        ("ID", "MADE", "EXPIRES", "DEVICE", "SCOPES", "NAME"),
        [
            (each.id, moments.show(each.created_at), moments.show(each.expires_at), each.device_id or "-",
             " ".join(sorted(each.scopes)), each.name)
            for each in found
        ],
    )  # fmt: skip
    return 0


def _revoke(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.user)
        tokens.revoke(appliance.database, system(user.id, face="cli"), options.id)
    print(f"revoked {options.id}")
    return 0

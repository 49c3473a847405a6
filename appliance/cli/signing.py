"""``holdfast signing-key``: the keys of signed URLs."""

from __future__ import annotations

import argparse
from typing import Any

from appliance import moments
from appliance.cli.context import Context, print_table, row_id
from appliance.signing import keys, surrogates
from appliance.upkeep import purging


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("signing-key", help="keys of signed URLs").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    command = group.add_parser("list", parents=[common], help="list the keys")
    command.set_defaults(run=_list)
    command = group.add_parser(
        "rotate",
        parents=[common],
        help="sign with a new key from now on; URLs of earlier ones hold until they expire",
    )
    command.set_defaults(run=_rotate)
    command = group.add_parser("revoke", parents=[common], help="make every URL that a key has signed void, at once")
    command.add_argument("id", metavar="KEY", type=row_id, help="as listed")
    command.set_defaults(run=_revoke)


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = keys.listing(appliance.database)
    print_table(
        ("KEY", "MADE", "SIGNS UNTIL"),
        [
            (key.id, moments.show(key.created_at), "now" if key.retired_at is None else moments.show(key.retired_at))
            for key in found
        ],
    )
    return 0


def _rotate(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        made = keys.rotate(appliance.database)
    print(f"key {made} signs from now on; URLs of earlier keys hold until they expire")
    return 0


def _revoke(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        keys.revoke(appliance.database, options.id)
        seconds = appliance.settings.cdn_revocation_seconds
        # Said before a cache is asked, which may not answer.
        print(f"URLs of key {options.id} are void; caches in front may answer them for {seconds} s more")
        if (url := appliance.settings.cdn_purge_url) is not None:
            purging.purge(url, [surrogates.of_signing_key(options.id)])
    return 0

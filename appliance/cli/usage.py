"""``holdfast usage``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from appliance.accounts.policy import Action
from appliance.cli.context import Context, names_of, principal_for, print_table
from appliance.errors import NotAFolder
from appliance.files.context import locate
from appliance.tree.paths import parse, show
from appliance.upkeep import usage
from appliance.upkeep.usage import Disk, Stored

_HEAD = ("LOGICAL", "UNIQUE", "SHARED", "HISTORY", "TRASH")
_DEEPEST = 100


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("usage", parents=[common], help="say where the bytes are, by user or by folder")
    command.add_argument("path", nargs="?", metavar="PATH", help="a folder: it, and those in it, instead of the users")
    command.add_argument("--user", metavar="NAME", help="whose folders (not needed with PATH if there is one user)")
    command.add_argument("--depth", type=_depth, default=1, metavar="N", help="so many folders deep (default: 1)")
    command.add_argument("--json", action="store_true", help="for programs")
    command.set_defaults(run=_usage)


def _depth(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) > _DEEPEST:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no depth from 0 to {_DEEPEST}")
    return int(text)


def _usage(context: Context, options: argparse.Namespace) -> int:
    if options.path is None and options.user is None:
        return _of_all(context, as_json=options.json)
    return _of_folders(context, options)


def _of_all(context: Context, *, as_json: bool) -> int:
    with context.appliance() as appliance:
        found = usage.of_all(appliance.database)
        people = names_of(appliance)
    rows = [(people.get(user.user_id, f"user {user.user_id}"), user.logical, user.stored) for user in found.users]
    if as_json:
        _print_json(
            {
                "users": [_fields("name", name, logical, stored) for name, logical, stored in rows],
                "total": _fields("name", None, found.logical, found.total),
                "disk": {"stored": found.disk.stored} | found.disk._asdict(),
            }
        )
        return 0
    rows.append(("(all)", found.logical, found.total))
    print_table((*_HEAD, "USER"), [(logical, *stored, name) for name, logical, stored in rows])
    print(_told(found.disk))
    return 0


def _told(disk: Disk) -> str:
    return (
        f"\nstored: {disk.stored} bytes; needed: {disk.needed}; prune will free: {disk.free}; "
        f"held by packs that are needed: {disk.held}"
    )


def _of_folders(context: Context, options: argparse.Namespace) -> int:
    path = parse(options.path or "/")
    with context.appliance() as appliance:
        principal = principal_for(appliance, options.user)
        with appliance.database.snapshot() as session:
            place = locate(session, principal, path, Action.READ)
            if not place.node.is_folder:
                raise NotAFolder(path=show(path))
            found = usage.of_folders(session, place.mount.tree_id, place.node.id, options.depth)
    rows = [(show((*path, *each.names)), each.logical, each.stored) for each in found]
    if options.json:
        _print_json({"folders": [_fields("path", name, logical, stored) for name, logical, stored in rows]})
        return 0
    print_table((*_HEAD, "FOLDER"), [(logical, *stored, name) for name, logical, stored in rows])
    return 0


def _fields(key: str, name: str | None, logical: int, stored: Stored) -> dict[str, str | int]:
    named: dict[str, str | int] = {} if name is None else {key: name}
    return named | {"logical": logical} | stored._asdict()


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=1))

"""``holdfast versions``, ``diff``, ``restore`` and ``trash``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from appliance import moments
from appliance.cli.context import Context, names_of, principal_for, print_table, row_id, visible
from appliance.errors import NameTaken, ParentMissing
from appliance.files import compare, history, trash
from appliance.files.compare import Difference
from appliance.tree import versions
from appliance.tree.nodes import FOLDER
from appliance.tree.paths import parse, show


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    mine = argparse.ArgumentParser(add_help=False, parents=[common])
    mine.add_argument("--user", metavar="NAME", help="whose files (not needed if there is one user)")
    listing = commands.add_parser("versions", parents=[mine], help="list the versions of a file")
    listing.add_argument("path", metavar="PATH")
    listing.set_defaults(run=_versions)
    naming = commands.add_parser("keep", parents=[mine], help="name a version, so that it is kept for ever")
    naming.add_argument("path", metavar="PATH")
    naming.add_argument("--version", required=True, metavar="N", help="as listed")
    what = naming.add_mutually_exclusive_group(required=True)
    what.add_argument("--name", metavar="NAME", help="what it is called")
    what.add_argument("--no-longer", action="store_true", help="take its name away")
    naming.set_defaults(run=_keep)
    comparison = commands.add_parser("diff", parents=[mine], help="list what differs between two moments")
    comparison.add_argument("path", metavar="PATH")
    comparison.add_argument("--from", dest="first", required=True, metavar="TIME", help="as with restore --at")
    comparison.add_argument("--to", dest="second", metavar="TIME", help="by default now")
    comparison.set_defaults(run=_diff)
    restore = commands.add_parser("restore", parents=[mine], help="bring back a version, or a file or folder as it was")
    restore.add_argument("path", metavar="PATH")
    which = restore.add_mutually_exclusive_group(required=True)
    which.add_argument("--version", metavar="N", help="a version as listed")
    which.add_argument(
        "--at", metavar="TIME", help="2026-11-20, 2026-11-20T09:00, 2h-ago, yesterday, seq-123, or as listed"
    )
    restore.set_defaults(run=_restore)
    group = commands.add_parser("trash", help="what was removed").add_subparsers(metavar="ACTION", required=True)
    group.add_parser("list", parents=[mine], help="list the trash").set_defaults(run=_list_trash)
    back = group.add_parser("restore", parents=[mine], help="put something back")
    back.add_argument("id", type=row_id, metavar="ID", help="as listed")
    back.add_argument("--to", metavar="PATH", help="where to, if not where it was")
    back.set_defaults(run=_restore_removed)


def _versions(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = history.list_versions(appliance.files, principal_for(appliance, options.user), parse(options.path))
        people = names_of(appliance)
    print_table(
        ("VERSION", "STORED", "SIZE", "BY", "MODIFIED", "NAME"),
        [
            (
                name,
                moments.show(each.created_at, exact=True),
                each.size,
                _by(people, each.user_id),
                moments.show(each.modified_at),
                each.name or "",
            )
            for name, each in zip(versions.names(found), found, strict=True)
        ],
    )
    return 0


def _keep(context: Context, options: argparse.Namespace) -> int:
    path = parse(options.path)
    with context.appliance() as appliance:
        principal = principal_for(appliance, options.user)
        history.name_version(appliance.files, principal, path, options.version, options.name)
    what = "is kept no longer than others" if options.name is None else f"is called {visible(options.name)}, and stays"
    print(f"version {visible(options.version)} of {visible(show(path))} {what}")
    return 0


def _diff(context: Context, options: argparse.Namespace) -> int:
    path = parse(options.path)
    first = moments.parse(options.first)
    second = None if options.second is None else moments.parse(options.second)
    with context.appliance() as appliance:
        principal = principal_for(appliance, options.user)
        found = compare.differences(appliance.files, principal, path, first, second)
    print_table(
        ("CHANGE", "BEFORE", "AFTER", "PATH"),
        [(each.kind, _size(each, each.size_before), _size(each, each.size_after), _path(each)) for each in found],
    )
    return 0


def _size(each: Difference, size: int | None) -> object:
    return "folder" if each.is_folder else "" if size is None else size


def _path(each: Difference) -> str:
    slash = "/" if each.is_folder else ""
    path = show(each.after or each.before or ()) + slash
    return f"{path}  (was {show(each.before)}{slash})" if each.kind == "moved" and each.before else path


def _restore(context: Context, options: argparse.Namespace) -> int:
    path = parse(options.path)
    with context.appliance() as appliance:
        principal = principal_for(appliance, options.user)
        if options.version is not None:
            history.restore_version(appliance.files, principal, path, options.version)
            print(f"{visible(show(path))} is version {visible(options.version)} again")
            return 0
        moment = moments.parse(options.at)
        restored = history.restore_at(appliance.files, principal, path, moment)
    when = f"after change {moment.seq}" if moment.at is None else f"at {moments.show(moment.at, exact=True)}"
    print(f"{visible(show(path))} is what it was {when} ({restored.changes} changes)")
    for each in restored.passed_over:
        print(f"left as it is now: {visible(each)}/, for which this moment is not kept any more", file=sys.stderr)
    return 0


def _list_trash(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = trash.list_trash(appliance.files, principal_for(appliance, options.user))
        people = names_of(appliance)
    print_table(
        ("ID", "REMOVED", "BY", "WHY", "KIND", "FILES", "BYTES", "PATH"),
        [
            (
                each.node_id,
                moments.show(each.removed_at, exact=True),
                _by(people, each.user_id),
                each.reason,
                "folder" if each.kind == FOLDER else "file",
                each.files,
                each.bytes,
                each.path,
            )
            for each in found
        ],
    )
    return 0


def _restore_removed(context: Context, options: argparse.Namespace) -> int:
    target = None if options.to is None else parse(options.to)
    with context.appliance() as appliance:
        principal = principal_for(appliance, options.user)
        try:
            path = trash.restore_removed(appliance.files, principal, options.id, target)
        except (NameTaken, ParentMissing) as error:
            if target is None:
                error.add_note("put it elsewhere with --to PATH")
            raise
    print(f"put back as {visible(show(path))}")
    return 0


def _by(people: dict[int, str], user_id: int | None) -> str:
    return "system" if user_id is None else people.get(user_id, f"user {user_id}")

"""``holdfast audit``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from appliance import moments
from appliance.accounts import users
from appliance.accounts.policy import Action
from appliance.audit import expire, keys, listing
from appliance.audit.listing import Entry, Names, Position, Wanted
from appliance.audit.verify import Head, Verified, export_head, verify
from appliance.cli.context import Context, principal_for, print_table, row_id, visible
from appliance.errors import BadRequest
from appliance.files.context import locate
from appliance.principal import COMMAND
from appliance.stores import open_store
from appliance.tree.paths import parse
from appliance.upkeep.check_report import Steps

_AT_ONCE = 500
_SHOWN = 100


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("audit", help="who did what, and whether that was altered")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    shown = actions.add_parser("list", parents=[common], help="list changes, downloads and what became of users")
    shown.add_argument("--user", metavar="NAME", help="of this user's files and account")
    shown.add_argument("--since", metavar="TIME", help="2026-11-20, 2026-11-20T09:00, 2h-ago, yesterday")
    shown.add_argument("--until", metavar="TIME", help="the same")
    shown.add_argument("--face", metavar="FACE", help="by which way: dav, api, web, cli, …")
    said = "one of " + ", ".join(listing.ACTIONS)
    shown.add_argument("--action", metavar="ACTION", choices=listing.ACTIONS, help=said)
    what = shown.add_mutually_exclusive_group()
    what.add_argument("--path", metavar="PATH", help="of the file or folder that is there now")
    what.add_argument("--file", type=row_id, metavar="ID", help="of the file or folder with this id")
    shown.add_argument("--limit", type=row_id, default=_SHOWN, metavar="N", help=f"the last N (default: {_SHOWN})")
    shown.add_argument("--json", action="store_true", help="for programs: an object a line")
    shown.set_defaults(run=_list)
    sure = actions.add_parser("verify", parents=[common], help="verify that nothing was altered, added or taken away")
    sure.add_argument("--head", type=Path, metavar="FILE", help="a head that was exported: the trail reaches that far")
    sure.set_defaults(run=_verify)
    head = actions.add_parser("export-head", parents=[common], help="write down how far the trail is sealed")
    head.set_defaults(run=_export_head)
    forgotten = actions.add_parser("forget", parents=[common], help="let go of what a lost key has sealed, unverified")
    forgotten.add_argument("key", metavar="KEY", help="as `holdfast audit verify` tells")
    forgotten.set_defaults(run=_forget)


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance, appliance.database.snapshot() as session:
        tree_id = None if options.user is None else users.get(appliance.database, options.user).tree_id
        node_id = options.file
        if options.path is not None:
            place = locate(session, principal_for(appliance, options.user), parse(options.path), Action.READ)
            node_id, tree_id = place.node.id, place.mount.tree_id
        wanted = Wanted(tree_id, _time(options.since), _time(options.until), options.face, options.action, node_id)
        found: list[Entry] = []
        position: Position | None = None
        while len(found) < options.limit:
            page = listing.page(session, wanted, position, min(options.limit - len(found), _AT_ONCE))
            found += page.entries
            position = page.following
            if position is None:
                break
        names = Names(session, found)
        if options.json:
            for each in found:
                print(json.dumps(_fields(each, names), ensure_ascii=False))
            return 0
        _print(found, names)
    return 0


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    moment = moments.parse(text)
    if moment.at is None:
        raise BadRequest(reason="this is the number of a change; give a time")
    return moment.at


def _print(found: list[Entry], names: Names) -> None:
    print_table(
        ("TIME", "WHO", "WHAT", "WHOSE", "BYTES", "FACE", "FROM", "FILE", "PATH"),
        [
            (
                moments.show(each.at),
                " ".join(filter(None, [names.who(each), names.device(each) and f"({names.device(each)})"])),
                each.action,
                names.whose(each),
                "" if each.bytes is None else each.bytes,
                each.face,
                each.address,
                "" if each.node_id is None else each.node_id,
                names.path(each),
            )
            for each in found
        ],
    )


def _fields(each: Entry, names: Names) -> dict[str, object]:
    fields: dict[str, object] = {
        "time": moments.show(each.at, exact=True),
        "who": names.who(each),
        "whose": names.whose(each),
    }
    return fields | {"device": names.device(each), "path": names.path(each)} | each._asdict()


def _verify(context: Context, options: argparse.Namespace) -> int:
    exported = None if options.head is None else Head.parse(options.head.read_text(encoding="utf-8"))
    database, _ = open_store(context.settings)
    try:
        found = verify(database, keys.load(context.settings), exported, advance=_advance())
    finally:
        database.close()
    _tell(found, exported)
    return 1 if found.problems else 0


def _advance() -> Any:
    """Tells how far it is, where somebody looks."""
    if sys.stderr is None or not sys.stderr.isatty():
        return lambda done, total: None
    steps = Steps(lambda progress: print(f"\r{progress}\x1b[K", end="", file=sys.stderr, flush=True))

    def advance(done: int, total: int) -> None:
        steps.begin("audit", total, "batches")
        steps.advance(done)
        if done >= total:
            print(file=sys.stderr)

    return advance


def _tell(found: Verified, exported: Head | None) -> None:
    for problem in found.problems[:_SHOWN]:
        print(visible(problem))
    if len(found.problems) > _SHOWN:
        print(f"and {len(found.problems) - _SHOWN} more")
    kept = found.checkpoint
    if kept is not None:
        print(f"batches 1 to {kept.number} are past audit_days: {kept.rows} rows, until {moments.show(kept.until_at)}")
    print(f"{found.batches} batches, {found.rows} rows are sealed; {found.waiting} rows are not yet")
    if found.problems:
        print(f"{len(found.problems)} problems: the trail is not what was sealed")
    elif exported is not None and kept is not None and exported.number <= kept.number:
        print(
            f"nothing was altered since; batch {exported.number}, which was exported, is past audit_days itself", end=""
        )
        is_known = exported.number == kept.number
        print(", and was that one" if is_known else ": whether it was that one cannot be told any more")
    elif exported is not None:
        print(f"nothing was altered, and all up to batch {exported.number}, which was exported, is as it was then")
    else:
        print("nothing was altered, and nothing taken out; whether the end was cut off, only --head tells")


def _export_head(context: Context, options: argparse.Namespace) -> int:
    database, _ = open_store(context.settings)
    try:
        with database.snapshot() as session:
            head = export_head(session)
    finally:
        database.close()
    if head is None:
        raise BadRequest(reason="nothing is sealed yet; the job audit does it once a minute while a server runs")
    print(head.text())
    return 0


def _forget(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = keys.load(context.settings)
        if found is None:
            raise BadRequest(reason="there is no audit key to sign the rest with; a server makes one at its start")
        gone = expire.forget(appliance.database, found, options.key, COMMAND)
    print(f"{gone} rows went unverified; an event of the trail tells of it")
    return 0

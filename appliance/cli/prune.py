"""``holdfast prune``."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from appliance import moments, sizes
from appliance.chunks import garbage
from appliance.chunks.quarantine import BroughtBack, What
from appliance.chunks.writers import RENEW_S
from appliance.cli.context import Context
from appliance.db.database import Database
from appliance.stores import open_store, room_for_content
from appliance.upkeep import sweep
from appliance.upkeep.check_report import Progress, Steps
from appliance.upkeep.prune import Policy, Pruned, prune, undo
from appliance.upkeep.prune_plan import Amount, Plan, plan

_NAMES: dict[What, str] = {"chunk": "chunks", "small": "small contents", "segment": "segments of manifests"}
# Living writers follow the epoch with their next renewal, unless one of their uploads goes on.
_FOLLOWED_S = RENEW_S + 5


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "prune", parents=[common], help="delete what no file and no version needs; the server does that by itself"
    )
    how = command.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    how.add_argument("--undo", action="store_true", help="store again what is in quarantine")
    how.add_argument("--now", action="store_true", help="also what is in quarantine, without waiting for its time")
    command.set_defaults(run=_prune)


def _prune(context: Context, options: argparse.Namespace) -> int:
    settings = context.settings
    policy = Policy(0 if options.now else settings.quarantine_hours * 3600, settings.dead_percent)
    database, backend = open_store(settings)
    try:
        if options.dry_run:
            steps = Steps(_show if sys.stderr.isatty() else None)
            _print_plan(plan(database, backend, policy, steps), policy)
        elif options.undo:
            _undo(database)
        else:
            _follow(database)
            done = prune(database, backend, policy, room=room_for_content(settings))
            _print_done(done, database)
            swept = sweep.sweep(database, backend)
            if swept.blobs:
                print(f"{swept.blobs} blobs of dead writers, {sizes.show(swept.bytes)}, are removed")
    finally:
        database.close()
    return 0


def _follow(database: Database) -> None:
    """Begin an epoch, and give the server the time to follow it."""
    database.write(garbage.raise_epoch)
    until = time.monotonic() + _FOLLOWED_S
    told = False
    while time.monotonic() < until:
        with database.read() as session:
            if garbage.is_ripe(session):
                return
        if not told:
            print("waiting for the server's uploads to be past this moment", file=sys.stderr)
            told = True
        time.sleep(0.5)


def _undo(database: Database) -> None:
    def tell(done: BroughtBack) -> None:
        if sys.stderr.isatty():
            print(f"\r{done.chunks + done.small + done.segments:,} pieces\033[K", end="", file=sys.stderr, flush=True)

    done = undo(database, tell)
    print(
        f"{done.chunks} chunks, {done.small} small contents and {done.segments} segments of manifests are stored "
        f"again: {sizes.show(done.bytes)}"
    )
    print("what still no version needs goes into quarantine once more when prune looks the next time")


def _print_done(done: Pruned, database: Database) -> None:
    gone = {"chunk": done.chunks, "small": done.small, "segment": done.segments}
    print(f"forgotten: {', '.join(f'{gone[what]} {name}' for what, name in _NAMES.items())}")
    if done.released:
        print(f"{done.released} of them from before have left the quarantine")
    if done.repacked:
        print(f"{done.repacked} packs were written anew, for which {sizes.show(done.copied)} were copied")
    print(f"freed: {done.blobs} packs, {sizes.show(done.bytes)}")
    if done.waiting:
        print(f"{done.waiting} packs stay a few minutes more, since somebody may still have a URL of them")
    if done.failed:
        print(f"{done.failed} packs could not be removed, and will be tried again")
    with database.read() as session:
        if garbage.exists(session):
            print("uploads are under way, or ended a moment ago; what they left is looked at later")


def _print_plan(planned: Plan, policy: Policy) -> None:
    if not planned.has_reason:
        print("nothing was deleted and no upload broke off since prune looked the last time")
    for what, name in _NAMES.items():
        print(f"to be forgotten: {_show_amount(planned.needless.get(what, Amount(0, 0)), name)}")
    held = planned.quarantine
    if held.rows:
        since = moments.show(held.since)
        print(f"in quarantine: {_show_amount(Amount(held.rows, held.bytes), 'pieces')}, the oldest since {since}")
    print(f"to be removed: {_show_amount(_sum(planned.empty, planned.dropped), 'packs')}")
    heavy = _show_amount(planned.heavy, "packs")
    print(f"to be written anew: {heavy}, of which {sizes.show(planned.copied)} are needed")
    print(f"to be merged: {_show_amount(planned.small, 'small packs')}")
    if policy.quarantine_s and planned.needless:
        print(f"what is forgotten stays in quarantine for {policy.quarantine_s / 3600:g} hours, and its packs with it")
    if planned.under_way:
        print(f"{planned.under_way} uploads are under way, or broke off a moment ago: what they name stays")
    for note in planned.leftovers:
        print(f"note: {note}")


def _sum(one: Amount, other: Amount) -> Amount:
    return Amount(one.number + other.number, one.bytes + other.bytes)


def _show_amount(amount: Amount, name: str) -> str:
    return f"{amount.number} {name}, {sizes.show(amount.bytes)}"


def _show(progress: Progress) -> None:
    print(f"\r{progress}\033[K", end="", file=sys.stderr, flush=True)

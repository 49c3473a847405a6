"""``holdfast scrub`` and ``holdfast repair``."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance import moments, sizes
from appliance.chunks import findings
from appliance.cli.context import Context, print_table
from appliance.db.database import Database
from appliance.stores import open_store
from appliance.upkeep import scrub
from appliance.upkeep.repair import repair
from appliance.upkeep.scrub_status import Status, status

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# So often a line tells how far it is where nobody watches; on a terminal it is always the same line.
_EVERY_S = 30.0


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    command = commands.add_parser(
        "scrub", parents=[common], help="read and verify every stored byte; the server does that by itself, slowly"
    )
    command.add_argument("action", nargs="?", choices=("status",), help="only tell what is verified, and since when")
    command.add_argument("--now", action="store_true", help="everything at once; an interrupted run goes on")
    command.add_argument("--list", action="store_true", help="status: also each finding that is open")
    command.set_defaults(run=_scrub, parser=command)
    command = commands.add_parser("repair", parents=[common], help="put right what scrub found, as far as it can be")
    command.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    command.set_defaults(run=_repair)


def _scrub(context: Context, options: argparse.Namespace) -> int:
    if options.now == bool(options.action):
        options.parser.error("say --now, or status")
    database, backend = open_store(context.settings)
    try:
        if options.now:
            watch = _Watch()
            scrub.everything(database, backend, tell=watch.tell)
            watch.end()
        found = status(database)
        print(_line(found))
        if found.damaged and (options.now or options.list):
            _print_findings(database)
    finally:
        database.close()
    return 1 if found.damaged else 0


def _repair(context: Context, options: argparse.Namespace) -> int:
    database, backend = open_store(context.settings)
    try:
        outcome = repair(database, backend, acts=not options.dry_run)
    finally:
        database.close()
    done = outcome.done
    would = "would be " if options.dry_run else ""
    print(f"{done.rows} rows of chunks {would}rebuilt from the packs")
    print(f"{done.intact} findings {would}closed, since they are intact again")
    print(f"{done.found} {would}taken from another place")
    print(f"{done.salvaged} packs {would}emptied of what is intact in them, since their index is not")
    print(f"{done.forgotten} {would}forgotten, since no version needs them")
    print(f"{len(outcome.lost)} lost, unless the same content is uploaded again")
    if outcome.sufferers:
        print_table(("USER", "DAMAGED FILE", ""), [(each.user, each.path, each.where) for each in outcome.sufferers])
    return 1 if outcome.lost else 0


def _line(found: Status) -> str:
    """The state in one line."""
    return (
        f"all {sizes.show(found.stored_bytes)} verified since {_day(found.verified_since)}, "
        f"{found.damaged} damaged, {found.repaired} repaired"
    )


def _day(moment: int) -> str:
    day = (_EPOCH + timedelta(microseconds=moment)).astimezone()
    year = "" if day.year == datetime.now(UTC).astimezone().year else f" {day.year}"
    return f"{day.day} {day:%B}{year}"


def _print_findings(database: Database) -> None:
    with database.read() as session:
        found = [
            (each.name, each.problem, moments.show(each.found_at), each.found_by) for each in findings.all_open(session)
        ]
    print_table(("DAMAGED", "PROBLEM", "FOUND", "BY"), found)


class _Watch:
    """Tells how far it is, and how fast."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told_at = self._began
        self._shows = sys.stderr.isatty()

    def tell(self, done: int, whole: int) -> None:
        now = time.monotonic()
        rate = int(done / max(now - self._began, 0.001))
        text = f"{sizes.show(done)} of {sizes.show(whole)} verified, {sizes.show(rate)}/s"
        if self._shows:
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
        elif now - self._told_at > _EVERY_S:
            self._told_at = now
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Begin a line of its own."""
        if self._shows:
            print(file=sys.stderr)

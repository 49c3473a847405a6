"""``holdfast backup``, ``check-backup`` and ``restore-backup``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance import moments, sizes
from appliance.backup import examine, restore, take
from appliance.backup.snapshot import Snapshot
from appliance.cli.context import Context, print_table, visible
from appliance.config import Settings
from appliance.errors import BackupRefused, ConfigError
from appliance.sealing.opening import open_blobs
from appliance.serve.folder import hold_folder
from appliance.stores import blaming, open_store
from appliance.upkeep.check_report import Progress

_MOST_KEPT = 10_000


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    of = argparse.ArgumentParser(add_help=False, parents=[common])
    of.add_argument("folder", metavar="DIR", type=Path, help="the backup folder")
    of.add_argument("--json", action="store_true", help="tell the result as JSON")
    backup = commands.add_parser(
        "backup", parents=[of], help="copy the store into DIR, beside the running server; again: what is new"
    )
    backup.add_argument(
        "--keep", metavar="N", type=_count, default=take.KEPT, help=f"snapshots that stay in DIR ({take.KEPT})"
    )
    backup.add_argument(
        "--verify", action="store_true", help="also read what is in DIR already, and copy anew what is damaged there"
    )
    backup.set_defaults(run=_backup)
    check = commands.add_parser("check-backup", parents=[of], help="list what is in DIR, and read every byte of it")
    check.set_defaults(run=_check)
    back = commands.add_parser(
        "restore-backup", parents=[of], help="make a store of a backup, in a data folder that is empty"
    )
    back.add_argument("--snapshot", metavar="N", type=_count, help="which one (the last)")
    back.add_argument("--accept-losses", action="store_true", help="also if a part of the backup is damaged")
    back.set_defaults(run=_restore)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MOST_KEPT:
        raise ArgumentTypeError(f"{text[:40]!r} is no number from 1 to {_MOST_KEPT}")
    return int(text)


def _backup(context: Context, options: argparse.Namespace) -> int:
    data = context.settings.data
    _require_apart(options.folder, data)
    began = time.monotonic()
    database, backend = open_store(context.settings)
    try:
        done = take.take(
            database,
            backend,
            options.folder,
            scratch=data / "partial",
            keep=options.keep,
            verify=options.verify,
            progress=Shown(),
        )
    finally:
        database.close()
    snapshot = done.snapshot
    if options.json:
        told = {
            **_summary(snapshot),
            "copied_blobs": done.copied_blobs,
            "copied_bytes": done.copied_bytes,
            "removed_bytes": done.removed_bytes,
            "snapshots": done.snapshots,
            "seconds": round(time.monotonic() - began, 3),
            "healed": done.healed,
            "problems": done.problems,
        }
        print(json.dumps(told, indent=1))
        return 1 if done.problems else 0
    for each in done.healed:
        print(visible(f"copied anew: {each}"))
    _tell_problems(done.problems)
    whole = sizes.show(snapshot.pack_bytes + snapshot.row_bytes)
    print(
        f"snapshot {snapshot.number} of {moments.show(snapshot.taken_at)}: {whole}, of which "
        f"{sizes.show(done.copied_bytes)} were copied; in {visible(str(options.folder))}: {done.snapshots} snapshots"
    )
    return 1 if done.problems else 0


def _check(context: Context, options: argparse.Namespace) -> int:
    found = examine.examine(options.folder, progress=Shown())
    if options.json:
        told = {
            "snapshots": [_summary(each) for each in found.snapshots],
            "bytes_read": found.bytes_read,
            "problems": found.problems,
            "notes": found.notes,
        }
        print(json.dumps(told, indent=1))
        return 1 if found.problems else 0
    print_table(
        ("SNAPSHOT", "TAKEN", "BYTES", "PACKS", "PROGRAM", "SCHEMA", "INCARNATION"),
        [
            (
                each.number,
                moments.show(each.taken_at),
                each.pack_bytes + each.row_bytes,
                each.packs,
                each.program,
                each.revision,
                each.incarnation,
            )
            for each in found.snapshots
        ],
    )
    _tell_problems(found.problems)
    for note in found.notes:
        print(f"note: {note}")
    read = f"{sizes.show(found.bytes_read)} were read"
    print(f"{len(found.problems)} problems; {read}" if found.problems else f"clean; {read}")
    return 1 if found.problems else 0


def _require_embedded(settings: Settings) -> None:
    """A backup becomes a store of a folder."""
    for setting in ("database_url", "blobs_url"):
        if getattr(settings, setting) is not None:
            raise ConfigError(
                setting=setting,
                problem="a backup is restored into a data folder alone; unset this, restore, then move the store with "
                "`holdfast migrate`",
            )


def _restore(context: Context, options: argparse.Namespace) -> int:
    data = context.settings.data
    _require_embedded(context.settings)
    _require_apart(options.folder, data)
    claim = hold_folder(data)
    try:
        with blaming("data", str(data), data):
            done = restore.restore(
                options.folder,
                data,
                number=options.snapshot,
                with_losses=options.accept_losses,
                progress=Shown(),
                seal=lambda backend, store_id, makes: open_blobs(context.settings, backend, store_id, makes=makes),
            )
    finally:
        os.close(claim)
    if options.json:
        told = {
            **_summary(done.snapshot),
            "new_incarnation": done.incarnation,
            "copied_blobs": done.copied,
            "copied_bytes": done.copied_bytes,
            "blobs_that_were_there": done.stayed,
            "newer_blobs": done.newer,
            "newer_bytes": done.newer_bytes,
            "problems": done.problems,
        }
        print(json.dumps(told, indent=1))
        return 1 if done.problems else 0
    _tell_problems(done.problems)
    when = moments.show(done.snapshot.taken_at)
    print(f"{visible(str(data))} is the store as it was at {when} (snapshot {done.snapshot.number})")
    if done.newer:
        print(
            f"note: {done.newer} blobs, {sizes.show(done.newer_bytes)}, are newer than that; they are kept, "
            "and no file names them"
        )
    print("note: passwords and app passwords are those of then; what was revoked since works again; tokens are gone")
    print("note: `holdfast audit verify` needs the audit key of then, which no backup holds (as a rule: audit.key)")
    if done.problems:
        print("note: `holdfast check --read-data` tells which versions of which files are concerned")
    return 1 if done.problems else 0


def _tell_problems(problems: Sequence[str]) -> None:
    for each in problems:
        print(visible(f"problem: {each}"))


def _summary(snapshot: Snapshot) -> dict[str, object]:
    return {
        "snapshot": snapshot.number,
        "store": snapshot.store_id,
        "incarnation": snapshot.incarnation,
        "taken_at": moments.show(snapshot.taken_at, exact=True),
        "program": snapshot.program,
        "revision": snapshot.revision,
        "trees": [tree._asdict() for tree in snapshot.trees],
        "packs": snapshot.packs,
        "bytes": snapshot.pack_bytes + snapshot.row_bytes,
    }


def _require_apart(backup: Path, data: Path) -> None:
    """One within the other would be taken for a part of it."""
    one, other = backup.resolve(), data.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise BackupRefused(folder=str(backup), reason="and the data folder lie in each other; choose another one")


class Shown:
    """How far it is: one line that changes at a terminal, else a line now and then."""

    _EVERY_S = 10.0

    def __init__(self) -> None:
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._step = ""
        self._began = self._told_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.step != self._step:
            self._step, self._began = progress.step, now
        if self._is_terminal:
            print(f"\r{self._line(progress, now)}\033[K", end="", file=sys.stderr, flush=True)
        elif now - self._told_at > self._EVERY_S:
            self._told_at = now
            print(self._line(progress, now), file=sys.stderr, flush=True)

    def _line(self, progress: Progress, now: float) -> str:
        if progress.unit != "bytes":
            return str(progress)
        percent = 100 * min(progress.done, progress.total) // progress.total if progress.total else 100
        rate = progress.done / max(now - self._began, 0.001)
        left = f", {(progress.total - progress.done) / rate:,.0f} s left" if 0 < progress.done < progress.total else ""
        whole = f"{sizes.show(progress.done)} of {sizes.show(progress.total)} ({percent} %)"
        return f"{progress.step}: {whole}, {sizes.show(int(rate))}/s{left}"

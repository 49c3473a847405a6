"""``holdfast key``: the master key and the data keys of sealed blobs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from appliance import moments
from appliance.backends.base import Backend
from appliance.chunks import identity
from appliance.cli.context import Context, print_table, visible
from appliance.config import PREFIX
from appliance.db.database import Database
from appliance.sealing import master as masters
from appliance.sealing import opening
from appliance.sealing.changing import KeyChange
from appliance.stores import blaming_blobs, open_unopened


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("key", help="keys of encrypted blobs").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    command = group.add_parser("make", parents=[common], help="write a new master key into a new file")
    command.add_argument("file", metavar="FILE", type=Path, help="where; nothing is replaced")
    command.set_defaults(run=_make)
    command = group.add_parser("list", parents=[common], help="list the data keys; the master key is not needed")
    command.set_defaults(run=_list)
    command = group.add_parser("backup", parents=[common], help="tell what has to be kept apart from the store")
    command.set_defaults(run=_backup)
    command = group.add_parser(
        "rotate", parents=[common], help="use a new data key from now on; what is stored already stays as it is"
    )
    command.set_defaults(run=_rotate)
    command = group.add_parser(
        "rewrap", parents=[common], help="let another master key open all data keys; blobs stay as they are"
    )
    command.add_argument("--new-master", metavar="FILE", type=Path, required=True, help="made with `holdfast key make`")
    command.set_defaults(run=_rewrap)
    command = group.add_parser(
        "repair", parents=[common], help="write the blob that keeps the data keys anew, from the database"
    )
    command.set_defaults(run=_repair)


class _Store(NamedTuple):
    """A store that is open, and in which sealed blobs stay sealed."""

    database: Database
    backend: Backend
    id: str


@contextmanager
def _opened(context: Context) -> Iterator[_Store]:
    database, backend = open_unopened(context.settings)
    try:
        with blaming_blobs(context.settings):
            who = identity.recognize(database, backend)
        yield _Store(database, backend, who.store_id)
    finally:
        database.close()


def _change_of(context: Context, store: _Store) -> KeyChange:
    return KeyChange(store.database, store.backend, store.id, opening.master_of(context.settings))


def _make(context: Context, options: argparse.Namespace) -> int:
    made = masters.make_file(options.file)
    print(f"{visible(str(options.file))} holds the new master key {made.fingerprint}")
    return 0


def _list(context: Context, options: argparse.Namespace) -> int:
    with _opened(context) as store:
        kept = opening.load(store.database, store.backend, store.id)
    print_table(
        ("DATA KEY", "MADE", "USED UNTIL", "MASTER KEY"),
        [
            (
                each.name,
                moments.show(each.created_at),
                "now" if each.retired_at is None else moments.show(each.retired_at),
                " and ".join(sorted({other.master for other in kept.all if other.id == each.id})),
            )
            for each in sorted({one.id: one for one in kept.all}.values(), key=lambda one: (one.created_at, one.id))
        ],
    )
    kept.require_whole()
    return 0


def _backup(context: Context, options: argparse.Namespace) -> int:
    with _opened(context) as store:
        kept = opening.load(store.database, store.backend, store.id)
        kept.require_whole()
        master = opening.master_of(context.settings)
        keys = opening.unwrap_all(kept, master, store.id)
    if master is None:
        print("Nothing is encrypted, and there is no master key.")
        return 0
    print(f"""\
Holdfast, master key

  store        {store.id}
  fingerprint  {master.fingerprint}
  master key   {master.text}

Keep these lines where neither the server nor its blobs are: printed, or in a password manager. Whoever has this key
and the blobs can read the files; without it nobody can, and nothing brings it back. It opens {len(keys)} data keys.

To use it: write the line that begins with HFMK into a file that only the server can read, and name that with
master_key_file; or set {PREFIX}MASTER_KEY. The blob "keys" beside the other blobs holds the rest.
What `holdfast backup` writes is not encrypted, and does not need this key.""")
    return 0


def _rotate(context: Context, options: argparse.Namespace) -> int:
    with _opened(context) as store:
        made = _change_of(context, store).rotate()
    print(f"what is stored from now on is encrypted with the data key {made}; running servers know within 30 seconds")
    return 0


def _rewrap(context: Context, options: argparse.Namespace) -> int:
    new = masters.read_file(options.new_master, setting="--new-master")
    with _opened(context) as store:
        count = _change_of(context, store).rewrap(new)
    print(f"""\
{count} data keys are opened by the master key {new.fingerprint} now, and by no other one.
Set master_key_file to {visible(str(options.new_master.absolute()))} (or {PREFIX}MASTER_KEY), restart every server of
this store, and run `holdfast key backup`. Copies of the blob "keys" from before are opened by the one before.""")
    return 0


def _repair(context: Context, options: argparse.Namespace) -> int:
    with _opened(context) as store:
        count = _change_of(context, store).repair()
    print(f'the blob "keys" holds {count} data keys, as the database does')
    return 0

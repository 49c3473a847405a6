"""``holdfast migrate``."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from typing import Any

from appliance import sizes
from appliance.cli.backup import Shown
from appliance.cli.context import Context, visible
from appliance.config import Settings, blob_place, database_place
from appliance.db import location, revisions
from appliance.db.location import Location
from appliance.errors import BackendError, ConfigError, StorageFull, Unavailable
from appliance.moving import database as moving
from appliance.moving.blobs import BlobsMoved, abort_blobs, move_blobs
from appliance.moving.target import PostgresqlTarget, SqliteTarget, Target
from appliance.stores import (
    blaming_blobs,
    blaming_database,
    configured_database,
    open_blobs,
    open_database,
    puts_synced,
    require_writable,
)
from appliance.stores.databases import PATIENT_S, existing_database
from appliance.stores.places import place_of, url_of
from appliance.upkeep import durable


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("migrate", help="move a part of the store to another place")
    actions = group.add_subparsers(metavar="WHAT", required=True)
    database = actions.add_parser(
        "database", parents=[common], help="from SQLite to PostgreSQL or back, beside the running server"
    )
    database.add_argument("--to", metavar="URL", help="postgresql://USER@HOST/NAME, or sqlite:////PATH/holdfast.db")
    database.add_argument(
        "--abort", action="store_true", help="end a move that broke off: the store stays where it was"
    )
    database.add_argument("--json", action="store_true", help="tell the result as JSON")
    database.set_defaults(run=_database)
    blobs = actions.add_parser(
        "blobs", parents=[common], help="from a folder to S3, back, or to another S3 service, beside the running server"
    )
    blobs.add_argument(
        "--to",
        metavar="URL",
        help="s3://BUCKET/PREFIX?endpoint=…, or file:///PATH; may be left out to go on with a move",
    )
    blobs.add_argument("--abort", action="store_true", help="end a move that broke off: the blobs go back")
    blobs.add_argument("--json", action="store_true", help="tell the result as JSON")
    blobs.set_defaults(run=_blobs)


def _database(context: Context, options: argparse.Namespace) -> int:
    settings = context.settings
    with blaming_database(settings):
        path = settings.database_path
        if path is not None and not path.exists():
            raise ConfigError(setting="data", problem=f"{settings.data} holds no store; nothing can move from there")
        source = configured_database(settings)
    with closing(source):
        with blaming_database(settings):
            if revisions.revision_of(source) != revisions.head():
                raise ConfigError(
                    setting="database_url", problem="the database is older than this program; start the server once"
                )
            found = location.read(source)
            moved_to = "" if found is None else found.moved_to
        to = options.to or (moved_to if options.abort else "")
        target = _target(to) if to else None
        if options.abort:
            print(moving.abort(source, target))
            return 0
        if target is None:
            raise ConfigError(setting="--to", problem="where to? postgresql://USER@HOST/NAME, or sqlite:////PATH")
        _require_other_kind(target, is_file=path is not None)
        done = moving.move_database(source, target, progress=Shown())
    if not puts_synced(settings):
        # What was answered before it was durable is looked after only at the old place.
        with closing(open_database(settings)) as moved, blaming_blobs(settings):
            durable.sync_packs(moved, open_blobs(settings, moved))
    if options.json:
        print(json.dumps({"to": target.shown, **done._asdict()}, indent=1))
        return 0
    if done.digest:
        print(
            f"{done.rows:,} rows were moved in {done.seconds:.0f} s, and are the same on both sides "
            f"(digest {done.digest}); nothing could be written for {done.frozen_s:.1f} s"
        )
    print(visible(f"the database is at {target.shown} now: set database_url to it"))
    return 0


def _blobs(context: Context, options: argparse.Namespace) -> int:
    settings = context.settings
    to = _blobs_target(settings, options.to) if options.to else ""
    with blaming_database(settings):
        database = existing_database(settings, True, PATIENT_S)
    with closing(database):
        with blaming_database(settings):
            require_writable(settings, database)
            now = location.read(database) or Location()
        if options.abort:
            print(abort_blobs(settings, database, progress=Shown()))
            return 0
        if not to and not now.state:
            raise ConfigError(setting="--to", problem="where to? s3://BUCKET/PREFIX?endpoint=…, or file:///PATH")
        try:
            done = move_blobs(settings, database, to, progress=Shown())
        except (BackendError, StorageFull, Unavailable) as error:
            error.add_note("what was copied so far stays; run the same command again to go on, or with --abort")
            raise
    _tell_moved(done, options)
    return 0


def _blobs_target(settings: Settings, text: str) -> str:
    try:
        url = url_of(settings, blob_place(text))
        place_of(settings, url)
    except ConfigError as error:
        raise ConfigError(setting="--to", problem=error.problem) from error
    return url


def _tell_moved(done: BlobsMoved, options: argparse.Namespace) -> None:
    blobs, size, plain = done.copied
    if options.json:
        told = {"to": done.to, "blobs": blobs, "bytes": size, "not_sealed": plain, "seconds": done.seconds}
        print(json.dumps(told, indent=1))
        return
    if blobs:
        print(
            f"{blobs:,} blobs ({sizes.show(size)}) were moved in {done.seconds:.0f} s; each was read back and compared"
        )
    if plain and done.to.startswith("s3:"):
        print(f"{plain:,} of them are not sealed, as they were; what is stored from now on is as `seal` says")
    if done.left:
        print(f"{done.left:,} things at the old place are not Holdfast's, and stay there")
    print(visible(f"the blobs are at {done.to} now: set blobs_url to it"))


def _target(text: str) -> Target:
    try:
        place = database_place(text)
    except ConfigError as error:
        raise ConfigError(setting="--to", problem=error.problem) from error
    if place.path is None:
        return PostgresqlTarget(place.url, place.shown)
    return SqliteTarget(f"sqlite:///{place.path}", place.path)


def _require_other_kind(target: Target, *, is_file: bool) -> None:
    if isinstance(target, SqliteTarget) == is_file:
        raise ConfigError(
            setting="--to", problem="the database moves from SQLite to PostgreSQL, or back; both are of one kind"
        )

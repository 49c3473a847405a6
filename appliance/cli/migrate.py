"""``holdfast migrate``."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from typing import Any

from appliance.cli.backup import Shown
from appliance.cli.context import Context, visible
from appliance.config import database_place
from appliance.db import location, migrate
from appliance.errors import ConfigError
from appliance.moving import database as moving
from appliance.moving.target import PostgresqlTarget, SqliteTarget, Target
from appliance.stores import (
    blaming_blobs,
    blaming_database,
    configured_database,
    open_backend,
    open_database,
    puts_synced,
)
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


def _database(context: Context, options: argparse.Namespace) -> int:
    settings = context.settings
    with blaming_database(settings):
        path = settings.database_path
        if path is not None and not path.exists():
            raise ConfigError(setting="data", problem=f"{settings.data} holds no store; nothing can move from there")
        source = configured_database(settings)
    with closing(source):
        with blaming_database(settings):
            if migrate.revision_of(source) != migrate.head_revision():
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
            durable.sync_packs(moved, open_backend(settings))
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

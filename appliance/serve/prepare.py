"""Before the first worker: the database is migrated, the store made or recognized, what an unclean stop left put right.

A store on one machine (SQLite) is this server's alone, so whoever held anything in it is dead. One in a database server
has other nodes that go on: each start does its part alone, and leaves to time what only time can tell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, cast

from appliance import faults
from appliance.accounts import passwords, users
from appliance.audit import keys as audit_keys
from appliance.backends.base import Backend
from appliance.chunks import identity
from appliance.config import Settings
from appliance.db import revisions
from appliance.db.database import Database
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import BadRequest, ConfigError
from appliance.jobs import leases
from appliance.stores import (
    blaming_blobs,
    blaming_database,
    establish_sealing,
    open_blobs,
    open_database,
    require_named,
    require_writable,
    reserve_of,
)
from appliance.stores.places import Places
from appliance.upkeep import durable, sweep

if TYPE_CHECKING:
    from appliance.db.postgresql import PostgresqlDatabase

_log = logging.getLogger(__name__)


def prepare_store(settings: Settings, *, tell: Callable[[str], None]) -> None:
    """Make or migrate the store; the first user is made here. The data folder is claimed (``hold_folder``).

    It may be killed at any point: the next call goes on from there.

    Raises:
        Fatal: nothing is lost, and something has to be put right first.
    """
    with blaming_blobs(settings):
        # Before the database is opened: on a full disk this may be the room that it needs.
        Places(settings, make=True).at("").clear_partial(of_living=not settings.is_shared)
    with blaming_database(settings):
        reserve_of(settings).make_room_to_start()
        faults.point("start.cleared")
        database = open_database(settings)
    with closing(database):
        with blaming_database(settings):
            faults.point("start.opened")
            require_writable(settings, database)
            now = require_named(settings, database)
        with blaming_blobs(settings, now):
            # Synced whatever the durability: what is noted here has to be there after a power cut.
            backend = open_blobs(settings, database, make=True)
            # Others of this machine may be at a store that is shared.
            backend.clear_partial(of_living=not settings.is_shared)
            backend.probe()
        if isinstance(database, SqliteDatabase):
            _prepare_alone(settings, database, backend, tell)
        else:
            _prepare_shared(settings, cast("PostgresqlDatabase", database), backend, tell)
        audit_keys.establish(settings, tell)
        reserve_of(settings).renew()


def _prepare_shared(
    settings: Settings, database: PostgresqlDatabase, backend: Backend, tell: Callable[[str], None]
) -> None:
    """What is held in it may be another node's: dead ones are found out by their leases, in a minute or two."""
    with blaming_database(settings), database.exclusive():
        if _has_to_migrate(database):
            from appliance.db import migrate  # noqa: PLC0415 - as below

            migrate.migrate_postgresql(database)
        with blaming_blobs(settings):
            who = identity.establish(database, backend)
            faults.point("start.identified")
            establish_sealing(settings, database, backend, who.store_id, tell=tell)
        _add_first_user(settings, database, tell)


def _prepare_alone(settings: Settings, database: SqliteDatabase, backend: Backend, tell: Callable[[str], None]) -> None:
    copy = None
    with blaming_database(settings):
        if _has_to_migrate(database):
            # Most starts have nothing to migrate, and save half of their time by not loading what would.
            from appliance.db import migrate  # noqa: PLC0415

            copy = migrate.migrate_sqlite(database, settings.data / "copies")
    if copy is not None:
        tell(f"The database was migrated; the one before is kept as {copy}")
    with blaming_database(settings), blaming_blobs(settings):
        recovered = _take_over(settings, database, backend, tell)
    if recovered is not None and (recovered.packs or recovered.files or recovered.commits_lost):
        tell(f"The last stop was unclean: {recovered.packs} packs were damaged, {recovered.files} files set back")
    with blaming_database(settings):
        durable.begin_serving(database, fast=settings.durability == "fast")
        faults.point("start.serving")
    _add_first_user(settings, database, tell)


def _has_to_migrate(database: Database) -> bool:
    return revisions.revision_of(database) != revisions.head()


def _take_over(
    settings: Settings, database: Database, backend: Backend, tell: Callable[[str], None]
) -> durable.Recovered | None:
    """Make the store if there is none, and put right what an unclean stop left."""
    # Nobody else can hold a lease on this folder: what was alive died with the server before.
    sweep.declare_all_dead(database)
    faults.point("start.writers-dead")
    leases.release_all(database)
    faults.point("start.leases-free")
    who = identity.establish(database, backend)
    faults.point("start.identified")
    backend = establish_sealing(settings, database, backend, who.store_id, tell=tell)
    recovered = durable.recover(database, backend)
    faults.point("start.recovered")
    # Once more: a recovery may have changed the incarnation, which the blob repeats.
    identity.establish(database, backend)
    return recovered


def finish_store(settings: Settings) -> None:
    """Note that every process has stopped in order. Where that fails, the next start recovers as after a crash."""
    if settings.is_shared:
        return
    try:
        with blaming_database(settings), closing(open_database(settings)) as database:
            with blaming_blobs(settings):
                durable.end_serving(database, open_blobs(settings, database))
            faults.point("stop.noted")
    except ConfigError as error:
        _log.warning("the orderly stop could not be noted, the next start looks at everything: %s", error)


def _add_first_user(settings: Settings, database: Database, tell: Callable[[str], None]) -> None:
    with blaming_database(settings):
        if users.any_exist(database):
            return
    password = settings.admin_password or passwords.generate()
    if settings.admin_password is None:
        # Told before it is set: a stop in between must not leave a password that nobody has seen.
        tell(f"Administrator: user {settings.admin_user}, password {password}\n(shown this once; note it now)")
    try:
        with blaming_database(settings):
            faults.point("start.admin")
            users.add(database, settings.admin_user, password, role="admin", quota_bytes=settings.default_quota or None)
    except BadRequest as error:
        setting = "admin_password" if "password" in error.reason else "admin_user"
        raise ConfigError(setting=setting, problem=error.reason) from error

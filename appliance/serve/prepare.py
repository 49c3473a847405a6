"""Before the first worker: the data folder is made and held, the database migrated, an unclean stop recovered from."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from appliance.accounts import passwords, users
from appliance.app import open_backend, open_database
from appliance.chunks import identity
from appliance.config import Settings
from appliance.db import migrate
from appliance.errors import BadRequest, ConfigError, DataFolderBusy
from appliance.upkeep import durable, sweep

_log = logging.getLogger(__name__)


def hold_folder(folder: Path) -> int:
    """Make the data folder if it is missing and claim it for this server and its children.

    Returns the descriptor that holds the claim; it ends with the last process that has it.

    Raises:
        ConfigError: the folder cannot be made or written.
        DataFolderBusy: another server holds it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            setting="data", problem=f"{folder} cannot be used ({error.strerror}); choose a folder that can be written"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DataFolderBusy(folder=str(folder)) from error
    return descriptor


def listen(settings: Settings) -> socket.socket:
    """The socket that all workers accept from.

    Bound once, without SO_REUSEPORT: with it a second server would silently share the port.

    Raises:
        ConfigError: the address is not ours, or taken.
    """
    address = settings.listen
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(1024)
    except OSError as error:
        raise ConfigError(
            setting="listen", problem=f"{address} cannot be used ({error.strerror}); is another server running there?"
        ) from error
    return listener


def prepare_store(settings: Settings, *, tell: Callable[[str], None]) -> None:
    """Make or migrate the store of a folder that ``hold_folder`` has claimed; the first user is made here."""
    database = open_database(settings)
    try:
        copy = migrate.migrate_sqlite(database, settings.data / "copies")
        if copy is not None:
            tell(f"The database was migrated; the one before is kept as {copy}")
        backend = open_backend(settings)
        # Nobody else can hold a lease on this folder: what was alive died with the server before.
        sweep.declare_all_dead(database)
        backend.clear_partial(of_living=True)
        identity.establish(database, backend)
        recovered = durable.recover(database, backend)
        # Once more: a recovery may have changed the incarnation, which the blob repeats.
        identity.establish(database, backend)
        if recovered is not None and (recovered.packs or recovered.files or recovered.commits_lost):
            tell(f"The last stop was unclean: {recovered.packs} packs were damaged, {recovered.files} files set back")
        durable.begin_serving(database, fast=settings.durability == "fast")
        if not users.any_exist(database):
            _add_administrator(settings, tell)
    finally:
        database.close()


def finish_store(settings: Settings) -> None:
    """Note that every process has stopped in order."""
    database = open_database(settings)
    try:
        durable.end_serving(database, open_backend(settings))
    finally:
        database.close()


def _add_administrator(settings: Settings, tell: Callable[[str], None]) -> None:
    password = settings.admin_password or passwords.generate()
    database = open_database(settings)
    try:
        users.add(database, settings.admin_user, password, role="admin", quota_bytes=settings.default_quota or None)
    except BadRequest as error:
        setting = "admin_password" if "password" in error.reason else "admin_user"
        raise ConfigError(setting=setting, problem=error.reason) from error
    finally:
        database.close()
    if settings.admin_password is None:
        tell(f"Administrator: user {settings.admin_user}, password {password}\n(shown this once; note it now)")

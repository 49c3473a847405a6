"""Before the first worker: the data folder is made and held, the database migrated, an unclean stop recovered from."""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from appliance import faults
from appliance.accounts import passwords, users
from appliance.app import blaming_data, open_database
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend, sync_folder
from appliance.backends.reserve import Reserve
from appliance.chunks import identity
from appliance.config import Settings
from appliance.db import migrate
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import BadRequest, ConfigError, DataFolderBusy
from appliance.jobs import leases
from appliance.sealing import opening
from appliance.upkeep import durable, sweep

_log = logging.getLogger(__name__)

_CLAIM = "server.lock"
# What may be in a data folder before its first start.
_BEFOREHAND = {"lost+found", _CLAIM, "tls", "master.key"}


def hold_folder(folder: Path) -> int:
    """Make the data folder if it is missing and claim it for this server and its children.

    Returns the descriptor that holds the claim; it ends with the last process that has it.

    Raises:
        ConfigError: the folder cannot be made or written.
        DataFolderBusy: another server holds it.
    """
    try:
        _make_folder(folder)
        faults.point("start.folder")
        descriptor = os.open(folder / _CLAIM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        faults.point("start.claim")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _close_to_others(folder)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DataFolderBusy(folder=str(folder)) from error
    except OSError as error:
        os.close(descriptor)
        raise _unusable(folder, error) from error
    return descriptor


def _make_folder(folder: Path) -> None:
    """Make it if it is missing, and its name durable with all that leads to it and was made here.

    Its own name also if it was there: nobody else may have synced it, least of all a start that was killed.
    """
    there = folder.parent
    while not there.exists() and there != there.parent:
        there = there.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    faults.point("start.folder-made")
    for above in folder.parents:
        with suppress(PermissionError):  # may be written and not read
            sync_folder(above)
        if above == there:
            return


def _close_to_others(folder: Path) -> None:
    found = folder.stat()
    if not stat.S_IMODE(found.st_mode) & 0o077:
        return
    # A folder of other things, named by mistake (/tmp, a home), keeps its mode.
    is_data = not set(os.listdir(folder)) - _BEFOREHAND or (folder / "holdfast.db").exists()
    if found.st_uid == os.geteuid() and is_data:
        try:
            folder.chmod(0o700)
            return
        except OSError:
            pass  # a file system without modes, or mounted with a fixed one
    _log.warning("%s is open to other users of this machine (mode %o)", folder, stat.S_IMODE(found.st_mode))


def _unusable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        setting="data", problem=f"{folder} cannot be used ({error.strerror}); choose a folder that can be written"
    )


def listen(settings: Settings) -> socket.socket:
    """The socket that all workers accept from.

    Bound once, without SO_REUSEPORT: with it a second server would silently share the port.

    Raises:
        ConfigError: the address is not ours, or taken; or others could reach it, and read what is sent there.
    """
    address = settings.listen
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        _require_privacy(settings, str(where[0]))
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        faults.point("start.listen")
        listener.bind(where)
        listener.listen(1024)
    except UnicodeError as error:
        raise ConfigError(setting="listen", problem=f"{address.host} is no name of a host") from error
    except OSError as error:
        raise ConfigError(
            setting="listen", problem=f"{address} cannot be used ({error.strerror}); is another server running there?"
        ) from error
    return listener


def _require_privacy(settings: Settings, host: str) -> None:
    ip = ipaddress.ip_address(host.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or settings.tls_certificate or settings.trusted_proxies or settings.allow_plain_http:
        return
    raise ConfigError(
        setting="listen",
        problem=f"others can reach {settings.listen}, and without TLS their passwords can be read on the way; set "
        "tls_certificate and tls_key (`holdfast tls self-signed` makes both), or trusted_proxies if a proxy with TLS "
        "stands in front, or allow_plain_http: true if nobody else is in that network",
    )


def prepare_store(settings: Settings, *, tell: Callable[[str], None]) -> None:
    """Make or migrate the store of a folder that ``hold_folder`` has claimed; the first user is made here.

    It may be killed at any point: the next call goes on from there.

    Raises:
        Fatal: nothing is lost, and something has to be put right first.
    """
    folder = settings.data
    reserve = Reserve(folder, settings.reserve)
    with blaming_data(folder):
        # Synced whatever the durability: what is noted here has to be there after a power cut.
        backend = DiskBackend(folder, synced=True)
        # Before the database is opened: on a full disk this may be the room that it needs.
        backend.clear_partial(of_living=True)
        reserve.make_room_to_start()
        faults.point("start.cleared")
        database = open_database(settings, synced=True)
    try:
        with blaming_data(folder):
            faults.point("start.opened")
            copy = migrate.migrate_sqlite(database, folder / "copies")
        if copy is not None:
            tell(f"The database was migrated; the one before is kept as {copy}")
        with blaming_data(folder):
            recovered = _take_over(settings, database, backend, tell)
        if recovered is not None and (recovered.packs or recovered.files or recovered.commits_lost):
            tell(f"The last stop was unclean: {recovered.packs} packs were damaged, {recovered.files} files set back")
        with blaming_data(folder):
            durable.begin_serving(database, fast=settings.durability == "fast")
            faults.point("start.serving")
            has_users = users.any_exist(database)
        if not has_users:
            _add_administrator(settings, database, tell)
        reserve.renew()
    finally:
        database.close()


def _take_over(
    settings: Settings, database: SqliteDatabase, backend: Backend, tell: Callable[[str], None]
) -> durable.Recovered | None:
    """Make the store if there is none, and put right what an unclean stop left."""
    # Nobody else can hold a lease on this folder: what was alive died with the server before.
    sweep.declare_all_dead(database)
    faults.point("start.writers-dead")
    leases.release_all(database)
    faults.point("start.leases-free")
    who = identity.establish(database, backend)
    faults.point("start.identified")
    backend = opening.establish(settings, database, backend, who.store_id, tell=tell)
    recovered = durable.recover(database, backend)
    faults.point("start.recovered")
    # Once more: a recovery may have changed the incarnation, which the blob repeats.
    identity.establish(database, backend)
    return recovered


def finish_store(settings: Settings) -> None:
    """Note that every process has stopped in order. Where that fails, the next start recovers as after a crash."""
    try:
        with blaming_data(settings.data):
            database = open_database(settings, synced=True)
            try:
                durable.end_serving(database, DiskBackend(settings.data, synced=True, make=False))
                faults.point("stop.noted")
            finally:
                database.close()
    except ConfigError as error:
        _log.warning("the orderly stop could not be noted, the next start looks at everything: %s", error)


def _add_administrator(settings: Settings, database: SqliteDatabase, tell: Callable[[str], None]) -> None:
    password = settings.admin_password or passwords.generate()
    if settings.admin_password is None:
        # Told before it is set: a stop in between must not leave a password that nobody has seen.
        tell(f"Administrator: user {settings.admin_user}, password {password}\n(shown this once; note it now)")
    try:
        with blaming_data(settings.data):
            faults.point("start.admin")
            users.add(database, settings.admin_user, password, role="admin", quota_bytes=settings.default_quota or None)
    except BadRequest as error:
        setting = "admin_password" if "password" in error.reason else "admin_user"
        raise ConfigError(setting=setting, problem=error.reason) from error

"""The data folder of a node: made at need, claimed by one server at a time, and closed to other users."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

from appliance import faults
from appliance.backends.disk import sync_folder
from appliance.errors import ConfigError, DataFolderBusy

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

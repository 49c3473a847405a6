"""Where the messages of the program go: to the terminal, or to the file of the setting ``log_file``."""

from __future__ import annotations

import contextlib
import errno
import logging
import sys

from appliance.errors import ConfigError
from appliance.logs.file import LogFile
from appliance.logs.secrets import masked

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class _FileHandler(logging.Handler):
    """What the file does not take goes to the terminal; nobody who logs is bothered."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{self.format(record)}\n"
        try:
            self._file.write(text.encode("utf-8", "backslashreplace"))
        except OSError:
            if sys.stderr is not None:
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(text)
                    sys.stderr.flush()


def log_to_stderr(level: str) -> None:
    """Messages from this level on go to the terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


def log_to_file(file: LogFile) -> None:
    """Messages go to this file from here on, also those of processes that are forked later."""
    handler = _FileHandler(file)
    handler.setFormatter(_Formatter(_FORMAT))
    root = logging.getLogger()
    for earlier in list(root.handlers):
        root.removeHandler(earlier)
    root.addHandler(handler)


def require_usable(file: LogFile, setting: str) -> None:
    """A full disk is no reason not to start.

    Raises:
        ConfigError: the file of this setting can be neither opened nor made.
    """
    try:
        file.probe()
    except OSError as error:
        if error.errno not in _FULL:
            raise ConfigError(
                setting=setting,
                problem=f"{file.path} cannot be written ({error.strerror}); name a file in a folder that is there",
            ) from error

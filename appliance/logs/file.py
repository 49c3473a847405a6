"""A log file that several processes append to and rotate. No line is lost, none is mixed with another.

Whoever writes holds the lock (``flock``) of the file itself, and looks under it whether the path still names that file:
it may have been rotated by another process, or by a program like logrotate. Every write looks, so no signal is needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
import time
from pathlib import Path

_MODE = 0o600
# A file that cannot be renamed grows on, and is tried again this much later.
_AGAIN_S = 60.0


class LogFile:
    """Any thread, and any process that was forked since it was made.

    From ``most_bytes`` on (0: never) it becomes ``NAME.1``, that one ``NAME.2``, and so on up to ``kept``; what was the
    last is gone.
    """

    def __init__(self, path: Path, *, most_bytes: int, kept: int) -> None:
        self.path = path
        self._most = most_bytes
        self._kept = kept
        self._mutex = threading.Lock()
        self._descriptor = -1
        self._owner = 0
        self._rotates_after = 0.0

    def probe(self) -> None:
        """Raises ``OSError`` if the file can be neither opened nor made."""
        with self._mutex:
            self._release(self._locked())

    def write(self, lines: bytes) -> None:
        """Append whole lines. Raises ``OSError``; then nothing of them is in the file."""
        with self._mutex:
            descriptor = self._locked()
            try:
                size = _size(descriptor)
                # More than once if others fill the new file before this one has its lock.
                while size is not None and self._is_full(size, len(lines)) and self._rotate():
                    descriptor = self._locked()
                    size = _size(descriptor)
                _append(descriptor, lines, size)
            finally:
                self._release(descriptor)

    def close(self) -> None:
        """It opens again with the next write."""
        with self._mutex:
            self._forget()

    def _locked(self) -> int:
        """The descriptor of the file that the path names now, with its lock."""
        if self._owner != os.getpid():
            # The lock belongs to what was opened, so a forked process needs an open file of its own.
            self._forget()
            self._owner = os.getpid()
        while True:
            if self._descriptor < 0:
                # Not blocking: a pipe without a reader, named as a log, must hold nobody up.
                flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
                self._descriptor = os.open(self.path, flags, _MODE)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            opened = os.fstat(self._descriptor)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self.path), opened):
                    return self._descriptor
            self._forget()

    def _release(self, descriptor: int) -> None:
        if descriptor == self._descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _forget(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_full(self, size: int, more: int) -> bool:
        return 0 < self._most < size + more and size > 0 and time.monotonic() >= self._rotates_after

    def _rotate(self) -> bool:
        """Whether the path is free for a new file. The lock is given back with the old one."""
        names = [self.path, *(Path(f"{self.path}.{number}") for number in range(1, self._kept + 1))]
        try:
            for older, newer in reversed(list(zip(names[1:], names, strict=False))):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(newer, older)
        except OSError:
            self._rotates_after = time.monotonic() + _AGAIN_S
            return False
        self._forget()
        return True


def _size(descriptor: int) -> int | None:
    """None where it is no regular file."""
    found = os.fstat(descriptor)
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _append(descriptor: int, lines: bytes, size: int | None) -> None:
    """``size`` as ``_size`` says."""
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        # Whoever wrote last was killed in its line.
        lines = b"\n" + lines
    try:
        written = os.write(descriptor, lines)
        while written < len(lines):
            written += os.write(descriptor, lines[written:])
    except OSError:
        if size is not None:
            # A full disk takes a part of what it is given.
            os.ftruncate(descriptor, size)
        raise

"""The reserve: room of the data folder's file system that new content may not take, so that deleting, moving and the
database go on when everything else is full.

A half of it is only kept free. The other half is a file, the ballast, which also holds its place against whatever else
fills the file system; it stands there only while that gets full. Who meets a full disk all the same makes it smaller.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from appliance import faults

_log = logging.getLogger(__name__)

LEAST = 262_144
"""Free bytes; with less SQLite cannot begin."""

PLENTY = 16 * 1024**3
"""Free bytes that are enough, whatever part of the file system they are."""

# The ballast, half of what is kept, goes in eighths.
_PORTIONS = 16
# However large the reserve is set: most of a small file system is for content.
_LARGEST_PART = 8
# Missing on some systems; the reserve is only kept free there.
_fallocate = getattr(os, "posix_fallocate", None)


class _Room(NamedTuple):
    """Free bytes of a file system, and how many of them are not for new content."""

    free: int
    kept: int


class Reserve:
    """Of one data folder. Without state: each process has its own, and what is true is asked of the file system."""

    roomy = 64
    """A file system with so many times the reserve has no ballast."""

    def __init__(self, folder: Path, size: int) -> None:
        """``size`` 0: nothing is kept."""
        self._folder = str(folder)
        self._ballast = str(folder / "reserve")
        self._size = size

    def usable(self) -> int | None:
        """Bytes that new content may take; None where nobody can tell. Cheap enough for every request."""
        room = self._measure()
        if room is None:
            return None
        free, kept = room
        if free < kept * self.roomy:
            free += self._held()
        return max(free - kept, 0)

    def is_near(self) -> bool:
        """Whether the file system is full enough for a ballast."""
        room = self._measure()
        return room is not None and room.free + self._held() < room.kept * self.roomy

    def has_less_than(self, percent: int) -> bool:
        """Whether less than a part of the file system is free, and less than ``PLENTY``; the ballast counts as free."""
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return False
        free = found.f_bavail * found.f_frsize + self._held()
        return free < min(found.f_blocks * found.f_frsize * percent // 100, PLENTY)

    def make_room(self, certain: bool) -> bool:
        """Give back an eighth of the ballast; whether there is more room now.

        For who failed, so that it is worth to try again. Without ``certain`` only if there is no room indeed.
        """
        room = self._measure()
        if not certain and (room is None or room.free >= LEAST):
            return False
        return self._release(room.kept // _PORTIONS if room is not None else LEAST)

    def make_room_to_start(self) -> None:
        """Before the database is opened: not everything that a start writes would ask for room by itself.

        Once, and not until so much is free: what is kept for root of a file system is never told as free.
        """
        room = self._measure()
        if room is not None and room.free < 4 * LEAST:
            self._release(min(4 * LEAST - room.free, self._held() // 2))

    def renew(self) -> int:
        """Make the ballast as large as it should be now; returns its bytes. What new content may take stays the same.

        To be called again and again. Where it cannot be made, the reserve is only kept free.
        """
        try:
            faults.point("reserve.renew")
            room = self._measure()
            held = self._held()
            if room is None or not room.kept or room.free + held >= room.kept * self.roomy:
                with suppress(FileNotFoundError):
                    os.unlink(self._ballast)
                return 0
            wanted = room.kept // 2
            if held < wanted and room.free + held >= room.kept:
                self._make(wanted)
        except OSError as error:
            _log.warning("the reserve in %s could not be made: %s", self._folder, error)
        return self._held()

    def _make(self, size: int) -> None:
        if _fallocate is None:
            return
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            faults.point("reserve.make")
            _fallocate(descriptor, 0, size)
        except BaseException:
            # It may have got a part, down to the last free byte.
            with suppress(OSError):
                os.unlink(self._ballast)
            raise
        finally:
            os.close(descriptor)

    def _release(self, size: int) -> bool:
        """In portions: whoever fills the file system from outside takes all that is given back at once, and several
        processes may ask at the same moment.
        """
        held = self._held()
        if not held:
            return False
        left = held - max(size, LEAST)
        left = left if left >= LEAST else 0
        try:
            faults.point("reserve.release")
            descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.ftruncate(descriptor, left)
                # Blocks of a journalling file system can be had again only when it has noted that they are free.
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if not left:
                os.unlink(self._ballast)
        except OSError:
            return False
        _log.warning("%s has no room left; %d bytes of the reserve were given back", self._folder, held - left)
        return True

    def _held(self) -> int:
        """What the ballast really holds: the copy of a data folder may have a hole there."""
        try:
            return os.stat(self._ballast).st_blocks * 512
        except OSError:
            return 0

    def _measure(self) -> _Room | None:
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return None
        if not found.f_blocks:
            # Some file systems do not tell, or have no end.
            return None
        total = found.f_blocks * found.f_frsize
        return _Room(found.f_bavail * found.f_frsize, min(self._size, total // _LARGEST_PART))


def free_bytes(folder: Path) -> int | None:
    """Of the file system, whoever they are for; None where nobody can tell."""
    return Reserve(folder, 0).usable()

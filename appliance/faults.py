"""Fault points: named places at which a test lets the system fail, or kills the process.

``point`` costs a call and nothing else until a hook is set. A point stands where something can fail for real, so what
it raises is what the system, SQLite or Python would raise there. docs/design/faults.md says where each one is, and
how they are armed from outside.
"""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

Kind = Literal["system", "database", "memory"]
"""Who fails: the operating system (OSError), SQLite (sqlite3.OperationalError), or Python (MemoryError)."""

Action = Literal["EIO", "ENOSPC", "kill"]

POINTS: Final[dict[str, Kind]] = {
    # starting
    "start.folder-made": "system",
    "start.folder": "system",
    "start.claim": "system",
    "start.listen": "system",
    "start.cleared": "system",
    "start.opened": "database",
    "migrate.copy": "system",
    "migrate.copied": "system",
    "migrate.upgrade": "database",
    "migrate.upgraded": "database",
    "migrate.done": "system",
    "start.writers-dead": "database",
    "start.leases-free": "database",
    "store.row": "database",
    "store.blob": "system",
    "store.named": "system",
    "start.identified": "system",
    "key.written": "system",
    "key.named": "system",
    "key.made": "system",
    "keys.blob": "system",
    "keys.put": "database",
    "keys.noted": "system",
    "keys.both": "system",
    "recover.verified": "system",
    "recover.copied": "system",
    "recover.repaired": "system",
    "recover.synced": "database",
    "start.recovered": "system",
    "start.serving": "database",
    "start.admin": "database",
    "start.prepared": "system",
    "start.fork": "system",
    "start.announce": "system",
    "worker.begun": "memory",
    "worker.ready": "memory",
    "scheduler.begun": "memory",
    "scheduler.ready": "memory",
    # stopping
    "stop.children": "system",
    "stop.synced": "database",
    "stop.noted": "system",
    # storing
    "writer.registered": "memory",
    "receive.begun": "memory",
    "receive.group": "memory",
    "chunk.cut": "memory",
    "chunk.hash": "memory",
    "chunk.lookup": "database",
    "chunk.renew": "database",
    "chunk.compress": "memory",
    "small.encoded": "memory",
    "pack.begin": "memory",
    "pack.close": "memory",
    "pack.stored": "memory",
    "pack.rows": "memory",
    "receive.done": "memory",
    "rows.small": "database",
    "rows.pack": "database",
    "rows.chunks": "database",
    "rows.segments": "database",
    # uploads in parts
    "upload.part": "database",
    "upload.stored": "memory",
    "upload.seam": "database",
    "upload.joined": "memory",
    "upload.copied": "database",
    "upload.assembled": "database",
    "upload.clearing": "system",
    "checksum.kept": "system",
    # blobs on a disk
    "blob.open": "system",
    "blob.write": "system",
    "blob.sync": "system",
    "blob.closed": "system",
    "blob.folder": "system",
    "blob.folder-made": "system",
    "blob.rename": "system",
    "blob.renamed": "system",
    "blob.read": "system",
    "blob.head": "system",
    "blob.delete": "system",
    "blob.deleted": "system",
    "blob.list": "system",
    "blob.sync-all": "system",
    "partial.list": "system",
    "reserve.renew": "system",
    "reserve.make": "system",
    "reserve.release": "system",
    # committing
    "sql.connect": "database",
    "sql.statement": "database",
    "commit.lock": "system",
    "commit.locked": "memory",
    "commit.begin": "database",
    "commit.begun": "database",
    "commit.work": "database",
    "commit.worked": "database",
    "commit.commit": "database",
    "commit.done": "memory",
    "answer.ready": "memory",
    # reading
    "read.content": "memory",
    "read.batch": "memory",
    # jobs
    "job.begun": "system",
    "job.done": "system",
    "sweep.declared": "system",
    "sweep.cleared": "system",
    "sweep.forgotten": "system",
    "prune.raised": "system",
    "prune.marked": "system",
    "prune.unnamed": "system",
    "prune.counted": "system",
    "prune.forgotten": "system",
    "prune.dropped": "system",
    "prune.removed": "system",
    "prune.released": "system",
    "prune.undone": "system",
    "repack.copied": "system",
    "repack.moved": "system",
    "expire.decided": "system",
    "expire.versions": "system",
    "expire.placements": "system",
    "expire.ghosts": "system",
    "expire.done": "system",
    "sync.synced": "system",
    "audit.read": "system",
    "audit.sealed": "system",
    "audit.expired": "system",
    "scrub.verified": "system",
    "scrub.noted": "system",
    "scrub.rows": "system",
    "repair.rebuilt": "system",
    "repair.copied": "system",
    "repair.moved": "system",
    "repair.salvaged": "system",
    "repair.forgotten": "system",
    # backups
    "backup.fenced": "system",
    "backup.read": "system",
    "backup.copied": "system",
    "backup.published": "system",
    "backup.forgotten": "system",
    "backup.removed": "system",
    "restore.begun": "system",
    "restore.schema": "system",
    "restore.rows": "system",
    "restore.packs": "system",
    "restore.database": "system",
    "restore.named": "system",
    # moving the database
    "move.begun": "system",
    "move.table": "system",
    "move.copied": "system",
    "move.frozen": "system",
    "move.caught-up": "system",
    "move.verified": "system",
    "move.synced": "system",
    "move.arrived": "system",
    "move.moved": "system",
    "move.done": "system",
    "move.taken-back": "system",
    # moving the blobs
    "blobs.marked": "system",
    "blobs.announced": "system",
    "blobs.putting": "system",
    "blobs.copied": "system",
    "blobs.caught-up": "system",
    "blobs.verified": "system",
    "blobs.named": "system",
    "blobs.flipped": "system",
    "blobs.dropped": "system",
    "blobs.done": "system",
}
"""Every point, and who fails there."""

_ERRNO = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
_SQLITE = {
    "EIO": (sqlite3.SQLITE_IOERR, "disk I/O error"),
    "ENOSPC": (sqlite3.SQLITE_FULL, "database or disk is full"),
}
MOST: Final = 60_000
"""The highest number of a passage: the tokens that count them have to fit into a pipe."""

Hook = Callable[[str], None]

_hook: Hook | None = None


def point(name: str) -> None:
    """A place where things can go wrong. Does nothing unless a hook is set."""
    if _hook is not None:
        _hook(name)


class Fault(NamedTuple):
    """What happens at the passage ``number`` (from 1) of the point ``name``; ``*`` is any point."""

    name: str
    number: int
    action: Action

    @classmethod
    def parse(cls, text: str) -> Fault:
        """``NAME:n``, ``NAME:n:ENOSPC`` or ``NAME:n:kill``; without the third part the error is EIO.

        Raises:
            ValueError: it is none, with a clause that says why.
        """
        name, _, rest = text.strip().partition(":")
        number, _, action = rest.partition(":")
        if name != "*" and name not in POINTS:
            raise ValueError(f"there is no fault point {name[:40]!r}")
        if not (number.isascii() and number.isdigit() and len(number) < 9 and 1 <= int(number) <= MOST):
            raise ValueError(f"{number[:20]!r} is no number of a passage, 1 to {MOST}")
        for known in ("EIO", "ENOSPC", "kill"):
            if action == known or (not action and known == "EIO"):
                return cls(name, int(number), known)
        raise ValueError(f"{action[:20]!r} is none of EIO, ENOSPC, kill")


def error_at(name: str, action: Action) -> Exception:
    """What fails at a point, as whoever fails there says it."""
    kind = POINTS[name]
    if kind == "memory":
        return MemoryError(f"fault at {name}")
    if kind == "database":
        code, text = _SQLITE[action]
        error = sqlite3.OperationalError(f"{text} (fault at {name})")
        error.sqlite_errorcode = code
        return error
    return OSError(_ERRNO[action], f"{os.strerror(_ERRNO[action])} (fault at {name})")


class Trap:
    """Lets one passage fail or kill. Passages are counted over this process and all that are forked from it.

    ``fired_at`` is the point where it happened, empty until then, and in every other process.
    """

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.fired_at = ""
        # A token for each passage up to the one that counts. Taking one is atomic, needs no lock that a killed process
        # could keep, and what a process has taken stays taken when it dies.
        self._tokens, writing = os.pipe()
        os.set_blocking(self._tokens, False)
        os.write(writing, b"-" * (fault.number - 1) + b"!")
        os.close(writing)

    def __call__(self, name: str) -> None:
        if self._fault.name not in ("*", name) or os.read(self._tokens, 1) != b"!":
            return
        self.fired_at = name
        if self._fault.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise error_at(name, self._fault.action)

    def close(self) -> None:
        """To be called when nobody passes any more."""
        os.close(self._tokens)


def set_hook(hook: Hook | None) -> None:
    """Call ``hook`` at every point from now on, in this process and those forked from it; None: no more."""
    global _hook  # noqa: PLW0603 (the points are everywhere; nothing cheaper reaches them)
    _hook = hook


def arm(fault: Fault) -> None:
    """Set a trap for the rest of this process's life."""
    set_hook(Trap(fault))


@contextmanager
def hooked(hook: Hook) -> Iterator[None]:
    """The same as ``set_hook``, for a while."""
    set_hook(hook)
    try:
        yield
    finally:
        set_hook(None)

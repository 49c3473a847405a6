"""A backup folder: what lies where in it, and who may write it.

::

    DIR/
      lock                    held by who writes it (alone) or reads it
      partial/                what is still being written
      blobs/
        backup                whose backup this is (JSON); the first thing in a new folder
        packs/WWWWWWWW/…      packs as they are in the store, found whole when they were copied
        spoiled/WWWWWWWW/…    what could be read of packs that were damaged in the store
        rows/HH/SHA256        blocks of rows
        snapshots/NNNNNNNN    a page for each snapshot; what no page needs any more is removed

A blob has its name only when it is whole and durable, so a backup that is cut off leaves nothing but blobs that no page
needs, and the next one finds most of its work done.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from appliance.backends.base import Buffer
from appliance.backends.disk import DiskBackend
from appliance.backup.blocks import Sealed, open_block
from appliance.backup.snapshot import Pack, Piece, Snapshot
from appliance.db.sql import Row
from appliance.errors import BackendError, BackupFailed, BackupRefused, Damaged, StorageFull

_MARK = "backup"
_LOCK = "lock"
_SNAPSHOTS = "snapshots/"
PACKS, SPOILED, ROWS = "packs/", "spoiled/", "rows/"
_FORMAT = 1
_OURS = {"blobs", "partial", _LOCK, "lost+found"}


def row_key(sha256: str) -> str:
    """Of a block."""
    return f"{ROWS}{sha256[:2]}/{sha256}"


class BackupFolder:
    """One that is held; what cannot be done in it is raised as ``BackupFailed``."""

    def __init__(self, path: Path, backend: DiskBackend) -> None:
        self.path = path
        self.backend = backend

    # -- snapshots

    def numbers(self) -> list[int]:
        """Of the snapshots in it, the oldest first."""
        with self.blaming():
            found = [blob.key.removeprefix(_SNAPSHOTS) for blob in self.backend.list(_SNAPSHOTS)]
        return [int(name) for name in found if name.isdigit()]

    def snapshot(self, number: int) -> Snapshot:
        """Its page.

        Raises:
            Damaged: it cannot be read.
        """
        with self.blaming():
            stored = self._get(f"{_SNAPSHOTS}{number:08d}")
        return Snapshot.read(stored)

    def publish(self, snapshot: Snapshot) -> None:
        """From now on it is the last one. Everything that it needs is there."""
        with self.blaming():
            self.backend.put(f"{_SNAPSHOTS}{snapshot.number:08d}", [snapshot.write()])

    def forget(self, number: int) -> None:
        """Remove a page; what it alone needed is another step."""
        with self.blaming():
            self.backend.delete(f"{_SNAPSHOTS}{number:08d}")

    # -- what they consist of

    def rows_of(self, snapshot: Snapshot, table: str) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
        """(column names, rows) of each block.

        Raises:
            Damaged: a block is missing, or not what it was.
        """
        for piece in snapshot.tables.get(table, ()):
            block = open_block(self.sealed(piece))
            yield block.columns.names, block.rows

    def sealed(self, piece: Piece) -> Sealed:
        """A block as it is stored."""
        with self.blaming():
            return Sealed(piece.sha256, self._get(row_key(piece.sha256)))

    def packs_of(self, snapshot: Snapshot) -> list[tuple[int, Pack]]:
        """(row id, pack) of all that it needs."""
        found = []
        for names, rows in self.rows_of(snapshot, "pack"):
            at = [names.index(name) for name in ("id", *Pack._fields)]
            found += [(row[at[0]], Pack(*(row[index] for index in at[1:]))) for row in rows]
        return found

    def keys_of(self, snapshot: Snapshot) -> set[str]:
        """Everything that it needs beside its page."""
        keys = {row_key(piece.sha256) for pieces in snapshot.tables.values() for piece in pieces}
        keys.update(PACKS + pack.name for _, pack in self.packs_of(snapshot))
        keys.update(SPOILED + each.name for each in snapshot.spoiled if each.kept)
        return keys

    def sizes(self, prefix: str) -> dict[str, int]:
        """The blobs whose key begins so."""
        with self.blaming():
            return {blob.key: blob.size for blob in self.backend.list(prefix)}

    def put(self, key: str, data: Buffer) -> None:
        """Store a blob; durable on return."""
        with self.blaming():
            self.backend.put(key, [data])

    def remove_all_but(self, needed: set[str]) -> tuple[int, int]:
        """Remove what no page needs: (blobs, bytes)."""
        blobs = size = 0
        for prefix in (PACKS, SPOILED, ROWS):
            for key, bytes_ in self.sizes(prefix).items():
                if key not in needed:
                    with self.blaming():
                        self.backend.delete(key)
                    blobs, size = blobs + 1, size + bytes_
        return blobs, size

    def _get(self, key: str) -> bytes:
        size = self.backend.head(key)
        if size is None:
            raise Damaged(what=f"{key} in {self.path}")
        return bytes(self.backend.get(key, 0, size))

    def blaming(self) -> AbstractContextManager[None]:
        """The folder's own failures are not those of the store."""
        return _blaming(self.path)


@contextmanager
def written(path: Path, store_id: str) -> Iterator[BackupFolder]:
    """The folder, alone; made if it is not there, and marked as one of this store.

    Raises:
        BackupRefused: it holds something else.
        BackupFailed: it cannot be written.
    """
    with _blaming(path):
        _make(path)
    marked = _mark(path)
    if marked is None:
        _require_empty(path)
    elif marked != store_id:
        raise BackupRefused(folder=str(path), reason=f"is a backup of store {marked}, and this is {store_id}")
    with _held(path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX):
        with _blaming(path):
            folder = BackupFolder(path, DiskBackend(path, synced=True))
            folder.backend.clear_partial(of_living=True)
        if marked is None:
            folder.put(_MARK, json.dumps({"format": _FORMAT, "store": store_id}).encode())
        yield folder


@contextmanager
def read(path: Path) -> Iterator[BackupFolder]:
    """The folder, for reading: it may be on a disk that cannot be written.

    Raises:
        BackupRefused: it is no backup, or one is being written there.
    """
    if _mark(path) is None:
        raise BackupRefused(folder=str(path), reason="is no backup")
    with _held(path, os.O_RDONLY, fcntl.LOCK_SH):
        yield BackupFolder(path, DiskBackend(path, synced=True, make=False))


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    try:
        yield
    except StorageFull as error:
        raise BackupFailed(folder=str(path), problem="has no room left") from error
    except BackendError as error:
        raise BackupFailed(folder=str(path), problem=f"cannot be used ({error.reason}: {error.key})") from error
    except OSError as error:
        raise BackupFailed(folder=str(path), problem=f"cannot be used ({error.strerror or error})") from error


def _make(path: Path) -> None:
    """Not what is above it: a disk that is not mounted would be filled up under its name."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError as error:
        raise BackupRefused(folder=str(path), reason="cannot be made: the folder above does not exist") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise BackupRefused(folder=str(path), reason="is no folder") from error


def _mark(path: Path) -> str | None:
    """The id of the store whose backup it is."""
    try:
        told = json.loads((path / "blobs" / _MARK).read_bytes())
        store_id, number = str(told["store"]), told["format"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupRefused(folder=str(path), reason=f"cannot be read ({error})") from error
    if number != _FORMAT:
        raise BackupRefused(folder=str(path), reason="was written by a newer Holdfast; install that")
    return store_id


def _require_empty(path: Path) -> None:
    """What begins with a dot is of desktops and snapshots of file systems."""
    strange = [name for name in os.listdir(path) if name not in _OURS and not name.startswith(".")]
    blobs = path / "blobs"
    if strange or (blobs.exists() and any(blobs.iterdir())):
        named = f" ({min(strange)})" if strange else ""
        raise BackupRefused(folder=str(path), reason=f"is no backup, and not empty{named}; choose another folder")


@contextmanager
def _held(path: Path, flags: int, how: int) -> Iterator[None]:
    try:
        descriptor = os.open(path / _LOCK, flags | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        # Somebody copied it without its lock.
        yield
        return
    except OSError as error:
        raise BackupFailed(folder=str(path), problem=f"cannot be used ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupRefused(
                folder=str(path), reason="is used by another backup just now; try again later"
            ) from error
        yield
    finally:
        os.close(descriptor)

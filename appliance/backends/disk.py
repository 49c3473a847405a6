"""Blobs as files of one folder: the key is the path below ``blobs/``; what is not complete yet lies in ``partial/``."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from appliance import faults
from appliance.backends.base import Backend, Blob, Buffer, Source, check_key
from appliance.errors import BackendError, BlobMissing, StorageFull

_T = TypeVar("_T")
_FULL = (errno.ENOSPC, errno.EDQUOT)
# A key that is a folder of others, or continues another one, has no blob.
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_ATTEMPTS = 100
# The process that wrote a partial file; no longer number is one.
_OF_PROCESS = re.compile(r"([0-9]{1,9})-")
_NO_NAME = re.compile(r"[^A-Za-z0-9.-]")
# Nobody writes for so long to a file without making progress.
_ABANDONED_S = 7 * 86_400
# Linux only: one file system instead of all.
_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


class DiskBackend(Backend):
    """``synced`` blobs, and the folders that name them, are on stable storage when ``put`` returns."""

    def __init__(self, folder: Path, *, synced: bool, make: bool = True, host: str = "") -> None:
        """``folder`` exists; the two folders below are made at need, unless ``make`` is false: for who only looks.

        Machines that share the folder have each a ``host``, by which their unfinished files are told apart.
        """
        self._synced = synced
        self._blobs = str(folder / "blobs")
        self._partial = str(folder / "partial")
        if make:
            for path in (self._blobs, self._partial):
                with _translated(os.path.basename(path)):
                    os.makedirs(path, mode=0o700, exist_ok=True)
            with _translated("blobs"):
                sync_folder(folder)
        self._owner = f"{_NO_NAME.sub('-', host)}~" if host else ""
        # Names in partial/ only have to differ from those of other living processes and earlier attempts.
        self._attempts = itertools.count()
        self._known_folders: set[str] = set()

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        check_key(key)
        partial = f"{self._partial}/{self._owner}{os.getpid()}-{next(self._attempts)}"
        try:
            size = self._write(partial, key, blocks)
            with _translated(key):
                self._publish(partial, f"{self._blobs}/{key}")
        except BaseException:
            _discard(partial)
            raise
        return size

    def _write(self, path: str, key: str, blocks: Iterable[Buffer]) -> int:
        """What ``blocks`` raises is the caller's own, also if it is an OSError."""
        with _translated(key):
            faults.point("blob.open")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            size = 0
            for block in blocks:
                with _translated(key):
                    faults.point("blob.write")
                    size += _write_all(descriptor, block)
            if self._synced:
                with _translated(key):
                    faults.point("blob.sync")
                    os.fdatasync(descriptor)
            return size
        finally:
            with _translated(key):
                os.close(descriptor)
                faults.point("blob.closed")

    def _publish(self, partial: str, path: str) -> None:
        folder = os.path.dirname(path)
        replaces = os.path.exists(path)
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                self._make_folder(folder)
                faults.point("blob.rename")
                os.rename(partial, path)
                break
            except FileNotFoundError:
                # Somebody deleted the folder's last blob, and the folder with it; it can happen again.
                if not attempts_left:
                    raise
                self._known_folders.clear()
        if self._synced:
            try:
                faults.point("blob.renamed")
                sync_folder(folder)
            except BaseException:
                if not replaces:
                    _discard(path)
                raise

    def _make_folder(self, folder: str) -> None:
        """Make missing folders, each durable in the one above before it is used, whoever made it."""
        if folder == self._blobs or folder in self._known_folders:
            return
        above = os.path.dirname(folder)
        self._make_folder(above)
        faults.point("blob.folder")
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        faults.point("blob.folder-made")
        if self._synced:
            sync_folder(above)
        self._known_folders.add(folder)

    def get(self, key: str, start: int, length: int) -> bytes:
        with self._reading(key) as descriptor:
            data = _read(descriptor, start, length)
            if len(data) < length:
                raise BlobMissing(key=key, reason=f"ends at {start + len(data)}, before {start + length}")
            if not length and start > os.fstat(descriptor).st_size:
                raise BlobMissing(key=key, reason=f"ends before {start}")
        return data

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        with self._reading(key) as descriptor:
            return _read(descriptor, start, length)

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], _T]) -> _T:
        with self._reading(key) as descriptor:
            return take(_Incoming(descriptor, start, start + length))

    @contextmanager
    def _reading(self, key: str) -> Iterator[int]:
        check_key(key)
        try:
            faults.point("blob.read")
            descriptor = os.open(f"{self._blobs}/{key}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except _ABSENT as error:
            raise BlobMissing(key=key) from error
        except OSError as error:
            raise _translate(error, key) from error

    def head(self, key: str) -> int | None:
        check_key(key)
        return self._size(key)

    def _size(self, key: str) -> int | None:
        try:
            faults.point("blob.head")
            found = os.stat(f"{self._blobs}/{key}")
        except _ABSENT:
            return None
        except OSError as error:
            raise _translate(error, key) from error
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def delete(self, key: str) -> None:
        check_key(key)
        path = f"{self._blobs}/{key}"
        try:
            faults.point("blob.delete")
            os.unlink(path)
            faults.point("blob.deleted")
        except _ABSENT:
            return
        except OSError as error:
            raise _translate(error, key) from error
        self._drop_empty(os.path.dirname(path))

    def _drop_empty(self, folder: str) -> None:
        while folder != self._blobs:
            try:
                os.rmdir(folder)
            except OSError:
                return
            self._known_folders.discard(folder)
            folder = os.path.dirname(folder)

    def list(self, prefix: str) -> Iterator[Blob]:
        yield from self._walk("", prefix)

    def _walk(self, above: str, prefix: str) -> Iterator[Blob]:
        try:
            faults.point("blob.list")
            with os.scandir(f"{self._blobs}/{above}") as entries:
                # "a-b" sorts before "a/b": folders are ordered with their separator.
                found = sorted((entry.name + "/" if entry.is_dir() else entry.name) for entry in entries)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _translate(error, above.rstrip("/")) from error
        for name in found:
            key = above + name
            if name.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key, prefix)
            elif key.startswith(prefix) and (size := self._size(key)) is not None:
                yield Blob(key, size)

    def sync_all(self) -> None:
        """In one go, however many blobs it is."""
        with _translated("blobs"):
            faults.point("blob.sync-all")
            descriptor = os.open(self._blobs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _syncfs is None:
                os.sync()
            elif _syncfs(descriptor) != 0:
                code = ctypes.get_errno()
                raise _translate(OSError(code, f"they could not be synced ({os.strerror(code)})"), "blobs")
        finally:
            os.close(descriptor)

    def clear_partial(self, *, of_living: bool = False) -> int:
        """Files of processes that run are spared, and those of other machines that were not left alone for a week.

        With ``of_living`` also of processes that run: the number may belong to an unrelated one by now.
        """
        try:
            faults.point("partial.list")
            entries = os.listdir(self._partial)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _translate(error, "partial") from error
        abandoned = [entry for entry in entries if self._is_abandoned(entry, of_living)]
        for entry in abandoned:
            _discard(f"{self._partial}/{entry}")
        return len(abandoned)

    def _is_abandoned(self, entry: str, of_living: bool) -> bool:
        owner, mark, rest = entry.rpartition("~")
        if owner + mark != self._owner:
            try:
                return os.stat(f"{self._partial}/{entry}").st_mtime < time.time() - _ABANDONED_S
            except OSError:
                return False
        number = _OF_PROCESS.match(rest)
        return of_living or (number is not None and not _runs(int(number[1])))


class _Incoming(Source):
    """Of an open file, from ``at`` to ``end``."""

    def __init__(self, descriptor: int, at: int, end: int) -> None:
        self._descriptor = descriptor
        self._at = at
        self._end = end

    def read(self, size: int) -> Buffer:
        data = _read(self._descriptor, self._at, min(size, self._end - self._at))
        self._at += len(data)
        return data


def _read(descriptor: int, start: int, length: int) -> bytes:
    """As many bytes as there are."""
    data = os.pread(descriptor, length, start)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), start + len(data))
        if not more:
            break
        data += more
    return data


def _write_all(descriptor: int, block: Buffer) -> int:
    view = memoryview(block)
    size = len(view)
    while view:
        view = view[os.write(descriptor, view) :]
    return size


def sync_folder(folder: str | Path) -> None:
    """Bring the names in a folder to stable storage."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # whatever stays is removed by clear_partial


def is_left_behind(name: str) -> bool:
    """Whether the process is gone whose number begins the name of a partial file."""
    number = _OF_PROCESS.match(name)
    return number is not None and not _runs(int(number[1]))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _translate(error, key) from error


def _translate(error: OSError, key: str) -> Exception:
    if error.errno in _FULL:
        return StorageFull()
    temporary = error.errno in (errno.EIO, errno.EAGAIN)
    return BackendError(key=key, reason=error.strerror or str(error), temporary=temporary)

"""SQLite, shared by several processes.

WAL lets readers go on while one writes. Writers queue on a file lock that all processes share instead of SQLite's
busy handler, which sleeps and lets the unlucky starve; each write is BEGIN IMMEDIATE, so it never has to be
upgraded from a read.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from appliance import faults
from appliance.db.checkpoints import Checkpointer, empty_log
from appliance.db.commits import CommitQueue, Pending
from appliance.db.database import Database, Work
from appliance.db.guard import LOOK, Guard
from appliance.db.readers import Readers
from appliance.db.sql import SQLITE, Row, Seen, Session
from appliance.errors import Damaged, StorageFull, Unavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)

_BUSY_MS = 10_000
# A write that finds the disk full is run so many times at most.
_ATTEMPTS = 10
# Pages after which a commit moves the log into the database (16 MiB, mostly the checkpointer was there before), and the
# bytes of its file that are used again.
_LOG = (4096, 67_108_864)
# The same where the disk is full, for so many groups of commits: a log that takes all that is left cannot be moved.
_SHORT_LOG = (32, 131_072)
_SHORT_GROUPS = 2000
# If one page in so many is free, a database of no more bytes than that is written anew: 0.2 s where a disk is fast.
_WORTH_IT = 50
_MOMENT = 33_554_432


def _no_room(certain: bool) -> bool:
    return False


class SqliteDatabase(Database):
    """One SQLite file. ``synced`` commits reach stable storage before they return."""

    dialect = SQLITE

    def __init__(self, path: Path, *, synced: bool, make_room: Callable[[bool], bool] = _no_room) -> None:
        """``make_room`` is asked when the disk is full (True), or may be (False); what failed is tried again as long
        as it says that it made some.
        """
        self.path = path
        self.guard = Guard()
        self._synced = synced
        self._make_room = make_room
        self._readers = Readers(self.connect, _translate)
        self._writing: sqlite3.Connection | None = None
        # Groups that are still committed with a short log.
        self._short = 0
        self._lock_fd = self._open_lock()
        # Not in close(), after which the database may be used again; nor at exit, while threads still run.
        weakref.finalize(self, os.close, self._lock_fd).atexit = False
        self._commits = CommitQueue(self._run_group)
        self._checkpoints = Checkpointer(self._connect, self.exclusive)

    def connect(self) -> sqlite3.Connection:
        """A new connection, in autocommit mode, with the settings that every connection has."""
        while True:
            try:
                faults.point("sql.connect")
                return self._connect()
            except sqlite3.Error as error:
                # The first one makes the files beside the database.
                if not self._made_room(error):
                    raise _translate(error) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000, cached_statements=256
        )
        try:
            for setting in (
                "journal_mode = WAL",
                f"synchronous = {'FULL' if self._synced else 'NORMAL'}",
                "cache_size = -4096",
                "temp_store = MEMORY",
                f"wal_autocheckpoint = {_LOG[0]}",
                f"journal_size_limit = {_LOG[1]}",
            ):
                connection.execute(f"PRAGMA {setting}")
        except BaseException:
            connection.close()
            raise
        return connection

    def read(self, seen: Seen | None = None) -> AbstractContextManager[Session]:
        return self._readers.lend()

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        with self.read() as session:
            session.cursor.execute("BEGIN")
            try:
                yield session
            finally:
                session.cursor.execute("ROLLBACK")

    def write(self, work: Work[T], *, line: Hashable = None) -> T:
        return self.guard.guarded(lambda: self._commits.submit(work))

    def maintain(self, work: Work[T]) -> T:
        return self._commits.submit(work, is_guarded=False)

    def compact(self) -> bool:
        """Only a small database is written anew: in a large one the pages are used again soon, and writers wait here.
        Where it fails, of a full disk say, nothing has changed. One that is frozen stays as it is.
        """
        try:
            with self.exclusive(), closing(self._connect()) as connection:
                return self._compact(connection)
        except (sqlite3.Error, OSError) as error:
            _log.warning("the database could not be compacted, and is as it was: %s", error)
            return False

    def _compact(self, connection: sqlite3.Connection) -> bool:
        asked = ("page_count", "freelist_count", "page_size")
        pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked)
        if free * _WORTH_IT < pages or pages * size > _MOMENT:
            return False
        if self.guard.refusal(connection.execute(LOOK).fetchone()) is not None:
            return False
        # Who reads just now keeps the file as long as it is; the log is emptied later then.
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            connection.execute("VACUUM")
        finally:
            # What it wrote there before it failed would keep its room.
            empty_log(connection)
        return True

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold back the writers of all processes, this one's as well."""
        # A lock belongs to what was opened: with that of the writers, those of this process would come in.
        descriptor = self._open_lock()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _open_lock(self) -> int:
        return os.open(f"{self.path}-writers", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        try:
            self._checkpoints.close()
        finally:
            self._close_connections()

    def _close_connections(self) -> None:
        self._readers.close()
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    # -- the leader's side; CommitQueue lets one thread in at a time

    def _run_group(self, take: Callable[[], list[Pending[Any]]]) -> list[Pending[Any]]:
        try:
            faults.point("commit.lock")
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        except OSError as error:
            raise Unavailable(
                reason=f"the database cannot be locked ({error.strerror}); nothing was changed"
            ) from error
        try:
            faults.point("commit.locked")
            group = self._run_locked(take)
            if self._short:
                self._short -= 1
                if not self._short:
                    self._limit_log(*_LOG)
            faults.point("commit.done")
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
        self._checkpoints.note(len(group))
        return group

    def _run_locked(self, take: Callable[[], list[Pending[Any]]]) -> list[Pending[Any]]:
        session = Session(self._writer(), SQLITE)
        # Taken only now: whoever came while this waited for other processes joins.
        group = take()
        try:
            self._together(session, group)
        except sqlite3.Error as error:
            # Something broke below the works; which of them it hits is found out one by one.
            self._reset(session)
            if len(group) == 1 and not self._gave_way(error):
                group[0].error = _translate(error)
            else:
                for pending in group:
                    self._alone(session, pending)
        except BaseException:
            self._reset(session)
            raise
        return group

    def _writer(self) -> sqlite3.Connection:
        if self._writing is None:
            self._writing = self.connect()
        return self._writing

    def _together(self, session: Session, group: list[Pending[Any]]) -> None:
        execute = session.cursor.execute
        faults.point("commit.begin")
        execute("BEGIN IMMEDIATE")
        faults.point("commit.begun")
        place: Row | None = None
        if any(pending.is_guarded for pending in group):
            # Under the writers' lock: nobody freezes the store before this is committed.
            place = execute(LOOK).fetchone()
        if len(group) == 1:
            self._attempt(group[0], session, place)
            faults.point("commit.commit")
            execute("COMMIT" if group[0].error is None else "ROLLBACK")
            return
        for pending in group:
            changes = self._writer().total_changes
            self._attempt(pending, session, place)
            # Most are refused before they write anything.
            if pending.error is not None and self._writer().total_changes != changes:
                self._apart(session, group, place)
                break
        faults.point("commit.commit")
        execute("COMMIT")

    def _apart(self, session: Session, group: list[Pending[Any]], place: Row | None) -> None:
        """Again in a new transaction, a savepoint each: one of them failed, and had written something before.

        Savepoints only now: they cost each work two statements, and a copy of each page that it changes.
        """
        execute = session.cursor.execute
        execute("ROLLBACK")
        execute("BEGIN IMMEDIATE")
        for pending in group:
            execute("SAVEPOINT work")
            self._attempt(pending, session, place)
            if pending.error is not None:
                execute("ROLLBACK TO work")
            execute("RELEASE work")

    def _attempt(self, pending: Pending[Any], session: Session, place: Row | None) -> None:
        pending.result = pending.error = None
        if pending.is_guarded:
            pending.error = self.guard.refusal(place)
            if pending.error is not None:
                return
        try:
            faults.point("commit.work")
            pending.result = pending.work(session)
            faults.point("commit.worked")
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - raised again in the thread that submitted it
            pending.error = error

    def _alone(self, session: Session, pending: Pending[Any]) -> None:
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                self._together(session, [pending])
            except sqlite3.Error as error:
                self._reset(session)
                if attempts_left and self._gave_way(error):
                    continue
                pending.error = _translate(error)
            return

    def _gave_way(self, error: sqlite3.Error) -> bool:
        """The same for a write. Also what is in the log moves into the database, so that it can begin anew."""
        made = self._made_room(error)
        if not made and _primary(error) != sqlite3.SQLITE_FULL:
            return False
        self._short = _SHORT_GROUPS
        try:
            self._limit_log(*_SHORT_LOG)
            busy, pages, moved = self._writer().execute("PRAGMA wal_checkpoint").fetchone()
        except sqlite3.Error:
            return made
        # Busy: the checkpointer of some process is at it.
        return made or bool(busy) or 0 < pages == moved

    def _limit_log(self, pages: int, size: int) -> None:
        self._writer().execute(f"PRAGMA wal_autocheckpoint = {pages}").fetchall()
        self._writer().execute(f"PRAGMA journal_size_limit = {size}").fetchall()

    def _made_room(self, error: sqlite3.Error) -> bool:
        """Whether it is worth to try again what failed with ``error``."""
        primary = _primary(error)
        if primary == sqlite3.SQLITE_FULL:
            return self._make_room(True)
        # All that is told where the files beside the database do not fit.
        return primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and self._make_room(False)

    def _reset(self, session: Session) -> None:
        if self._writer().in_transaction:
            session.cursor.execute("ROLLBACK")


def _primary(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _translate(error: sqlite3.Error) -> Exception:
    primary = _primary(error)
    if primary == sqlite3.SQLITE_FULL:
        return StorageFull()
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(reason="the database is busy; nothing was changed")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Damaged(what="the database")
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return Unavailable(reason=f"the database cannot be written ({error})")
    return error

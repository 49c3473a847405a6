"""Moving what was committed from SQLite's write-ahead log into the database file, while others go on writing.

SQLite does it in the thread that commits, and every other writer of all processes waits behind that one until it is
synced. A passive checkpoint holds nobody up; where it cannot reach the log's end, SQLite's own way does later.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing

from appliance import cores

_log = logging.getLogger(__name__)

_EVERY = 64
_REST_S = 2.0


class Checkpointer:
    """One thread, made at the first commit. ``alone`` holds back the writers of all processes.

    When this process has committed nothing for a moment, the log is emptied, but for one page that says nothing new: a
    copy of the database file of a server at rest has everything. The thread looks for that by itself: to wake it at
    each first commit would cost that one's answer a tenth of a millisecond.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], alone: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._connect = connect
        self._alone = alone
        self._committed = 0
        self._moved = 0
        self._rests = True
        self._due = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, commits: int) -> None:
        """So many were made in this process. For one thread at a time."""
        self._committed += commits
        if self._thread is None:
            self._start()
        elif self._committed - self._moved >= _EVERY:
            self._due.set()

    def _start(self) -> None:
        """What was committed stays committed, so where there is no thread to be had, nothing fails."""
        thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            _log.debug("the log is moved when there is a thread for it: %s", error)
        else:
            self._thread = thread

    def close(self) -> None:
        """End the thread; a later commit makes another one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ended.set()
            self._due.set()
            thread.join()
            self._ended.clear()
            self._due.clear()

    def _run(self) -> None:
        cores.roam()
        while self._pause():
            if self._rests and self._committed == self._moved:
                continue
            try:
                with closing(self._connect()) as connection:
                    # Who reads just now keeps the log; nobody waits for that.
                    connection.execute("PRAGMA busy_timeout = 0")
                    self._keep_up(connection)
            except Exception as error:  # noqa: BLE001 - nothing is lost: it all stands in the log
                _log.debug("a checkpoint failed, and will be tried again: %s", error)

    def _pause(self) -> bool:
        """Wait for many commits, or for some time; whether this thread goes on."""
        if not self._ended.is_set():
            self._due.wait(_REST_S)
            self._due.clear()
        return not self._ended.is_set()

    def _keep_up(self, connection: sqlite3.Connection) -> None:
        """Until this process rests."""
        self._rests = False
        while (committed := self._committed) != self._moved:
            _checkpoint(connection, "PASSIVE")
            self._moved = committed
            if not self._pause():
                return
        with self._alone():
            _checkpoint(connection, "RESTART")
            self._rests = True
            _begin_log(connection)


def empty_log(connection: sqlite3.Connection) -> None:
    """Move everything into the database file, unless somebody reads what would be overwritten. No one may write."""
    _checkpoint(connection, "RESTART")
    _begin_log(connection)


def _begin_log(connection: sqlite3.Connection) -> None:
    """Commit what is there already, at the beginning of the log: whoever commits first in a log that begins anew has to
    sync its head, half a millisecond in which a client waits.

    Behind that the log is cut off, and not before: once its new head is durable nothing in it counts but this page. Of
    a log that is emptied first, a power cut may leave blocks; where the first ones are left, and not the last, SQLite
    would take an old page for the newest one.
    """
    limit = connection.execute("PRAGMA journal_size_limit").fetchone()[0]
    connection.execute("PRAGMA journal_size_limit = 0").fetchall()
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA journal_size_limit = {limit}").fetchall()


def _checkpoint(connection: sqlite3.Connection, how: str) -> None:
    connection.execute(f"PRAGMA wal_checkpoint({how})").fetchall()

"""Writer rows: the lease that lets a process store chunks, and the prune epoch that protects them.

Prune deletes chunks that no manifest names and whose ``wanted`` is below the least epoch of the living writers.
So a process keeps in its row the epoch of its oldest unfinished write, and gives that epoch or a later one to
every chunk that the write stores or finds. A process whose row was declared dead can commit nothing: each of its
transactions calls ``require``. Where its blobs are put may change (table ``location``): in the same way its row keeps
the generation of its oldest unfinished write, which tells who moves blobs whether any is still put where they were.
Clocks only decide when a silent writer may be declared dead; no safety rests on them.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from appliance import clock, faults
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import Unavailable

LEASE_S = 120
"""A writer silent for so long may be declared dead."""

RENEW_S = 20
"""Living writers renew their lease this often."""

_EPOCH = Sql("SELECT prune_epoch FROM store WHERE id = 1")
# Until the writer's row is committed the epoch may not be raised: prune would not see the writer, nor spare its epoch.
_EPOCH_HELD = Sql("SELECT prune_epoch FROM store WHERE id = 1 {share}")
_REGISTER = Sql("""
    INSERT INTO writer (host, pid, epoch, expires_at, state, started_at, generation, opened)
    VALUES (:host, :pid, :epoch, :expires_at, 'alive', :now, :opened, :opened) RETURNING id
""")
_RENEW = Sql("""
    UPDATE writer SET expires_at = :expires_at, epoch = :epoch, generation = :generation,
        opened = :opened
    WHERE id = :id AND state = 'alive'
""")
# A row is past a generation when no unfinished write is of it: nothing that was put then may come to have rows.
_ALIVE = Sql("SELECT 1 FROM writer WHERE id = :id AND state = 'alive' AND generation <= :generation {share}")
_RETIRE = Sql("UPDATE writer SET state = 'dead' WHERE id = :id")
_FORGET = Sql("DELETE FROM writer WHERE id = :id AND state = 'alive'")


class Write(NamedTuple):
    """An unfinished write: under which writer, since which epoch, and since which generation of the blobs' place."""

    writer_id: int
    epoch: int
    generation: int = 1


class Writers:
    """This process's writer row. Made at the first write; any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._id: int | None = None
        self._epoch = 0
        # What the row tells.
        self._generation = 0
        self._unfinished: Counter[Write] = Counter()
        self._packs = 0

    @contextmanager
    def write(self) -> Iterator[Write]:
        """Hold the current epoch for the length of a write."""
        with self._mutex:
            if self._id is None:
                self._register()
            assert self._id is not None
            write = Write(self._id, self._epoch, self._database.guard.opened)
            self._unfinished[write] += 1
        try:
            yield write
        finally:
            with self._mutex:
                self._unfinished[write] -= 1
                if not self._unfinished[write]:
                    del self._unfinished[write]

    def next_pack(self) -> int:
        """A counter that this process has not used before."""
        with self._mutex:
            self._packs += 1
            return self._packs

    def renew(self) -> None:
        """Prolong the lease and let go of epochs that no unfinished write needs. Call every ``RENEW_S``."""
        with self._mutex:
            writer_id = self._id
        if writer_id is None:
            return
        with self._database.read() as session:
            current = session.value(_EPOCH)
        with self._mutex:
            # From here on new writes take the new epoch; the row may only move past those that are unfinished.
            self._epoch = max(self._epoch, current)
            unfinished = [write for write in self._unfinished if write.writer_id == writer_id]
            oldest = min((write.epoch for write in unfinished), default=current)
            opened = self._database.guard.opened
            generation = min([opened, *(write.generation for write in unfinished)])
        expires_at = clock.now() + LEASE_S * clock.SECOND
        renewed = self._database.write(
            lambda session: session.run(
                _RENEW, id=writer_id, epoch=oldest, generation=generation, opened=opened, expires_at=expires_at
            )
        )
        with self._mutex:
            if self._id != writer_id:
                return
            if renewed:
                self._generation = generation
            else:
                self._id = None

    def catch_up(self) -> None:
        """Let the row tell of the generation that this process has heard of, and once no unfinished write is of an
        earlier one, of that. Call it often.
        """
        with self._mutex:
            is_behind = self._id is not None and self._generation < self._database.guard.opened
        if is_behind:
            self.renew()

    def retire(self, *, leaves_nothing: bool = False) -> None:
        """Give the lease back at an orderly end.

        ``leaves_nothing``: every put has ended well, and has its row. Then nobody has to look for leftovers.
        """
        with self._mutex:
            writer_id, self._id = self._id, None
        if writer_id is not None:
            how = _FORGET if leaves_nothing else _RETIRE
            self._database.write(lambda session: session.run(how, id=writer_id))

    def _register(self) -> None:
        def register(session: Session) -> tuple[int, int, int]:
            epoch = session.value(_EPOCH_HELD)
            # Known, and not behind the row that this transaction has looked at.
            opened = self._database.guard.opened
            now = clock.now()
            writer_id = session.value(
                _REGISTER,
                host=socket.gethostname(),
                pid=os.getpid(),
                epoch=epoch,
                expires_at=now + LEASE_S * clock.SECOND,
                now=now,
                opened=opened,
            )
            return writer_id, epoch, opened

        self._id, self._epoch, self._generation = self._database.write(register)
        faults.point("writer.registered")


def foresee(session: Session, write: Write) -> None:
    """``require`` will be asked."""
    session.foresee(_ALIVE, id=write.writer_id, generation=write.generation)


def require(session: Session, write: Write) -> None:
    """Refuse to commit for a writer that was declared dead: its chunks may be gone.

    Whoever wants to declare it dead has to wait for the transaction's end.

    Raises:
        Unavailable: the write has to be repeated.
    """
    if session.row(_ALIVE, id=write.writer_id, generation=write.generation) is None:
        raise Unavailable(reason="this server was silent for too long and lost its lease; send the request again")

"""PostgreSQL. It groups commits and queues writers by itself; a transaction that lost a race runs again.

So does one that lost its connection before it asked for the commit, once: the server has rolled it back, or will.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection

from appliance.db.connections import Connections, Limits, be_patient, driver_of, ends_session
from appliance.db.database import Database, Work
from appliance.db.guard import LOOK, Guard
from appliance.db.sql import POSTGRESQL, Cursor, Session, Sql
from appliance.errors import OutcomeUnknown, StorageFull, Unavailable

T = TypeVar("T")

_ATTEMPTS = 10
# Advisory locks are of one database; this number only has to differ from others of ours.
_START_LOCK = 0x686F6C64
_PATIENT_S = 86_400
WRITERS_LOCK = 0x686F6C65
"""Shared by every write; who has it alone waits for all of them, and keeps others from beginning."""
# One message, and no further wait for an answer. The lock is had before the statement behind it looks: whoever froze
# the store meanwhile is seen. Read committed, whatever the server is set to: else it would see what the lock saw.
_BEGIN_GUARDED = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock_shared({WRITERS_LOCK}); {LOOK}"
).encode()
# With the last one, two transactions looked for a row before either had inserted it; the next attempt finds it.
_LOST_RACES = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)

_WAIT_S = 10.0
# It holds no locks, and hashes what it reads.
_SNAPSHOT = b"""
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '1h'
"""


class PostgresqlDatabase(Database):
    """One PostgreSQL database, by a SQLAlchemy URL of the dialect ``postgresql+psycopg``.

    Of ``threads`` that use it half can be at it at a time; the others wait. ``statement_s`` is for one statement, locks
    that it waits for included. docs/design/concurrency.md has the arithmetic, and all limits.
    """

    dialect = POSTGRESQL

    def __init__(self, url: str, *, threads: int = 32, statement_s: float = 30, wait_s: float = _WAIT_S) -> None:
        most = max(threads // 2, 2)
        self.guard = Guard()
        self._connections = Connections(url, Limits(max(most // 2, 1), most, wait_s, statement_s))
        self.engine = self._connections.engine

    @contextmanager
    def read(self) -> Iterator[Session]:
        with _translated(), self._lent() as loan:
            yield _Reading(loan)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        with _translated(), self._lent() as loan:
            loan.begin(_SNAPSHOT)
            try:
                yield Session(loan.driver, POSTGRESQL)
            finally:
                loan.roll_back()

    def write(self, work: Work[T]) -> T:
        return self.guard.guarded(lambda: self._run(work, self._begin_guarded))

    def maintain(self, work: Work[T]) -> T:
        return self._run(work, lambda loan: loan.begin(b"BEGIN"))

    def _run(self, work: Work[T], begin: Callable[[_Loan], object]) -> T:
        races = losses = 0
        with _translated():
            while True:
                try:
                    with self._lent() as loan:
                        return _attempt(loan, work, begin)
                except _LOST_RACES:
                    races += 1
                    if races == _ATTEMPTS:
                        raise
                except _Lost as lost:
                    losses += 1
                    if losses == 2:
                        raise lost.error from lost

    def _begin_guarded(self, loan: _Loan) -> None:
        cursor = loan.begin(_BEGIN_GUARDED)
        cursor.nextset()
        cursor.nextset()
        refusal = self.guard.refusal(cursor.fetchone())
        if refusal is not None:
            loan.roll_back()
            raise refusal

    @contextmanager
    def _lent(self) -> Iterator[_Loan]:
        loan = _Loan(self._connections)
        try:
            yield loan
        except BaseException as error:
            loan.end(error)
            raise
        loan.end()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One node at a time, however long that takes; for what starts do. Writers go on."""
        with _translated(), self._lent() as loan:
            cursor = loan.driver.cursor()
            # The one that has it may be migrating a large database.
            cursor.execute("SET lock_timeout = 0; SET statement_timeout = 0", prepare=False)
            be_patient(loan.driver, _PATIENT_S)
            cursor.execute(f"SELECT pg_advisory_lock({_START_LOCK})".encode())
            try:
                yield
            finally:
                # With the connection goes the lock, and what was set.
                loan.driver.close()

    def close(self) -> None:
        self._connections.close()


class _Lost(Exception):
    """The connection went away before anything was to be committed."""

    def __init__(self, error: psycopg.Error) -> None:
        self.error = error
        super().__init__()


class _Loan:
    """A connection for one use. One that turns out to be lost can be exchanged, once."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._is_renewed = False
        self._lent: PoolProxiedConnection | None = connections.lend()
        self._cursor: psycopg.Cursor[Any] | None = None

    @property
    def driver(self) -> psycopg.Connection[Any]:
        """The driver's own."""
        assert self._lent is not None
        return driver_of(self._lent)

    def end(self, error: BaseException | None = None) -> None:
        """``error``: what the use ended with."""
        lent, self._lent, self._cursor = self._lent, None, None
        if lent is not None:
            self._connections.give_back(lent, error)

    def is_lost(self, error: BaseException | None = None) -> bool:
        """Whether it is of no more use; the server's last words (``error``) may tell it first."""
        return self.driver.closed or ends_session(error)

    def renew(self, error: psycopg.Error) -> bool:
        """Whether there is another one now, in place of one that was lost with ``error``."""
        if self._is_renewed or not self.is_lost(error):
            return False
        self._is_renewed = True
        self.end(error)
        self._lent = self._connections.lend()
        return True

    def begin(self, statements: bytes) -> psycopg.Cursor[Any]:
        """A transaction; what its statements give."""
        try:
            return self._run(statements)
        except psycopg.Error as error:
            if not self.renew(error):
                raise
            return self._run(statements)

    def roll_back(self) -> None:
        """Where there is nobody any more to be told, the server does it by itself."""
        try:
            if not self.driver.closed:
                self._run(b"ROLLBACK")
        except psycopg.Error:
            self.driver.close()

    def commit(self) -> None:
        """Raises:
        OutcomeUnknown: it was asked for, and nobody answered.
        """
        try:
            ended = self._run(b"COMMIT").statusmessage
        except psycopg.Error as error:
            if self.is_lost(error):
                raise OutcomeUnknown(reason=_UNKNOWN) from error
            raise
        if ended != "COMMIT":
            # Some statement failed, and the work went on without it.
            raise errors.InFailedSqlTransaction("the transaction had failed, and was rolled back")

    def _run(self, statements: bytes) -> psycopg.Cursor[Any]:
        # One is prepared when it comes again; several cannot be.
        prepare = False if b";" in statements else None
        if self._cursor is None:
            self._cursor = self.driver.cursor()
        return self._cursor.execute(statements, prepare=prepare)


_UNKNOWN = "the database went away while it was to commit; whether it did is not known"


def _attempt(loan: _Loan, work: Work[T], begin: Callable[[_Loan], object]) -> T:
    begin(loan)
    try:
        result = work(Session(loan.driver, POSTGRESQL))
    except psycopg.Error as error:
        loan.roll_back()
        if loan.is_lost(error):
            raise _Lost(error) from error
        raise
    except BaseException:
        loan.roll_back()
        raise
    loan.commit()
    return result


class _Reading(Session):
    """Each statement stands for itself, so one that met a dead connection runs once more on a fresh one."""

    __slots__ = ("_loan",)

    def __init__(self, loan: _Loan) -> None:
        super().__init__(loan.driver, POSTGRESQL)
        self._loan = loan

    def _execute(self, sql: Sql, parameters: dict[str, Any]) -> Cursor:
        try:
            return super()._execute(sql, parameters)
        except psycopg.Error as error:
            if not self._loan.renew(error):
                raise
        self.connection = self._loan.driver
        self.cursor = self.connection.cursor()
        return super()._execute(sql, parameters)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except errors.DiskFull as error:
        raise StorageFull from error
    except (errors.SerializationFailure, errors.DeadlockDetected, PoolTimeout) as error:
        raise Unavailable(reason="the database is busy; nothing was changed") from error
    except errors.ReadOnlySqlTransaction as error:
        # One that follows another, or that did when the connection was made: it may be that soon, or another be asked.
        raise Unavailable(reason="the database takes no writes now; nothing was changed") from error
    except psycopg.Error as error:
        if not isinstance(error, psycopg.OperationalError) and not ends_session(error):
            raise
        raise Unavailable(reason="the database does not answer; nothing was changed") from error

"""PostgreSQL. It groups commits and queues writers by itself; a transaction that lost a race runs again.

So does one that lost its connection before it asked for the commit, once: the server has rolled it back, or will.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import TypeVar

import psycopg
from psycopg import errors
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from appliance.db import failing
from appliance.db.connections import Connections, Limits, be_patient
from appliance.db.database import Database, Work
from appliance.db.groups import Alone, Groups
from appliance.db.guard import LOOK, WRITERS_LOCK, Guard
from appliance.db.loan import Begin, Check, Loan, LoanSession
from appliance.db.sql import POSTGRESQL, Row, Seen, Session
from appliance.db.wire import ends_session
from appliance.errors import StorageFull, Unavailable

T = TypeVar("T")

failing.note(psycopg.Error, SQLAlchemyError)

_ATTEMPTS = 10
# Advisory locks are of one database; this number only has to differ from others of ours.
_START_LOCK = 0x686F6C64
_PATIENT_S = 86_400
# The lock is had before the statement behind it looks: whoever froze the store meanwhile is seen. Read committed,
# whatever the server is set to: else it would see what the lock saw.
_BEGIN_GUARDED = (
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    f"SELECT pg_advisory_xact_lock_shared({WRITERS_LOCK})",
    LOOK,
)
# With the last one, two transactions looked for a row before either had inserted it; the next attempt finds it.
_LOST_RACES = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)

_WAIT_S = 10.0
# Whoever starts holds the lock of starts on one, writes on a second, and in between may have to look on a third where
# the blobs are. With fewer it would wait for itself.
_LEAST = 3
# It holds no locks, and hashes what it reads.
_SNAPSHOT = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL idle_in_transaction_session_timeout = '1h'",
)


class PostgresqlDatabase(Database):
    """One PostgreSQL database, by a SQLAlchemy URL of the dialect ``postgresql+psycopg``.

    Of ``threads`` that use it half, three at least, can be at it at a time; the others wait. ``statement_s`` is for one
    statement, locks that it waits for included. docs/design/concurrency.md has the arithmetic, and all limits.
    """

    dialect = POSTGRESQL

    def __init__(self, url: str, *, threads: int = 32, statement_s: float = 30, wait_s: float = _WAIT_S) -> None:
        most = max(threads // 2, _LEAST)
        self.guard = Guard()
        self._connections = Connections(url, Limits(max(most // 2, 1), most, wait_s, statement_s))
        self._groups = Groups(self._lend_to_group)
        self.engine = self._connections.engine

    def read(self, seen: Seen | None = None) -> AbstractContextManager[Session]:
        return _Reading(Loan(self._connections, seen=seen))

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        with _translated(), self._lent(_SNAPSHOT) as loan:
            try:
                yield LoanSession(loan)
            finally:
                loan.roll_back()

    def write(self, work: Work[T], *, line: Hashable = None) -> T:
        return self.guard.guarded(lambda: self._write(work, line))

    def _write(self, work: Work[T], line: Hashable) -> T:
        if line is not None:
            with suppress(Alone):
                return self._groups.run(line, work)
        return self._run(work, _BEGIN_GUARDED, self._require_here)

    def _lend_to_group(self) -> Loan:
        with _translated():
            return Loan(self._connections, _BEGIN_GUARDED, self._require_here)

    def maintain(self, work: Work[T]) -> T:
        return self._run(work, ("BEGIN",), None)

    def _run(self, work: Work[T], begin: Begin, check: Check | None) -> T:
        races = losses = 0
        with _translated():
            while True:
                try:
                    with self._lent(begin, check) as loan:
                        return _attempt(loan, work)
                except _LOST_RACES:
                    races += 1
                    if races == _ATTEMPTS:
                        raise
                except _Lost as lost:
                    losses += 1
                    if losses == 2:
                        raise lost.error from lost

    def _require_here(self, place: list[Row]) -> None:
        refusal = self.guard.refusal(place[0] if place else None)
        if refusal is not None:
            raise refusal

    @contextmanager
    def _lent(self, begin: Begin = (), check: Check | None = None) -> Iterator[Loan]:
        loan = Loan(self._connections, begin, check)
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
            loan.open()
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


def _attempt(loan: Loan, work: Work[T]) -> T:
    try:
        result = work(LoanSession(loan))
        loan.commit()
    except psycopg.Error as error:
        loan.roll_back()
        if loan.is_lost(error):
            raise _Lost(error) from error
        raise
    except BaseException:
        loan.roll_back()
        raise
    return result


class _Reading(AbstractContextManager[Session]):
    def __init__(self, loan: Loan) -> None:
        self._loan = loan

    def __enter__(self) -> Session:
        return LoanSession(self._loan)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loan.end(error)
        if error is not None:
            _translate(error)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        _translate(error)
        raise


def _translate(error: BaseException) -> None:
    """Raise the product's own error for it, if there is one."""
    if isinstance(error, errors.DiskFull):
        raise StorageFull from error
    if isinstance(error, (errors.SerializationFailure, errors.DeadlockDetected, PoolTimeout)):
        raise Unavailable(reason="the database is busy; nothing was changed") from error
    if isinstance(error, errors.ReadOnlySqlTransaction):
        # One that follows another, or that did when the connection was made: it may be that soon, or another be asked.
        raise Unavailable(reason="the database takes no writes now; nothing was changed") from error
    if isinstance(error, psycopg.OperationalError) or (isinstance(error, psycopg.Error) and ends_session(error)):
        raise Unavailable(reason="the database does not answer; nothing was changed") from error

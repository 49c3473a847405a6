"""PostgreSQL. It groups commits and queues writers by itself; a transaction that lost a race runs again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from appliance.db.database import Database, Work
from appliance.db.guard import LOOK, Guard
from appliance.db.sql import POSTGRESQL, Session
from appliance.errors import StorageFull, Unavailable

T = TypeVar("T")

_ATTEMPTS = 10
# Advisory locks are of one database; this number only has to differ from others of ours.
_START_LOCK = 0x686F6C64
WRITERS_LOCK = 0x686F6C65
"""Shared by every write; who has it alone waits for all of them, and keeps others from beginning."""
# One message, and no further wait for an answer. The lock is had before the statement behind it looks: whoever froze
# the store meanwhile is seen. Read committed, whatever the server is set to: else the first snapshot would be the last.
_BEGIN_GUARDED = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock_shared({WRITERS_LOCK}); {LOOK}"
# With the last one, two transactions looked for a row before either had inserted it; the next attempt finds it.
_LOST_RACES = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)


class PostgresqlDatabase(Database):
    """One PostgreSQL database, by a SQLAlchemy URL of the dialect ``postgresql+psycopg``."""

    dialect = POSTGRESQL

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self.guard = Guard()
        # Transactions are begun by statements of our own, so the driver's connections stay in autocommit.
        self.engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            connect_args={"autocommit": True},
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_reset_on_return=None,
            pool_pre_ping=False,
            # Values can be secrets, and errors are logged.
            hide_parameters=True,
        )

    @contextmanager
    def read(self) -> Iterator[Session]:
        with _translated(), self._session() as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        with self.read() as session:
            session.cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield session
            finally:
                session.cursor.execute("ROLLBACK")

    def write(self, work: Work[T]) -> T:
        return self._run(work, self._begin_guarded)

    def maintain(self, work: Work[T]) -> T:
        return self._run(work, lambda session: session.cursor.execute("BEGIN"))

    def _run(self, work: Work[T], begin: Callable[[Session], object]) -> T:
        with _translated():
            for _ in range(_ATTEMPTS - 1):
                try:
                    return self._attempt(work, begin)
                except _LOST_RACES:
                    continue
            return self._attempt(work, begin)

    def _begin_guarded(self, session: Session) -> None:
        # Several statements cannot be prepared, which the driver does to what it is given often.
        cursor: psycopg.Cursor[Any] = session.connection.cursor()
        cursor.execute(_BEGIN_GUARDED, prepare=False)
        cursor.nextset()
        cursor.nextset()
        refusal = self.guard.refusal(cursor.fetchone())
        if refusal is not None:
            raise refusal

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One node at a time; for what starts do. Writers go on."""
        with _translated(), self._session() as session:
            session.cursor.execute(f"SELECT pg_advisory_lock({_START_LOCK})")
            try:
                yield
            finally:
                session.cursor.execute(f"SELECT pg_advisory_unlock({_START_LOCK})")

    def _attempt(self, work: Work[T], begin: Callable[[Session], object]) -> T:
        with self._session() as session:
            try:
                begin(session)
                result = work(session)
            except BaseException:
                session.cursor.execute("ROLLBACK")
                raise
            session.cursor.execute("COMMIT")
            return result

    @contextmanager
    def _session(self) -> Iterator[Session]:
        connection = self.engine.raw_connection()
        try:
            yield Session(connection, POSTGRESQL)
        finally:
            driver = connection.dbapi_connection
            if driver is None or driver.closed:
                connection.invalidate()
            connection.close()

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except errors.DiskFull as error:
        raise StorageFull from error
    except (errors.SerializationFailure, errors.DeadlockDetected, PoolTimeout) as error:
        raise Unavailable(reason="the database is busy; nothing was changed") from error
    except psycopg.OperationalError as error:
        raise Unavailable(reason="the database does not answer") from error

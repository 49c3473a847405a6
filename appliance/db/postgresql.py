"""PostgreSQL. It groups commits and queues writers by itself; a transaction that lost a race runs again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

from appliance.db.database import Database, Work
from appliance.db.sql import POSTGRESQL, Session
from appliance.errors import StorageFull, Unavailable

T = TypeVar("T")

_ATTEMPTS = 10


class PostgresqlDatabase(Database):
    """One PostgreSQL database, by a SQLAlchemy URL of the dialect ``postgresql+psycopg``."""

    dialect = POSTGRESQL

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        # Transactions are begun by statements of our own, so the driver's connections stay in autocommit.
        self.engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            connect_args={"autocommit": True},
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_reset_on_return=None,
            pool_pre_ping=False,
        )

    @contextmanager
    def read(self) -> Iterator[Session]:
        connection = self.engine.raw_connection()
        try:
            yield Session(connection, POSTGRESQL)
        except psycopg.OperationalError as error:
            connection.invalidate()
            raise Unavailable(reason="the database does not answer") from error
        finally:
            connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        with self.read() as session:
            session.cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield session
            finally:
                session.cursor.execute("ROLLBACK")

    def write(self, work: Work[T]) -> T:
        for attempt in range(_ATTEMPTS):
            try:
                return self._attempt(work)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as error:
                if attempt == _ATTEMPTS - 1:
                    raise Unavailable(reason="the database is busy; nothing was changed") from error
            except psycopg.errors.DiskFull as error:
                raise StorageFull from error
        raise AssertionError("unreachable")

    def _attempt(self, work: Work[T]) -> T:
        with self.read() as session:
            session.cursor.execute("BEGIN")
            try:
                result = work(session)
            except BaseException:
                session.cursor.execute("ROLLBACK")
                raise
            session.cursor.execute("COMMIT")
            return result

    def close(self) -> None:
        self.engine.dispose()

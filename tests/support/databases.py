"""Databases for tests: migrated once in a session, then copied for each test."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL, make_url

from appliance.db import migrate
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sqlite import SqliteDatabase

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""Marks tests that do the same whatever the database is, and would only take time twice."""

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
"""Marks tests of what only PostgreSQL does."""


class SqliteTemplate:
    """An empty, migrated SQLite database that is copied as a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "template.db"
        database = SqliteDatabase(self.path, synced=False)
        migrate.migrate_sqlite(database, folder / "copies")
        database.close()

    @contextmanager
    def copy(self, path: Path, *, synced: bool = False) -> Iterator[SqliteDatabase]:
        """A database of its own at ``path``."""
        shutil.copy(self.path, path)
        database = SqliteDatabase(path, synced=synced)
        try:
            yield database
        finally:
            database.close()


_CLEAR = """
    DO $$ DECLARE each record; BEGIN
        FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
            LOOP EXECUTE format('DELETE FROM %I', each.tablename); END LOOP;
        INSERT INTO location VALUES (1, 1, '', '', '', NULL, '');
        FOR each IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'
            LOOP EXECUTE format('ALTER SEQUENCE %I RESTART', each.sequencename); END LOOP;
    END $$
"""
_DISCONNECT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class PostgresqlTemplate:
    """A migrated database of a server. Emptying it takes a tenth of the time of making another one."""

    def __init__(self, url: str) -> None:
        self._server = make_url(url)
        self._numbers = itertools.count()
        # Several test processes may use one server.
        self._name = f"holdfast_test_{os.getpid()}"
        self._command(self._server, f"CREATE DATABASE {self._name}")
        self._url = self._server.set(database=self._name)
        database = PostgresqlDatabase(_text(self._url))
        migrate.migrate_postgresql(database)
        database.close()

    def drop(self) -> None:
        """Remove the database."""
        self._command(self._server, f"DROP DATABASE {self._name} WITH (FORCE)")

    @contextmanager
    def emptied(self) -> Iterator[PostgresqlDatabase]:
        """The one database, with every table empty. Its schema has to stay as it is."""
        self._command(self._url, _DISCONNECT, _CLEAR)
        database = PostgresqlDatabase(_text(self._url))
        try:
            yield database
        finally:
            # A reader that nobody reads from any more may still be fetching.
            until = time.monotonic() + 5
            while database.engine.pool.checkedout() and time.monotonic() < until:  # type: ignore[attr-defined]
                time.sleep(0.01)
            database.close()

    @contextmanager
    def another(self) -> Iterator[str]:
        """The URL of a new database without a table; it is dropped at the end, whoever is connected."""
        name = f"{self._name}_{next(self._numbers)}"
        self._command(self._server, f"CREATE DATABASE {name}")
        try:
            yield _text(self._server.set(database=name))
        finally:
            self._command(self._server, f"DROP DATABASE {name} WITH (FORCE)")

    def _command(self, url: URL, *statements: str) -> None:
        with psycopg.connect(_text(url.set(drivername="postgresql")), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)

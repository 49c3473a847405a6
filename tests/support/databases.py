"""Databases for tests: migrated once in a session, then copied for each test."""

from __future__ import annotations

import itertools
import os
import shutil
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
        self._path = folder / "template.db"
        database = SqliteDatabase(self._path, synced=False)
        migrate.migrate_sqlite(database, folder / "copies")
        database.close()

    @contextmanager
    def copy(self, path: Path, *, synced: bool = False) -> Iterator[SqliteDatabase]:
        """A database of its own at ``path``."""
        shutil.copy(self._path, path)
        database = SqliteDatabase(path, synced=synced)
        try:
            yield database
        finally:
            database.close()


class PostgresqlTemplate:
    """An empty, migrated database of a server, copied inside of it."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._numbers = itertools.count()
        # Several test processes may use one server.
        self._name = f"holdfast_test_{os.getpid()}"
        self._command(f"CREATE DATABASE {self._name}")
        database = PostgresqlDatabase(self._at(self._name))
        migrate.migrate_postgresql(database)
        database.close()

    def drop(self) -> None:
        """Remove the template."""
        self._command(f"DROP DATABASE {self._name} WITH (FORCE)")

    @contextmanager
    def copy(self) -> Iterator[PostgresqlDatabase]:
        """A database of its own; dropped at the end, whoever is still connected."""
        with self.url_of_copy() as url:
            database = PostgresqlDatabase(url)
            try:
                yield database
            finally:
                database.close()

    @contextmanager
    def url_of_copy(self, *, empty: bool = False) -> Iterator[str]:
        """The URL of a database of its own; ``empty``: without tables."""
        name = f"{self._name}_{next(self._numbers)}"
        self._command(f"CREATE DATABASE {name}" + ("" if empty else f" TEMPLATE {self._name}"))
        try:
            yield self._at(name)
        finally:
            self._command(f"DROP DATABASE {name} WITH (FORCE)")

    def _at(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _command(self, sql: str) -> None:
        with psycopg.connect(_libpq(self._url), autocommit=True) as connection:
            connection.execute(sql.encode())


def _libpq(url: URL) -> str:
    """The URL as the driver itself understands it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)

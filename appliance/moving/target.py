"""The place that a database moves to: what is there, making it ready, and letting it be the store's."""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect

from appliance import clock, faults, sizes
from appliance.backends.disk import sync_folder
from appliance.backends.reserve import free_bytes
from appliance.chunks import identity
from appliance.db import location, migrate, revisions
from appliance.db.database import Database
from appliance.db.location import ARRIVED, ARRIVING, Location
from appliance.db.models import metadata
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import MoveRefused
from appliance.moving.postgresql_side import PostgresqlSide
from appliance.moving.side import Side
from appliance.moving.sqlite_side import SqliteSide

_MOVING = "-moving"
_ENCODING = Sql("SHOW server_encoding")
_WITH_IT = ("", "-wal", "-shm", "-journal", "-writers")
# A copy is smaller than what it is of, whose pages are not all full; PostgreSQL's rows are larger than SQLite's.
_ROOM = 1.1


class Target(ABC):
    """A place by its URL; ``shown`` is that without a password."""

    def __init__(self, url: str, shown: str) -> None:
        self.url = url
        self.shown = shown

    @abstractmethod
    def open(self) -> Database:
        """What is there, with a commit that lasts."""

    @abstractmethod
    def is_there(self) -> bool:
        """Whether there is anything at all."""

    @abstractmethod
    def remove_copy(self) -> None:
        """Everything that an attempt has left; whether it is one is known."""

    @abstractmethod
    def make(self, mark: Location, source_bytes: int) -> Side:
        """Tables without a row, but the one that says that this is no store."""

    @abstractmethod
    def arrive(self, side: Side, mark: Location) -> None:
        """All rows are there: have it durable, under its name, and note that it is whole."""

    def state(self, store_id: str) -> Location | None:
        """Where this store's copy there is; None: nothing is there, or what can be made anew.

        Raises:
            MoveRefused: it is something else.
        """
        if not self.is_there():
            return None
        with closing(self.open()) as database:
            found = location.read(database)
            if found is None:
                raise MoveRefused(reason=f"{self.shown} is not empty; nothing was changed there")
            if revisions.revision_of(database) != revisions.head():
                raise MoveRefused(reason=f"{self.shown} is of an older program; nothing was changed there")
            with database.read() as session:
                there = identity.load(session)
        if there is None and not found.is_copy:
            # Tables without a store: nobody has begun to use it.
            return None
        if there is not None and there.store_id != store_id:
            raise MoveRefused(reason=f"{self.shown} holds another store ({there.store_id}); nothing was changed there")
        if found.is_copy:
            return found
        if found.moved_to:
            raise MoveRefused(
                reason=f"{self.shown} holds this store as it was before it moved to {found.moved_to}; "
                "put that aside first"
            )
        return found


class SqliteTarget(Target):
    """A file that is not there yet. It is made under another name."""

    def __init__(self, url: str, path: Path) -> None:
        super().__init__(url, url)
        self._path = path
        self._moving = path.with_name(path.name + _MOVING)

    def open(self) -> Database:
        return SqliteDatabase(self._path, synced=True)

    def is_there(self) -> bool:
        if not self._path.exists():
            return False
        # To open it as a database of ours would change it.
        try:
            with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as connection:
                names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        except sqlite3.Error:
            names = set()
        if "location" not in names:
            raise MoveRefused(reason=f"{self._path} is there already; nothing was changed there")
        return True

    def remove_copy(self) -> None:
        for path in (self._path, self._moving):
            for suffix in _WITH_IT:
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        sync_folder(self._path.parent)

    def make(self, mark: Location, source_bytes: int) -> Side:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.remove_copy()
        free = free_bytes(self._path.parent)
        if free is not None and free < source_bytes * _ROOM:
            needed = sizes.show(int(source_bytes * _ROOM))
            raise MoveRefused(reason=f"{self._path.parent} has {sizes.show(free)} free, and {needed} are needed")
        with closing(SqliteDatabase(self._moving, synced=False)) as database:
            _prepare(database, mark)
        return SqliteSide(self._moving, fresh=True)

    def arrive(self, side: Side, mark: Location) -> None:
        assert isinstance(side, SqliteSide)
        side.unsettle()
        side.close()
        with closing(SqliteDatabase(self._moving, synced=True)) as database:
            _note(database, mark, ARRIVED)
        # All of it into the one file.
        side = SqliteSide(self._moving)
        side.unsettle()
        side.close()
        Path(f"{self._moving}-writers").unlink(missing_ok=True)
        descriptor = os.open(self._moving, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        faults.point("move.synced")
        os.rename(self._moving, self._path)
        sync_folder(self._path.parent)


class PostgresqlTarget(Target):
    """A database of a server; it is there, and empty."""

    def open(self) -> Database:
        return PostgresqlDatabase(self.url, threads=4)

    def is_there(self) -> bool:
        with closing(PostgresqlDatabase(self.url, threads=4)) as database:
            return bool(inspect(database.engine).get_table_names())

    def remove_copy(self) -> None:
        with closing(PostgresqlDatabase(self.url, threads=4)) as database:
            metadata.drop_all(database.engine)
            with database.engine.connect() as connection:
                connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")

    def make(self, mark: Location, source_bytes: int) -> Side:
        self.remove_copy()
        with closing(PostgresqlDatabase(self.url, threads=4)) as database:
            with database.read() as session:
                encoding = session.value(_ENCODING)
            if encoding != "UTF8":
                raise MoveRefused(reason=f"{self.shown} keeps text as {encoding}; make a database with UTF8")
            _prepare(database, mark)
        return PostgresqlSide(self.url)

    def arrive(self, side: Side, mark: Location) -> None:
        side.close()
        with closing(self.open()) as database:
            _note(database, mark, ARRIVED)


def _prepare(database: Database, mark: Location) -> None:
    if isinstance(database, PostgresqlDatabase):
        migrate.migrate_postgresql(database)
    else:
        assert isinstance(database, SqliteDatabase)
        migrate.upgrade(migrate.sqlite_engine(database))
    _note(database, mark, ARRIVING)


def _note(database: Database, mark: Location, state: str) -> None:
    arriving = mark._replace(state=state, frozen_at=clock.now(), moved_to="")
    database.maintain(lambda session: location.store(session, arriving))

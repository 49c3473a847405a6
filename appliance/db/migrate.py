"""Bring a database to the revision that this program knows (Alembic, ``migrations/``)."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from appliance import faults
from appliance.backends.disk import sync_folder
from appliance.db import failing, revisions
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sqlite import SqliteDatabase

failing.note(SQLAlchemyError)


def migrate_sqlite(database: SqliteDatabase, copies: Path) -> str | None:
    """Migrate at need, alone; an older database is first copied into ``copies``. Returns the copy's name."""
    with database.exclusive():
        revision = revisions.revision_of(database)
        if revision == revisions.head():
            return None
        copy = _copy_aside(database, copies, revision) if revision is not None else None
        try:
            upgrade(sqlite_engine(database))
        except BaseException:
            # Nothing was changed; a server that is started again and again must not fill the disk with copies.
            if copy is not None:
                copy.unlink(missing_ok=True)
            raise
        faults.point("migrate.done")
    return None if copy is None else str(copy)


def migrate_postgresql(database: PostgresqlDatabase) -> None:
    """Migrate at need, one node at a time (``exclusive`` is the caller's); the server's own backup is the copy."""
    if revisions.revision_of(database) != revisions.head():
        # The pool's own connections commit each statement by itself.
        engine = create_engine(database.engine.url, poolclass=NullPool, hide_parameters=True)
        upgrade(engine)


def upgrade(engine: Engine, to: str = "head") -> None:
    """Run the missing revisions up to ``to`` in one transaction."""
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        faults.point("migrate.upgrade")
        command.upgrade(config, to)
        faults.point("migrate.upgraded")


def sqlite_engine(database: SqliteDatabase) -> Engine:
    """An engine for schema work: its transactions also hold for CREATE and ALTER."""
    engine = create_engine("sqlite://", creator=database.connect, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _copy_aside(database: SqliteDatabase, copies: Path, revision: str) -> Path:
    copies.mkdir(mode=0o700, exist_ok=True)
    copy = copies / f"{database.path.stem}-{revision}-{time.strftime('%Y%m%dT%H%M%S')}.db"
    try:
        with closing(database.connect()) as source, closing(sqlite3.connect(copy)) as target:
            faults.point("migrate.copy")
            source.backup(target)
        faults.point("migrate.copied")
        copy.chmod(0o600)
        # The migration must not outlive the copy.
        for folder in (copies, copies.parent):
            sync_folder(folder)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(revisions.SCRIPTS))
    return config

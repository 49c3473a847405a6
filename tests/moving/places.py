"""Stores to move, with rows in every table, and how they are compared."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from appliance import config
from appliance.app import open_appliance
from appliance.db.database import Database
from appliance.db.models import metadata
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.moving.target import PostgresqlTarget, SqliteTarget
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import finish_store, prepare_store
from tests.data_folders.make import fill

PASSWORD = "a password for tests"
ODD = "back\\slash \\N \t tab \n line \r return \v \f \b ü é \U0001f600 '\" %s :name"

# Tables that the use cases leave empty, and text that has to be escaped.
_MORE = (
    "INSERT INTO audit_batch VALUES (1, 7, x'00ff', 'abcd', x'00ff5c')",
    "INSERT INTO audit_sealed VALUES (1, 1)",
    "INSERT INTO audit_checkpoint VALUES (1, 0, x'00', 1, 2, 3, x'', 'abcd', x'00ff5c')",
    "INSERT INTO api_token VALUES (1, 1, 'backup', x'00ff5c', 'files:read', NULL, 1, 2)",
    "INSERT INTO fence (holder, expires_at, raised_at) VALUES ('a', 1, 2)",
    "INSERT INTO garbage (writer_id, epoch) VALUES (NULL, 0)",
    "INSERT INTO lease VALUES ('sweep', 'nas/1', 5)",
    "INSERT INTO login_block VALUES ('anna', '*', 1, 7)",
    "INSERT INTO login_failure VALUES ('anna', '192.0.2.0', -9223372036854775808, 7)",
    "INSERT INTO login_network VALUES ('anna', '192.0.2.0', 7)",
    "INSERT INTO rate_bucket VALUES ('192.0.2.0', 'address-bytes', 7, 6)",
    "INSERT INTO usage_point VALUES (1, 7, 1, 2, 3, 4, 5)",
    "INSERT INTO checksum_due VALUES (1, 2, 3)",
    "INSERT INTO signing_key (secret, created_at, retired_at) VALUES (x'00ff5c', 1, NULL)",
    "INSERT INTO scrub VALUES ('odd', 1, 2, 3)",
    (
        'INSERT INTO forgotten (what, digest, pack_id, "offset", stored, length, codec, xxh3, data, forgotten_at)'
        " VALUES ('small', x'00ff5c', 0, 0, 0, 0, 0, 0, x'', 1), ('chunk', x'', 1, 40, 1, 1, 0, -1, NULL, 1)"
    ),
)


def populate(data: Path) -> None:
    """A store with something in each table, of which nobody has the database open."""
    settings = settings_of(data)
    hold_folder(data)
    prepare_store(settings, tell=lambda text: None)
    with closing(open_appliance(settings)) as appliance:
        fill(appliance)
    finish_store(settings)
    with closing(sqlite3.connect(data / "holdfast.db")) as connection, connection:
        for statement in _MORE:
            connection.execute(statement)
        connection.execute("UPDATE finding SET problem = ?", (ODD,))
        connection.execute("UPDATE lock SET owner = '\\N'")
        connection.execute("UPDATE job_run SET said = ? WHERE id = 1", (ODD,))
        connection.execute("INSERT INTO property VALUES (3, ?, ?)", (ODD, ODD * 50))


def settings_of(data: Path, url: str = "") -> config.Settings:
    """Of a folder, and of a database elsewhere."""
    environment = {"HOLDFAST_ADMIN_PASSWORD": PASSWORD, "HOLDFAST_SEAL": "on"}
    if url:
        environment["HOLDFAST_DATABASE_URL"] = url
    return config.load(None, environment, {"data": str(data)})


def copied(data: Path, to: Path) -> Path:
    """A store of one's own."""
    shutil.copytree(data, to)
    return to


@contextmanager
def sqlite_at(path: Path) -> Iterator[SqliteDatabase]:
    """What is there, as a server has it."""
    with closing(SqliteDatabase(path, synced=True)) as database:
        yield database


@contextmanager
def postgresql_at(url: str) -> Iterator[PostgresqlDatabase]:
    """The same."""
    with closing(PostgresqlDatabase(url)) as database:
        yield database


def postgresql_target(url: str) -> PostgresqlTarget:
    """As a command would name it."""
    return PostgresqlTarget(url, url)


def sqlite_target(path: Path) -> SqliteTarget:
    """As a command would name it."""
    return SqliteTarget(f"sqlite:///{path}", path)


def contents(database: Database) -> dict[str, list[Any]]:
    """All rows of all tables but the one that says where the store is."""
    found = {}
    with database.snapshot() as session:
        for name in sorted(metadata.tables):
            if name != "location":
                columns = ", ".join(f'"{column.name}"' for column in metadata.tables[name].columns)
                rows = session.rows(Sql(f'SELECT {columns} FROM "{name}"'))
                found[name] = sorted((tuple(_plain(value) for value in row) for row in rows), key=repr)
    return found


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value

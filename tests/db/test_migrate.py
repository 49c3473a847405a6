"""Migrations: what they build is what the models say; an old database is kept aside, a newer one is refused."""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

import migrations
from appliance.db import migrate, revisions
from appliance.db.models import metadata
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import SchemaTooNew
from tests.support.databases import PostgresqlTemplate, SqliteTemplate

_LATER = """
from alembic import op
import sqlalchemy as sa

revision = "9001"
down_revision = "{head}"
branch_labels = depends_on = None

def upgrade():
    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("lease", sa.Column("note", sa.Text))
    {more}
"""

CATALOGUE = (
    """
    SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
    """,
    """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'",
)


@pytest.fixture
def sqlite_database(folder: Path) -> Iterator[SqliteDatabase]:
    """An empty file."""
    database = SqliteDatabase(folder / "holdfast.db", synced=False)
    yield database
    database.close()


@pytest.fixture
def old_database(sqlite_template: SqliteTemplate, folder: Path) -> Iterator[SqliteDatabase]:
    """At today's head, with a row."""
    with sqlite_template.copy(folder / "holdfast.db") as database:
        insert = Sql("INSERT INTO lease (name, holder, expires_at) VALUES ('x', 'y', 1)")
        database.write(lambda session: session.run(insert))
        yield database


def later_revision(monkeypatch: pytest.MonkeyPatch, folder: Path, more: str = "") -> None:
    """Let the program know one revision more, which makes the table ``later`` and then does ``more``."""
    scripts = folder / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    script = _LATER.format(head=revisions.head(), more=more)
    (scripts / "versions" / "9001_later.py").write_text(script)
    monkeypatch.setattr(revisions, "SCRIPTS", scripts)


def differences(engine: Engine) -> list[object]:
    """What Alembic would change to make the database like the models."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": metadata}
        )
        return list(compare_metadata(context, metadata))


def tables(path: Path) -> dict[str, list[str]]:
    """The words of SQLite's definition of each table and index; in which order columns and constraints stand
    does not matter.
    """
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
    with closing(sqlite3.connect(path)) as connection:
        return {name: sorted(re.findall(r"\w+|[^\w\s\"]", sql)) for name, sql in connection.execute(query)}


def test_migrated_sqlite_is_what_the_models_say(sqlite_database: SqliteDatabase, folder: Path) -> None:
    """Alembic finds no difference, and SQLite's own definitions, WITHOUT ROWID and all, are the same."""
    assert migrate.migrate_sqlite(sqlite_database, folder / "copies") is None
    assert differences(migrate.sqlite_engine(sqlite_database)) == []
    direct = SqliteDatabase(folder / "direct.db", synced=False)
    with migrate.sqlite_engine(direct).begin() as connection:
        metadata.create_all(connection)
    direct.close()
    assert tables(folder / "holdfast.db") == tables(folder / "direct.db")


def test_migrated_postgresql_is_what_the_models_say(postgresql_template: PostgresqlTemplate) -> None:
    """Alembic finds no difference, and the catalogue tells the same columns, constraints and indexes."""
    found = []
    for by_models in (False, True):
        with postgresql_template.another() as url:
            database = PostgresqlDatabase(url)
            if by_models:
                metadata.create_all(database.engine)
            else:
                migrate.migrate_postgresql(database)
                assert differences(database.engine) == []
            with database.engine.connect() as connection:
                rows = [tuple(row) for query in CATALOGUE for row in connection.execute(text(query))]
            found.append(sorted(row for row in rows if not str(row[0]).startswith("alembic")))
            database.close()
    assert found[0] == found[1]


def test_revisions_by_the_names_of_files_are_those_of_alembic() -> None:
    """All of them, in their order: each follows the one before."""
    scripts = ScriptDirectory(str(revisions.SCRIPTS))
    assert revisions.known() == [script.revision for script in scripts.walk_revisions()][::-1]
    assert revisions.head() == scripts.get_current_head()


def test_migration_is_done_once(sqlite_database: SqliteDatabase, folder: Path) -> None:
    """An empty database needs no copy, a current one nothing at all."""
    assert revisions.revision_of(sqlite_database) is None
    assert migrate.migrate_sqlite(sqlite_database, folder / "copies") is None
    assert revisions.revision_of(sqlite_database) == revisions.head()
    assert migrate.migrate_sqlite(sqlite_database, folder / "copies") is None
    assert not (folder / "copies").exists()


def test_older_database_is_copied_aside_and_migrated(
    old_database: SqliteDatabase, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is whole and for its owner alone; the rows are in both."""
    before = revisions.head()
    later_revision(monkeypatch, folder)
    name = migrate.migrate_sqlite(old_database, folder / "copies")
    assert name is not None
    copy = Path(name)
    assert copy.parent == folder / "copies"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    with closing(sqlite3.connect(copy)) as kept:
        assert kept.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert kept.execute("SELECT version_num FROM alembic_version").fetchall() == [(before,)]
        assert kept.execute("SELECT name, holder, expires_at FROM lease").fetchall() == [("x", "y", 1)]
    with old_database.read() as session:
        assert session.rows(Sql("SELECT name, note FROM lease")) == [("x", None)]
        assert session.rows(Sql("SELECT * FROM later")) == []
        assert session.value(Sql("SELECT version_num FROM alembic_version")) == "9001"
    assert migrate.migrate_sqlite(old_database, folder / "copies") is None


def test_migration_that_fails_changes_nothing_on_sqlite(
    old_database: SqliteDatabase, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is one transaction; the next start tries again."""
    before = revisions.head()
    later_revision(monkeypatch, folder, more="raise RuntimeError('half way')")
    definitions = tables(folder / "holdfast.db")
    with pytest.raises(RuntimeError, match="half way"):
        migrate.migrate_sqlite(old_database, folder / "copies")
    assert tables(folder / "holdfast.db") == definitions
    assert revisions.revision_of(old_database) == before
    with old_database.read() as session:
        assert session.rows(Sql("SELECT * FROM lease")) == [("x", "y", 1)]
    # A server that is started again and again does not fill the disk.
    assert list((folder / "copies").iterdir()) == []


def test_migration_that_fails_changes_nothing_on_postgresql(
    postgresql_template: PostgresqlTemplate, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same there: no half of a schema that neither program understands."""
    with postgresql_template.another() as url:
        database = PostgresqlDatabase(url)
        migrate.migrate_postgresql(database)
        before = revisions.head()
        later_revision(monkeypatch, folder, more="raise RuntimeError('half way')")
        with pytest.raises(RuntimeError, match="half way"):
            migrate.migrate_postgresql(database)
        assert revisions.revision_of(database) == before
        with database.read() as session:
            assert session.value(Sql("SELECT COUNT(*) FROM pg_tables WHERE tablename = 'later'")) == 0
        database.close()


def test_older_postgresql_database_is_migrated_with_its_rows(
    postgresql_template: PostgresqlTemplate, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place; the pool's connections work as before."""
    with postgresql_template.another() as url:
        database = PostgresqlDatabase(url)
        migrate.migrate_postgresql(database)
        insert = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, 'y', 1)")
        database.write(lambda session: session.run(insert, name="x"))
        later_revision(monkeypatch, folder)
        migrate.migrate_postgresql(database)
        database.write(lambda session: session.run(insert, name="z"))
        with database.read() as session:
            assert sorted(session.rows(Sql("SELECT name, note FROM lease"))) == [("x", None), ("z", None)]
        database.close()


def test_database_of_a_newer_program_is_refused(
    old_database: SqliteDatabase, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And left as it is: no copy, no change."""
    with monkeypatch.context() as newer:
        later_revision(newer, folder)
        migrate.migrate_sqlite(old_database, folder / "copies")
    definitions = tables(folder / "holdfast.db")
    with pytest.raises(SchemaTooNew) as caught:
        migrate.migrate_sqlite(old_database, folder / "other")
    assert caught.value.revision == "9001"
    assert tables(folder / "holdfast.db") == definitions
    assert not (folder / "other").exists()


def test_postgresql_database_of_a_newer_program_is_refused(postgresql_template: PostgresqlTemplate) -> None:
    """By every start, before anything is read."""
    with postgresql_template.another() as url:
        database = PostgresqlDatabase(url)
        migrate.migrate_postgresql(database)
        database.write(lambda session: session.run(Sql("UPDATE alembic_version SET version_num = 'ffff'")))
        with pytest.raises(SchemaTooNew):
            migrate.migrate_postgresql(database)
        database.close()


_MIGRATE = """
import sys
from pathlib import Path
from appliance.db import migrate
from appliance.db.sqlite import SqliteDatabase

database = SqliteDatabase(Path(sys.argv[1]), synced=False)
print("ready", flush=True)
sys.stdin.readline()
print(migrate.migrate_sqlite(database, Path(sys.argv[2])))
"""


def test_processes_that_start_together_migrate_once(folder: Path) -> None:
    """They wait for the first, and find nothing left to do."""
    path = folder / "holdfast.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _MIGRATE, str(path), str(folder / "copies")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in processes] == ["None\n"] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert differences(create_engine(f"sqlite:///{path}", poolclass=NullPool)) == []

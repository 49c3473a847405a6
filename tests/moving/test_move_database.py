"""A database moves to the other kind and back: row by row the same, and what is numbered goes on."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import pytest

from appliance.app import open_appliance
from appliance.db import location, migrate
from appliance.db.database import Database
from appliance.db.models import metadata
from appliance.db.sql import Sql
from appliance.errors import ConfigError, MoveRefused, SchemaTooNew
from appliance.files import write
from appliance.moving.database import abort, claimed, move_database
from appliance.principal import system
from appliance.stores import open_database
from appliance.tree.paths import parse
from appliance.upkeep.check import check
from tests.data_folders.inventory import inventory
from tests.moving.places import (
    contents,
    postgresql_at,
    postgresql_target,
    settings_of,
    sqlite_at,
    sqlite_target,
)

_NEXT = Sql("INSERT INTO fence (holder, expires_at, raised_at) VALUES ('b', 1, 2) RETURNING id")


def next_fence(database: Database) -> int:
    """An id that was never given out."""
    found: int = database.write(lambda session: session.value(_NEXT))
    return found


def test_there_and_back_every_row_is_the_same(data: Path, empty: str, tmp_path: Path) -> None:
    """Of every table, none of which is empty; the same numbers come next."""
    with sqlite_at(data / "holdfast.db") as first:
        before = contents(first)
        assert [name for name, rows in before.items() if not rows] == []
        with first.read() as session:
            last = session.last_ids()
        done = move_database(first, postgresql_target(empty))
    assert done.rows == sum(map(len, before.values()))
    back = tmp_path / "back" / "holdfast.db"
    with postgresql_at(empty) as second:
        assert contents(second) == before
        there = move_database(second, sqlite_target(back))
        assert there.rows == done.rows
        assert contents(second) == before
    with sqlite_at(back) as third:
        assert contents(third) == before
        with third.read() as session:
            assert {name: number for name, number in session.last_ids().items() if name in last} == last
        assert next_fence(third) == last["fence"] + 1
    assert sorted(path.name for path in back.parent.iterdir()) == ["holdfast.db", "holdfast.db-writers"]


def test_both_schemas_are_what_the_models_say(data: Path, empty: str, tmp_path: Path) -> None:
    """Indexes and constraints that were made after the rows are all there."""

    def shape(database: Database) -> object:
        with database.read() as session:
            if session.dialect.name == "sqlite":
                return sorted(session.rows(Sql("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")))
            constraints = Sql("""
                SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
                WHERE connamespace = 'public'::regnamespace
            """)
            indexes = Sql("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
            return sorted(session.rows(constraints)) + sorted(session.rows(indexes))

    with sqlite_at(data / "holdfast.db") as first:
        file_shape = shape(first)
        move_database(first, postgresql_target(empty))
    with postgresql_at(empty) as second:
        moved = shape(second)
        move_database(second, sqlite_target(tmp_path / "back.db"))
        metadata.drop_all(second.engine)
        with second.engine.connect() as connection:
            connection.exec_driver_sql("DROP TABLE alembic_version")
        migrate.migrate_postgresql(second)
        assert moved == shape(second)
    with sqlite_at(tmp_path / "back.db") as third:
        assert shape(third) == file_shape


def test_store_is_the_same_to_its_users(data: Path, empty: str) -> None:
    """The old configuration leads to it, the incarnation is the same, people write, and every invariant holds."""
    with closing(open_appliance(settings_of(data))) as appliance:
        before, incarnation = inventory(appliance), appliance.files.incarnation
        found = check(appliance.database, appliance.backend, read_data=True).findings
    with sqlite_at(data / "holdfast.db") as first:
        move_database(first, postgresql_target(empty))
    for settings in (settings_of(data), settings_of(data, empty)):
        with closing(open_appliance(settings)) as appliance:
            assert appliance.database.dialect.name == "postgresql"
            assert appliance.files.incarnation == incarnation
            assert inventory(appliance) == before
            assert [each.kind for each in check(appliance.database, appliance.backend, read_data=True).findings] == [
                each.kind for each in found
            ]
            write.put_file(appliance.files, system(2, face="test"), parse("/new"), io.BytesIO(b"new"), length=3)
            before = inventory(appliance)


def test_old_place_is_written_to_by_nobody(data: Path, empty: str) -> None:
    """It says where the store is, also to whom the password would have to be given."""
    url = empty.replace("postgres@", "postgres:hidden-word@")
    with sqlite_at(data / "holdfast.db") as first:
        next_fence(first)
        target = postgresql_target(url)
        target.shown = empty
        move_database(first, target)
        with pytest.raises(Exception, match="moved") as caught:
            next_fence(first)
        assert getattr(caught.value, "where", "") == empty
        with pytest.raises(MoveRefused, match="has moved to"):
            abort(first, None)
        with pytest.raises(MoveRefused, match="is used there"):
            abort(first, target)
    assert b"hidden-word" not in (data / "holdfast.db").read_bytes()


def test_move_again_is_done_already(data: Path, empty: str, postgresql_template: object) -> None:
    """Nothing is copied, also if the first one was not heard to end; to another place it does not go."""
    with sqlite_at(data / "holdfast.db") as first:
        move_database(first, postgresql_target(empty))
        with postgresql_at(empty) as second:
            fence = next_fence(second)
            assert move_database(first, postgresql_target(empty)).rows == 0
            assert next_fence(second) == fence + 1
        with pytest.raises(MoveRefused, match="has moved to"):
            move_database(first, sqlite_target(data / "other.db"))


def test_what_is_written_meanwhile_moves_as_well(data: Path, empty: str) -> None:
    """Rows that come, change and go between the first copy and the freeze; names that change hands."""
    with sqlite_at(data / "holdfast.db") as first:
        changes = [
            "UPDATE \"user\" SET name = 'nobody' WHERE name = 'ben'",
            "UPDATE \"user\" SET name = 'ben' WHERE name = 'gone'",
            "DELETE FROM placement",
            "INSERT INTO fence (holder, expires_at, raised_at) VALUES ('late', 1, 2)",
            "UPDATE journal SET at = at + 1",
        ]
        left = list(changes)

        def meanwhile(progress: object) -> None:
            if getattr(progress, "step", "") in ("rows", "indexes", "what changed") and left:
                statement = Sql(left.pop(0))
                first.write(lambda session: session.run(statement))

        move_database(first, postgresql_target(empty), progress=meanwhile)
        assert not left
        with postgresql_at(empty) as second:
            assert contents(second) == contents(first)


@pytest.mark.parametrize("what", ["table", "store", "this"])
def test_place_that_is_in_use_is_refused(data: Path, filled: Path, empty: str, what: str) -> None:
    """Whatever is there stays as it is, and the store goes on where it is."""
    with postgresql_at(empty) as there, sqlite_at(data / "holdfast.db") as first:
        if what == "table":
            with there.engine.connect() as connection:
                connection.exec_driver_sql("CREATE TABLE notes (id int)")
        else:
            with sqlite_at(filled / "holdfast.db") as other:
                move_database(other, postgresql_target(empty))
                # It is copied for other tests.
                place = location.read(other)
                assert place is not None
                other.maintain(
                    lambda session: location.store(session, place._replace(state="", frozen_at=None, moved_to=""))
                )
        if what == "store":
            there.write(lambda session: session.run(Sql("UPDATE store SET store_id = 'another'")))
        match = {"table": "not empty", "store": "another store", "this": "this very store"}[what]
        with pytest.raises(MoveRefused, match=match):
            move_database(first, postgresql_target(empty))
        assert next_fence(first) > 0
        with there.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_file_that_is_there_is_refused(data: Path, empty: str, tmp_path: Path) -> None:
    """A database of something else, text, the store as it was before it moved."""
    with sqlite_at(data / "holdfast.db") as first:
        move_database(first, postgresql_target(empty))
    text = tmp_path / "text"
    text.write_text("dear diary")
    with postgresql_at(empty) as second:
        with pytest.raises(MoveRefused, match="is there already"):
            move_database(second, sqlite_target(text))
        with pytest.raises(MoveRefused, match="before it moved"):
            move_database(second, sqlite_target(data / "holdfast.db"))
        assert next_fence(second) > 0
    assert text.read_text() == "dear diary"


def test_place_that_is_too_new_is_refused(data: Path, empty: str) -> None:
    """A newer program may have made it."""
    with postgresql_at(empty) as there, sqlite_at(data / "holdfast.db") as first:
        migrate.migrate_postgresql(there)
        there.maintain(lambda session: session.run(Sql("UPDATE alembic_version SET version_num = '9999'")))
        with pytest.raises(SchemaTooNew):
            move_database(first, postgresql_target(empty))
        assert next_fence(first) > 0


def test_two_moves_at_a_time_are_kept_apart(data: Path, empty: str, tmp_path: Path) -> None:
    """From one place to two, and from two to one."""
    with sqlite_at(data / "holdfast.db") as first:
        with claimed(first, ""), pytest.raises(MoveRefused, match="under way"):
            move_database(first, postgresql_target(empty))
        with postgresql_at(empty) as second, claimed(second, ""), pytest.raises(MoveRefused, match="under way"):
            move_database(first, postgresql_target(empty))
        assert move_database(first, postgresql_target(empty)).rows > 0


def test_store_that_is_too_old_does_not_move(data: Path, empty: str) -> None:
    """The server's start makes it newer."""
    with sqlite_at(data / "holdfast.db") as first:
        first.maintain(lambda session: session.run(Sql("DROP TABLE location")))
        with pytest.raises(MoveRefused, match="older than this program"):
            move_database(first, postgresql_target(empty))
    assert not postgresql_target(empty).is_there()


def test_unfinished_copy_opens_for_nobody(data: Path, empty: str) -> None:
    """A configuration that names it is told what to do."""
    with sqlite_at(data / "holdfast.db") as first, postgresql_at(empty) as there:
        move_database(first, postgresql_target(empty))
        place = location.read(there)
        assert place is not None
        there.maintain(lambda session: location.store(session, place._replace(state="arrived", frozen_at=1)))
    for settings in (settings_of(data), settings_of(data, empty)):
        with pytest.raises(ConfigError, match="has not become the store's"):
            open_database(settings)


def test_store_that_went_on_elsewhere_is_not_followed_to_another(data: Path, empty: str) -> None:
    """Somebody else's database has that name by now."""
    with sqlite_at(data / "holdfast.db") as first, postgresql_at(empty) as there:
        move_database(first, postgresql_target(empty))
        there.write(lambda session: session.run(Sql("UPDATE store SET store_id = 'another'")))
    with pytest.raises(ConfigError, match="another one is now"):
        open_database(settings_of(data))

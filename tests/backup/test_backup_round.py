"""A backup, and what is restored from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.accounts import users
from appliance.backup import blocks, tables
from appliance.backup.blocks import Columns, Sealed
from appliance.db import migrate, revisions
from appliance.db.models import metadata
from appliance.db.sql import Sql
from appliance.errors import Damaged, SchemaTooNew
from appliance.upkeep import prune
from appliance.upkeep.prune import Policy
from tests.backup.places import Place, restore_to, started, tree_at
from tests.data_folders.inventory import inventory
from tests.db.test_migrate import later_revision
from tests.files.person import Person
from tests.files.pruning import count, prune_ripe
from tests.support.content import noise
from tests.support.databases import on_sqlite
from tests.support.unnamed import unnamed

_SPOIL = """
    INSERT INTO web_session VALUES (x'01', 1, 1, 1, '', '');
    INSERT INTO api_token VALUES (1, 1, 'x', x'01', 'files:read', NULL, 1, 9000000000000000);
    INSERT INTO login_failure VALUES ('anna', '192.0.2.1', 1, 1);
    INSERT INTO login_block VALUES ('anna', '*', 1, 9000000000000000);
    INSERT INTO login_network VALUES ('anna', '192.0.2.7', 1);
    INSERT INTO rate_bucket VALUES ('anna', 'user-bytes', 9000000000000000, 1);
    INSERT INTO lease VALUES ('prune', 'somebody', 9000000000000000);
    INSERT INTO job VALUES ('prune', 1, 1, 1, NULL, NULL);
    INSERT INTO job_run VALUES (1, 'prune', 'somebody', 1, 1, 'done', '', '', 0, 0, '')
"""


def test_restored_store_is_what_was_backed_up(place: Place) -> None:
    """Every path, version, property and removed thing, of every user; whichever database it was in."""
    before = place.inventory()
    taken = place.take()
    place.require_clean_backup()
    restored = place.restore()
    assert restored.problems == []
    assert restored.copied == taken.snapshot.packs > 0
    with started(place.scratch / "restored") as appliance:
        assert inventory(appliance) == before
        for tree in taken.snapshot.trees:
            assert tree_at(appliance.files, tree.tree_id, tree.seq) == tree_at(place.files, tree.tree_id, tree.seq)


def test_restored_folder_holds_a_store_at_rest_and_nothing_else(place: Place) -> None:
    """One database without a log, for its owner alone."""
    place.take()
    place.restore()
    folder = place.scratch / "restored"
    assert set(os.listdir(folder)) == {"blobs", "holdfast.db", "partial", "server.lock"}
    assert os.listdir(folder / "partial") == []


@on_sqlite
def test_what_belonged_to_the_processes_and_clients_of_then_is_gone(place: Place, anna: Person) -> None:
    """Who was signed in, blocked, or held a lock; from where people sign in is kept."""
    for statement in _SPOIL.split(";"):
        place.files.database.write(lambda session, text=statement: session.run(Sql(text)))
    place.take()
    place.restore()
    with started(place.scratch / "restored") as appliance, appliance.database.read() as session:
        for table in (
            "web_session",
            "api_token",
            "login_failure",
            "login_block",
            "lease",
            "fence",
            "lock",
            "writer",
            "job",
            "job_run",
            "rate_bucket",
        ):
            assert session.value(Sql(f"SELECT COUNT(*) FROM {table}")) == 0, table
        assert session.rows(Sql("SELECT account, network FROM login_network")) == [("anna", "192.0.2.7")]
        assert session.row(Sql("SELECT COUNT(*) FROM pack WHERE synced = 0")) == (0,)


def test_restored_store_gives_out_no_number_again_and_has_another_incarnation(place: Place, anna: Person) -> None:
    """Also not those of what was deleted for good; what clients know is void."""
    with place.files.database.read() as session:
        last = session.last_ids()
    etag = anna.etag("/small.txt")
    taken, restored = place.take(), place.restore()
    assert restored.incarnation != taken.snapshot.incarnation == place.files.incarnation
    with started(place.scratch / "restored") as appliance:
        with appliance.database.read() as session:
            assert {table: session.last_ids()[table] for table in last if table not in tables.LEFT_OUT} == {
                table: number for table, number in last.items() if table not in tables.LEFT_OUT
            }
        again = Person.of(appliance.files, "anna")
        assert again.etag("/small.txt") != etag
        assert Person.new(appliance.files, "newcomer").user.id == last["user"] + 1
        again.put("/more", noise(100_000, seed=99))
        assert again.rows("SELECT MIN(id) FROM writer")[0][0] > last["writer"]


def test_chunks_that_nobody_names_come_back_with_their_packs_and_are_pruned(place: Place, anna: Person) -> None:
    """What prune had forgotten in the store is found by the restored store's own prune."""
    part = noise(300_000, seed=50)
    gone = Person.new(place.files, "gone")
    gone.put("/more of it", part + noise(900_000, seed=51))
    anna.put("/a part", part)
    users.purge_user(place.files.database, gone.user)
    prune_ripe(anna, Policy(dead_percent=100))
    assert int(anna.rows("SELECT SUM(size) FROM pack")[0][0]) > int(anna.rows("SELECT SUM(stored) FROM chunk")[0][0])
    chunks = count(anna, "chunk")
    place.take()
    place.restore()
    with started(place.scratch / "restored") as appliance:
        assert count(Person.of(appliance.files, "anna"), "chunk") > chunks
        prune.prune(appliance.database, appliance.backend)
        assert count(Person.of(appliance.files, "anna"), "chunk") == chunks
        assert unnamed(appliance.database) == []


@on_sqlite
def test_backup_of_an_older_schema_is_migrated(place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of then are made, filled, and then become those of this program."""
    before = place.inventory()
    place.take()
    later_revision(monkeypatch, place.scratch)
    place.restore()
    with started(place.scratch / "restored") as appliance:
        assert revisions.revision_of(appliance.database) == "9001"
        assert inventory(appliance) == before


@on_sqlite
def test_backup_of_a_newer_program_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is made."""
    with monkeypatch.context() as newer:
        later_revision(newer, place.scratch)
        migrate.migrate_sqlite(place.files.database, place.scratch / "copies")
        place.take()
    with pytest.raises(SchemaTooNew):
        place.restore()
    assert set(os.listdir(place.scratch / "restored")) == {"server.lock"}


@on_sqlite
def test_empty_store_is_backed_up_and_restored(files: object, tmp_path: Path) -> None:
    """Without a user, a pack, or a change."""
    place = Place(files, tmp_path)  # type: ignore[arg-type]
    assert place.take().snapshot.packs == 0
    place.restore()
    with started(tmp_path / "restored", silently=False) as appliance:
        # The first user is made by the start.
        assert [user.name for user in users.listing(appliance.database)] == ["admin"]


def test_every_table_is_kept_or_left_out_for_a_reason() -> None:
    """A new one is in the next backup by itself."""
    kept = {table.name for table in tables.kept_tables()}
    assert kept | set(tables.LEFT_OUT) == set(metadata.tables)
    assert not kept & set(tables.LEFT_OUT)
    assert all(tables.LEFT_OUT.values())


COLUMNS = Columns("things", ("id", "name", "data"), ("integer", "text", "bytes"))


@pytest.mark.parametrize(
    "rows",
    [
        [(1, "a", b"x")],
        [(-(1 << 63), "", b""), ((1 << 63) - 1, "ü🐎\x00", bytes(70_000))],
        [(None, None, None), (0, "x", None), (None, "", b"y")],
    ],
)
def test_block_gives_back_its_rows(rows: list[tuple[object, ...]]) -> None:
    """Of every kind, with values missing."""
    sealed = blocks.seal(COLUMNS, rows)
    assert blocks.open_block(sealed) == (COLUMNS, rows)
    assert blocks.seal(COLUMNS, rows) == sealed


def test_block_that_was_changed_anywhere_is_damaged() -> None:
    """Each byte counts; nothing but ``Damaged`` comes out."""
    sealed = blocks.seal(COLUMNS, [(1, "a", b"x")])
    for at in range(len(sealed.stored)):
        spoiled = bytearray(sealed.stored)
        spoiled[at] ^= 0x41
        with pytest.raises(Damaged):
            assert blocks.open_block(Sealed(sealed.sha256, bytes(spoiled))).rows != [(1, "a", b"x")]
    with pytest.raises(Damaged):
        blocks.open_block(Sealed(sealed.sha256, sealed.stored[:-1]))


def test_row_that_comes_or_goes_alters_one_block_or_two() -> None:
    """Blocks are cut by what is in them, not by counting."""
    rows = [(number, f"row {number}", b"") for number in range(20_000)]

    def names(of: list[tuple[object, ...]]) -> set[str]:
        return {blocks.seal(COLUMNS, block).sha256 for block in blocks.cut(of, key=1, mean=500)}

    whole = names(rows)
    assert 20 < len(whole) < 100
    for gone in (0, 777, 13_000, 19_999):
        assert len(names(rows[:gone] + rows[gone + 1 :]) ^ whole) <= 4
    assert len(names([*rows, (20_000, "more", b"")]) ^ whole) <= 4


def test_restore_into_a_folder_twice_is_refused(place: Place) -> None:
    """The second would replace a store."""
    place.take()
    place.restore()
    with pytest.raises(Exception, match="holds a store"):
        restore_to(place.backup, place.scratch / "restored")

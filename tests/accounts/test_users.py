"""Users: names, roles, quotas, and what removing and purging leave."""

from __future__ import annotations

import pytest

from appliance import clock
from appliance.accounts import app_passwords, users
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.db.models import metadata
from appliance.db.sql import Sql
from appliance.errors import BadRequest, NameTaken, NotFound
from appliance.files import folders, lock, properties, remove, transfer, write
from appliance.files.context import Files
from appliance.principal import Principal
from tests.conftest import PASSWORD
from tests.support.content import MIB, Body, noise
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads


def test_new_user_has_an_empty_tree(database: Database) -> None:
    """With the quota and role asked for; a member without a quota otherwise."""
    before = clock.now()
    alice = users.add(database, "alice", PASSWORD)
    assert (alice.name, alice.role, alice.state, alice.quota_bytes) == ("alice", "member", "active", None)
    assert (alice.files, alice.bytes) == (0, 0)
    assert before <= alice.created_at <= clock.now()
    boss = users.add(database, "boss", PASSWORD, role="admin", quota_bytes=5 * MIB)
    assert (boss.role, boss.quota_bytes) == ("admin", 5 * MIB)
    assert boss.tree_id != alice.tree_id
    assert users.listing(database) == [alice, boss]
    assert users.get(database, "boss") == boss


@on_sqlite
@pytest.mark.parametrize("name", ["a", "0", "anna.berta-c_d", "anna@example.com", "x" * 64])
def test_name_of_allowed_characters_is_a_user(database: Database, name: str) -> None:
    """Addresses of mail too."""
    assert users.add(database, name, PASSWORD).name == name


@on_sqlite
@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        ".anna",
        "-anna",
        "@anna",
        "_anna",
        "x" * 65,
        "a b",
        "a/b",
        "a\\b",
        "a:b",
        "é",
        "a\0",
        "a\n b",
    ],
)
def test_name_that_breaks_a_rule_is_refused(database: Database, name: str) -> None:
    """A colon could not stand in Basic credentials, a slash not in paths."""
    with pytest.raises(BadRequest, match="name"):
        users.add(database, name, PASSWORD)
    assert users.listing(database) == []


def test_case_and_surrounding_space_of_a_name_do_not_count(database: Database) -> None:
    """People type their names as they like."""
    alice = users.add(database, " Alice ", PASSWORD)
    assert alice.name == "alice"
    assert users.get(database, "ALICE") == alice
    with pytest.raises(NameTaken):
        users.add(database, "aLICE", PASSWORD)


def test_bad_role_or_password_makes_no_user(database: Database) -> None:
    """Nothing is left of the attempt."""
    with pytest.raises(BadRequest, match="role"):
        users.add(database, "alice", PASSWORD, role="owner")
    with pytest.raises(BadRequest, match="password"):
        users.add(database, "alice", "short")
    assert not users.any_exist(database)
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM tree")) == 0


def test_user_who_does_not_exist_is_not_found(database: Database) -> None:
    """Whatever the name looks like."""
    for name in ("nobody", "", "a/b", "é" * 100, "nul\0", "\udcff"):
        with pytest.raises(NotFound):
            users.get(database, name)


def test_name_is_given_to_one_of_many_at_once(database: Database) -> None:
    """The others are told that it is taken."""

    def work(number: int) -> str:
        try:
            return users.add(database, "alice", PASSWORD, role="member").name
        except NameTaken:
            return "taken"

    assert sorted(in_threads(4, work)) == ["alice", "taken", "taken", "taken"]
    assert len(users.listing(database)) == 1


def test_quota_is_set_and_lifted(database: Database, user: User) -> None:
    """Nothing else changes."""
    users.set_quota(database, user, 10)
    assert users.get(database, "alice") == user._replace(quota_bytes=10)
    users.set_quota(database, user, None)
    assert users.get(database, "alice") == user


def test_removed_user_keeps_name_and_tree_until_purged(
    files: Files, database: Database, user: User, principal: Principal
) -> None:
    """Nobody else gets the name while the files are there, and the user can come back to them."""
    write.put_file(files, principal, ("kept",), Body(b"x" * 1000), length=1000)
    secret_id, _ = app_passwords.add(database, user, "laptop")
    users.remove(database, user)
    removed = users.get(database, "alice")
    assert (removed.state, removed.files, removed.bytes) == ("removed", 1, 1000)
    with pytest.raises(NameTaken, match="files kept"):
        users.add(database, "alice", PASSWORD)
    assert [each.revoked_at is not None for each in app_passwords.listing(database, user)] == [True]
    users.set_state(database, user, "active")
    assert users.get(database, "alice").state == "active"
    assert [each.id for each in app_passwords.listing(database, user)] == [secret_id]


def test_removed_user_is_neither_disabled_nor_given_an_app_password(database: Database, user: User) -> None:
    """Both would look as if the user were still there, or be so; only who is brought back gets them."""
    users.remove(database, user)
    removed = users.get(database, "alice")
    with pytest.raises(BadRequest, match="alice is removed"):
        users.set_state(database, user, "disabled")
    # Also for who has looked before the user was removed.
    for known in (user, removed):
        with pytest.raises(BadRequest, match="alice is removed"):
            app_passwords.add(database, known, "laptop")
    assert users.get(database, "alice") == removed
    assert app_passwords.listing(database, user) == []
    users.set_state(database, user, "active")
    users.set_state(database, user, "disabled")
    assert users.get(database, "alice").state == "disabled"
    app_passwords.add(database, user, "laptop")


def fill(files: Files, principal: Principal) -> None:
    """A tree with a row in every table that belongs to it."""

    def put(path: tuple[str, ...], content: bytes) -> None:
        write.put_file(files, principal, path, Body(content), length=len(content))

    folders.make_folder(files, principal, ("a",))
    put(("a", "file"), noise(50_000))
    put(("a", "file"), noise(60_000))
    put(("small",), b"small")
    transfer.move(files, principal, ("a",), ("b",), overwrite=False)
    transfer.copy(files, principal, ("b",), ("c",), overwrite=False)
    properties.patch(files, principal, ("b", "file"), [("{x}y", "<y xmlns='x'/>")])
    remove.remove(files, principal, ("c",))
    lock.take(files, principal, ("b",), lock.Wanted("exclusive", "infinity", None, 600))


def rows(database: Database) -> dict[str, int]:
    """The number of rows of each table."""
    with database.read() as session:
        return {
            table.name: session.value(Sql(f'SELECT COUNT(*) FROM "{table.name}"')) for table in metadata.sorted_tables
        }


def test_purge_leaves_no_row_of_the_tree_behind(
    files: Files, database: Database, user: User, principal: Principal
) -> None:
    """Nor of the user; the trees of others stay as they are, and so does content, which prune takes."""
    other = users.add(database, "bob", PASSWORD)
    others = Principal("user", other.id, other.name, other.role, other.id, None, "test", "")
    fill(files, others)
    app_passwords.add(database, other, "phone")
    before = rows(database)
    belongs = {"user", "tree", "node", "placement", "version", "journal", "trash", "property", "lock", "app_password"}
    assert all(before[table] for table in belongs)
    users.purge_user(database, user)
    users.add(database, "alice", PASSWORD)
    again = users.get(database, "alice")
    fill(files, Principal("user", again.id, again.name, again.role, again.id, None, "test", ""))
    app_passwords.add(database, again, "phone")
    full = rows(database)
    assert all(full[table] > before[table] for table in belongs - {"user", "tree"})
    users.purge_user(database, again)
    after = rows(database)
    assert {table: after[table] for table in belongs} == {
        table: before[table] - (table in ("user", "tree", "node")) for table in belongs
    }
    with pytest.raises(NotFound):
        users.get(database, "alice")
    assert users.get(database, "bob").files == 2


def test_purged_name_is_free_and_its_new_user_gets_nothing_of_the_old(
    files: Files, database: Database, user: User, principal: Principal
) -> None:
    """Ids are not used again, so that no journal row or lock can be taken for the new user's."""
    fill(files, principal)
    users.purge_user(database, user)
    again = users.add(database, "alice", PASSWORD)
    assert again.id != user.id
    assert again.tree_id != user.tree_id
    assert (again.files, again.bytes) == (0, 0)


def test_purge_of_a_user_who_is_writing_fails_the_write(
    files: Files, database: Database, user: User, principal: Principal
) -> None:
    """What arrives after the purge finds no tree, and leaves no row of one."""

    class Purging(Body):
        def readinto(self, buffer: memoryview, /) -> int:
            if self._position == 0:
                users.purge_user(database, user)
            return super().readinto(buffer)

    with pytest.raises(NotFound):
        write.put_file(files, principal, ("late",), Purging(noise(100_000)), length=100_000)
    after = rows(database)
    assert [after[table] for table in ("user", "tree", "node", "version", "journal", "chunk", "pack")] == [0] * 7

"""make_folder: a new, empty folder, or nothing."""

from __future__ import annotations

import pytest

from appliance.errors import BadName, HoldfastError, NameTaken, NotAFolder, ParentMissing, TooLarge
from appliance.files import folders
from appliance.tree.paths import Path
from tests.files.dump import refused
from tests.files.person import Person


def test_make_folder_new_name_is_an_empty_folder(alice: Person) -> None:
    """It counts no file and no byte, and carries the time of the change."""
    node = alice.mkdir("/d", "/d/e")
    assert alice.node("/d/e") == node
    assert node.is_folder
    assert (node.files, node.bytes, node.version_seq) == (0, 0, None)
    assert node.modified_at == node.created_at == alice.now()
    assert alice.names("/d") == ["e"]
    assert alice.names("/d/e") == []


def test_make_folder_with_a_time_keeps_it(alice: Person) -> None:
    """The client's time stands until the members change."""
    alice.mkdir("/d", modified_at=1_500_000_000_000_000)
    assert alice.node("/d").modified_at == 1_500_000_000_000_000
    alice.put("/d/a")
    assert alice.node("/d").modified_at == alice.now()


def test_make_folder_with_properties_has_them_at_once(alice: Person) -> None:
    """In the change that makes it; what is too large makes nothing."""
    node = folders.make_folder(alice.files, alice.principal, ("d",), dead=[("{u}a", "<a>1</a>"), ("{u}a", "<a>2</a>")])
    assert alice.node("/d") == node
    assert alice.properties("/d") == {"{u}a": "<a>2</a>"}
    with refused(alice.files.database, TooLarge):
        folders.make_folder(alice.files, alice.principal, ("e",), dead=[("{u}a", "x" * 70_000)])


REFUSED: list[tuple[Path, type[HoldfastError]]] = [
    ((), NameTaken),
    (("d",), NameTaken),
    (("f",), NameTaken),
    (("missing", "a"), ParentMissing),
    (("f", "a"), NotAFolder),
    (("f", "a", "b"), NotAFolder),
    (("d", "."), BadName),
    (("d", ""), BadName),
    (("d", "\ufffe"), BadName),
    (("d", "\U0001f600" * 128), BadName),
]


def test_make_folder_impossible_path_changes_nothing(alice: Person, subtests: pytest.Subtests) -> None:
    """Each refusal has its own reason."""
    alice.mkdir("/d")
    alice.put("/f")
    for path, error in REFUSED:
        with subtests.test(path=path), refused(alice.files.database, error):
            folders.make_folder(alice.files, alice.principal, path)


def test_make_folder_where_one_was_removed_is_a_new_one(alice: Person) -> None:
    """The name is free again; the removed folder stays in the trash with its own id."""
    first = alice.mkdir("/d")
    alice.remove("/d")
    second = alice.mkdir("/d")
    assert second.id != first.id
    assert [removed.node_id for removed in alice.trash()] == [first.id]

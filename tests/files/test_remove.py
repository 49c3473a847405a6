"""remove: into the trash, with everything below."""

from __future__ import annotations

import pytest

from appliance.errors import Denied, HoldfastError, NotFound
from appliance.files import remove
from appliance.tree.paths import Path
from tests.files.dump import refused
from tests.files.person import Person


def test_remove_file_takes_it_from_its_folder(alice: Person) -> None:
    """Gone from the listing, found in the trash."""
    alice.mkdir("/d")
    node = alice.put("/d/a", b"12345").node
    alice.put("/d/b")
    alice.remove("/d/a")
    assert alice.names("/d") == ["b"]
    assert not alice.exists("/d/a")
    (removed,) = alice.trash()
    assert removed.node_id == node.id
    assert (removed.name, removed.path, removed.reason) == ("a", "/d/a", "deleted")
    assert (removed.files, removed.bytes, removed.removed_at) == (1, 5, alice.now())
    assert removed.user_id == alice.principal.user_id


def test_remove_folder_takes_all_below_as_one_piece(alice: Person) -> None:
    """What was in it is reached no more, and the trash holds one thing."""
    alice.mkdir("/d", "/d/e")
    alice.put("/d/e/a", b"12")
    alice.put("/d/b", b"345")
    alice.remove("/d")
    assert alice.names() == []
    for path in ("/d", "/d/e", "/d/e/a", "/d/b"):
        with pytest.raises(NotFound):
            alice.node(path)
    assert [(removed.path, removed.files, removed.bytes) for removed in alice.trash()] == [("/d", 2, 5)]


REFUSED: list[tuple[Path, type[HoldfastError]]] = [
    ((), Denied),
    (("missing",), NotFound),
    (("missing", "a"), NotFound),
    (("d", "missing"), NotFound),
    (("f", "a"), NotFound),
    (("\x00",), NotFound),
    (("d", "\ud800"), NotFound),
]


def test_remove_what_cannot_be_removed_changes_nothing(alice: Person, subtests: pytest.Subtests) -> None:
    """The root stays, and what is not there cannot go."""
    alice.mkdir("/d")
    alice.put("/f")
    for path, error in REFUSED:
        with subtests.test(path=path), refused(alice.files.database, error):
            remove.remove(alice.files, alice.principal, path)


def test_remove_twice_is_not_found(alice: Person) -> None:
    """The second one has nothing to do."""
    alice.put("/a")
    alice.remove("/a")
    with refused(alice.files.database, NotFound):
        alice.remove("/a")

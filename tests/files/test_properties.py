"""patch: dead properties and times, all or nothing."""

from __future__ import annotations

import pytest

from appliance.errors import NotFound, TooLarge
from appliance.tree.properties import NODE_LIMIT, VALUE_LIMIT
from tests.files.dump import refused
from tests.files.person import Person

NAME = "{urn:x}name"


def test_patch_sets_replaces_and_removes_in_order(alice: Person) -> None:
    """The last word on a name counts (RFC 4918 §9.2)."""
    alice.put("/a")
    alice.patch("/a", [(NAME, "<one/>"), ("{urn:x}b", "<b/>"), (NAME, "<two/>")])
    assert alice.properties("/a") == {NAME: "<two/>", "{urn:x}b": "<b/>"}
    alice.patch("/a", [(NAME, "<three/>"), (NAME, None), ("{urn:x}never", None)])
    assert alice.properties("/a") == {"{urn:x}b": "<b/>"}


def test_patch_works_on_folders_and_the_root(alice: Person) -> None:
    """Every node may have properties."""
    alice.mkdir("/d")
    for path in ("/", "/d"):
        alice.patch(path, [(NAME, f"<v>{path}</v>")])
        assert alice.properties(path) == {NAME: f"<v>{path}</v>"}


def test_patch_time_sets_file_and_version(alice: Person) -> None:
    """The version's time follows, so that a restored file has it too."""
    alice.put("/a")
    alice.patch("/a", modified_at=1_500_000_000_000_000)
    assert alice.node("/a").modified_at == 1_500_000_000_000_000
    assert alice.versions("/a")[0].modified_at == 1_500_000_000_000_000
    alice.mkdir("/d")
    alice.patch("/d", modified_at=1_400_000_000_000_000)
    assert alice.node("/d").modified_at == 1_400_000_000_000_000


def test_patch_missing_path_changes_nothing(alice: Person) -> None:
    """Properties belong to something that is there."""
    with refused(alice.files.database, NotFound):
        alice.patch("/a", [(NAME, "<v/>")])


def test_patch_too_large_property_changes_nothing(alice: Person) -> None:
    """All or nothing: the small one before it is not set either."""
    alice.put("/a")
    alice.patch("/a", [("{urn:x}fits", "x" * (VALUE_LIMIT - len("{urn:x}fits")))])
    with refused(alice.files.database, TooLarge):
        alice.patch("/a", [(NAME, "<small/>"), ("{urn:x}fits", None), ("{urn:x}large", "x" * VALUE_LIMIT)])


def test_patch_too_much_together_changes_nothing(alice: Person) -> None:
    """A node's properties have a limit in all; what replaces another counts once."""
    alice.put("/a")
    part = "x" * (VALUE_LIMIT - 20)
    names = [f"{{urn:x}}n{index}" for index in range(NODE_LIMIT // VALUE_LIMIT)]
    alice.patch("/a", [(name, part) for name in names])
    alice.patch("/a", [(names[0], part)])
    with refused(alice.files.database, TooLarge):
        alice.patch("/a", [(NAME, "x" * 100)])


@pytest.mark.parametrize("verb", ["move", "remove and restore"])
def test_properties_stay_with_their_node(alice: Person, verb: str) -> None:
    """Moving, removing and restoring need nothing done to them (RFC 4918 §9.9.1)."""
    alice.mkdir("/d")
    alice.put("/d/a")
    alice.patch("/d", [(NAME, "<d/>")])
    alice.patch("/d/a", [(NAME, "<a/>")])
    if verb == "move":
        alice.move("/d", "/e")
    else:
        alice.remove("/d")
        alice.put_back(alice.trash()[0], "/e")
    assert alice.properties("/e") == {NAME: "<d/>"}
    assert alice.properties("/e/a") == {NAME: "<a/>"}

"""open_path, exists, content and list_path: the tree as it is now."""

from __future__ import annotations

import pytest

from appliance.errors import NotFound
from appliance.files import read
from appliance.tree.paths import parse
from tests.files.dump import refused
from tests.files.person import Person
from tests.support.content import noise, ranges


def test_open_missing_path_is_not_found(alice: Person) -> None:
    """Whatever part of it is missing."""
    alice.put("/f")
    for path in ("/a", "/a/b", "/f/a", "/f/a/b"):
        with refused(alice.files.database, NotFound):
            alice.node(path)
        with refused(alice.files.database, NotFound):
            alice.listing(path)
        assert not alice.exists(path)


def test_open_folder_and_root_are_found_without_content(alice: Person) -> None:
    """Folders open as folders; the root always exists."""
    alice.mkdir("/d")
    for path in ("/", "/d"):
        opened = read.open_path(alice.files, alice.principal, parse(path))
        assert opened.node.is_folder
        assert (opened.manifest, opened.checksum) == (b"", None)
        assert alice.exists(path)


def test_open_tells_when_the_version_was_stored(alice: Person) -> None:
    """The time of storing is the server's, whatever the client says."""
    alice.put("/a", modified_at=1_500_000_000_000_000)
    assert read.open_path(alice.files, alice.principal, ("a",)).stored_at == alice.now()


@pytest.mark.parametrize("size", [3000, 600_000])
def test_content_of_any_range_is_that_part(alice: Person, size: int) -> None:
    """Inline and in chunks, at the ends and across."""
    content = noise(size)
    alice.put("/a", content)
    opened = read.open_path(alice.files, alice.principal, ("a",))
    for start, end in ranges(size, 12):
        found = b"".join(bytes(block) for block in read.content(alice.files, opened, start, end))
        assert found == content[start:end]


def test_content_of_an_opened_file_outlives_replacement_and_removal(alice: Person) -> None:
    """A download goes on with the version that it began with."""
    alice.put("/a", noise(500_000))
    opened = read.open_path(alice.files, alice.principal, ("a",))
    blocks = read.content(alice.files, opened, 0, 500_000)
    first = bytes(next(blocks))
    alice.put("/a", b"other")
    alice.remove("/a")
    assert first + b"".join(bytes(block) for block in blocks) == noise(500_000)


def test_list_folder_has_each_member_once_by_name(alice: Person) -> None:
    """Members, not what is deeper; files and folders alike."""
    alice.mkdir("/d", "/d/sub")
    names = ["b", "a", "B", "\u00e4", "z z", "%41", "\U0001f600"]
    for name in names:
        alice.put(f"/d/{name}")
    alice.put("/d/sub/deep")
    listing = alice.listing("/d")
    assert listing.node == alice.node("/d")
    assert sorted(node.name for node in listing.members) == sorted([*names, "sub"])
    assert {node.name: node for node in listing.members}["a"] == alice.node("/d/a")


def test_list_without_members_or_of_a_file_has_none(alice: Person) -> None:
    """Depth 0, and files, are one node."""
    alice.mkdir("/d")
    alice.put("/d/a")
    assert alice.listing("/d", members=False).members == []
    assert alice.listing("/d/a").members == []


def test_list_extras_are_of_the_node_and_its_members(alice: Person) -> None:
    """Properties and locks come for each of them, if they were asked for."""
    folder = alice.mkdir("/d")
    node = alice.put("/d/a").node
    alice.patch("/d", [("{urn:x}one", "<one/>")])
    alice.patch("/d/a", [("{urn:x}two", "<two/>")])
    token = alice.lock("/d/a").lock.token
    listing = alice.listing("/d", with_properties=True, with_locks=True)
    assert listing.extras.properties == {folder.id: {"{urn:x}one": "<one/>"}, node.id: {"{urn:x}two": "<two/>"}}
    assert [lock.token for lock in listing.locks_of(listing.members[0])] == [token]
    assert listing.locks_of(None) == []
    bare = alice.listing("/d")
    assert (bare.extras.properties, bare.extras.checksums, bare.extras.locks) == ({}, {}, None)


def test_list_folder_tells_the_quota(alice: Person) -> None:
    """Folders know the tree's limit, files do not (RFC 4331)."""
    alice.put("/a")
    assert alice.listing("/").quota_bytes is None
    alice.set_quota(1000)
    assert alice.listing("/").quota_bytes == 1000
    assert alice.listing("/a").quota_bytes is None

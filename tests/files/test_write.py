"""put_file: a whole body becomes the content, or nothing has changed."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from appliance.errors import (
    BadName,
    BodyIncomplete,
    BodyStalled,
    ChecksumMismatch,
    HoldfastError,
    IsAFolder,
    NotAFolder,
    ParentMissing,
    TooLarge,
)
from appliance.files import write
from appliance.files.context import Files
from appliance.files.write import Announced
from appliance.tree.paths import Path, parse
from tests.files.dump import CONTENT, dump, refused
from tests.files.person import Person
from tests.support.content import MIB, Body, noise
from tests.support.databases import on_sqlite


class Untouchable:
    """A body that must not be read."""

    def readinto(self, buffer: memoryview, /) -> int:
        raise AssertionError("the body was read")


def announced(content: bytes, *, upper: bool = False) -> Announced:
    """The SHA1 of this content, as announced beside a body."""
    digest = hashlib.sha1(content).hexdigest()
    return Announced({"SHA1": digest.upper() if upper else digest}, {"SHA1": hashlib.sha1(), "MD5": hashlib.md5()})


def test_put_new_name_creates_a_file(alice: Person) -> None:
    """It is there with its bytes, its size and the time of the change."""
    written = alice.put("/a.txt", b"hello")
    assert written.created
    assert alice.get("/a.txt") == b"hello"
    node = alice.node("/a.txt")
    assert node == written.node
    assert (node.bytes, node.files, node.created_at, node.modified_at) == (5, 1, alice.now(), alice.now())


def test_put_existing_name_makes_a_version_of_the_same_node(alice: Person) -> None:
    """The id survives, the older content stays in the history."""
    first = alice.put("/a.txt", b"one")
    second = alice.put("/a.txt", b"second")
    assert not second.created
    assert second.node.id == first.node.id
    assert alice.get("/a.txt") == b"second"
    assert alice.contents("/a.txt") == [b"second", b"one"]
    assert alice.node("/a.txt") == second.node
    assert second.node.created_at == first.node.created_at


def test_put_any_size_reads_back_the_same_bytes(alice: Person) -> None:
    """Empty, inline, one chunk and many: the content is what was sent."""
    for size in (0, 1, 4095, 4096, 4097, 70_000, MIB, MIB + 1, 3 * MIB + 12_345):
        content = noise(size)
        assert alice.put(f"/{size}", content).node.bytes == size
        assert alice.get(f"/{size}") == content


def test_put_without_announced_length_stores_all(alice: Person) -> None:
    """A chunked body tells its length only at its end."""
    alice.put("/a.bin", noise(300_000), length=None)
    assert alice.get("/a.bin") == noise(300_000)


def test_put_client_time_is_kept_for_file_and_version(alice: Person) -> None:
    """The modification time is the client's where it sends one."""
    alice.put("/a.txt", b"one", modified_at=1_500_000_000_000_000)
    alice.put("/a.txt", b"two", modified_at=1_400_000_000_000_000)
    assert alice.node("/a.txt").modified_at == 1_400_000_000_000_000
    alice.put("/old.txt", b"one", modified_at=-5)
    assert alice.node("/old.txt").modified_at == -5
    assert [version.modified_at for version in alice.versions("/a.txt")] == [
        1_400_000_000_000_000,
        1_500_000_000_000_000,
    ]


def test_put_into_a_folder_changes_the_folders_time_only_for_new_members(alice: Person) -> None:
    """A folder's modification time is that of its list of members."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    first = alice.node("/d").modified_at
    assert first == alice.now()
    alice.put("/d/a", b"two")
    assert alice.node("/d").modified_at == first


@pytest.mark.parametrize("upper", [False, True])
def test_put_right_checksum_is_kept_with_all_that_were_computed(alice: Person, *, upper: bool) -> None:
    """A verified checksum belongs to the version; the case of its digits does not matter."""
    alice.put("/a.txt", b"hello", checksum=announced(b"hello", upper=upper))
    (version,) = alice.versions("/a.txt")
    sha1, md5 = hashlib.sha1(b"hello").hexdigest(), hashlib.md5(b"hello").hexdigest()
    assert version.checksum == f"SHA1:{sha1} MD5:{md5}"
    listing = alice.listing("/", with_checksums=True)
    assert listing.extras.checksums == {version.node_id: version.checksum}


def test_put_without_checksum_drops_the_older_one(alice: Person) -> None:
    """A checksum is of one version, not of a file."""
    alice.put("/a.txt", b"hello", checksum=announced(b"hello"))
    alice.put("/a.txt", b"other")
    assert alice.versions("/a.txt")[0].checksum is None


def test_put_wrong_checksum_changes_nothing(alice: Person) -> None:
    """What arrived is not what was sent."""
    alice.put("/a.txt", b"before")
    for path, content in itertools.product(("/a.txt", "/new.txt"), (b"hello", noise(2 * MIB))):
        with refused(alice.files.database, ChecksumMismatch):
            alice.put(path, content, checksum=announced(b"something else"))


IMPOSSIBLE: list[tuple[Path, type[HoldfastError]]] = [
    ((), IsAFolder),
    (("d",), IsAFolder),
    (("missing", "a"), ParentMissing),
    (("d", "missing", "a"), ParentMissing),
    (("d", "missing", "deeper", "a"), ParentMissing),
    (("f", "a"), NotAFolder),
    (("f", "a", "b"), NotAFolder),
    (("d", ".."), BadName),
    (("d", "a\x00b"), BadName),
    (("d", "a\nb"), BadName),
    (("d", "a/b"), BadName),
    (("d", "\ud800"), BadName),
    (("d", "x" * 256), BadName),
    (("d" * 200,) * 30, BadName),
    (("d",) * 257, BadName),
]


def test_put_impossible_path_is_refused_before_the_body(alice: Person, subtests: pytest.Subtests) -> None:
    """What can be refused without the body is refused without it."""
    alice.mkdir("/d")
    alice.put("/f")
    for path, error in IMPOSSIBLE:
        with subtests.test(path=path[:3]), refused(alice.files.database, error):
            write.put_file(alice.files, alice.principal, path, Untouchable(), length=10, waits=True)


def test_put_small_impossible_path_is_refused_in_the_transaction(alice: Person, subtests: pytest.Subtests) -> None:
    """A small body is not worth asking twice; the answer is the same, and nothing has changed."""
    alice.mkdir("/d")
    alice.put("/f")
    for path, error in IMPOSSIBLE:
        with subtests.test(path=path[:3]), refused(alice.files.database, error):
            write.put_file(alice.files, alice.principal, path, Body(b"ten bytes."), length=10)


def test_put_below_a_file_names_the_file(alice: Person) -> None:
    """The error says where the path stops being folders."""
    alice.mkdir("/d")
    alice.put("/d/f")
    with refused(alice.files.database, NotAFolder) as caught:
        alice.put("/d/f/a/b")
    assert caught.value.path == "/d/f"


def small(files: Files) -> Files:
    """The same store, with a limit of 1,000 bytes a file."""
    return Files(files.database, files.chunks, 1000, lambda: None)


def test_put_announced_too_large_is_refused_before_the_body(alice: Person) -> None:
    """The limit counts before anything is read."""
    limited = Person(small(alice.files), alice.principal)
    assert limited.put("/exact", b"x" * 1000).node.bytes == 1000
    with refused(alice.files.database, TooLarge):
        write.put_file(limited.files, limited.principal, ("a",), Untouchable(), length=1001)


def test_put_unannounced_too_large_is_refused_on_the_way(alice: Person) -> None:
    """A chunked body is broken off where it passes the limit."""
    limited = Person(small(alice.files), alice.principal)
    with refused(alice.files.database, TooLarge):
        limited.put("/a", b"x" * 1001, length=None)


@pytest.mark.parametrize("size", [3000, 300_000, 5 * MIB])
@on_sqlite
def test_put_body_that_breaks_off_changes_nothing(alice: Person, size: int) -> None:
    """Wherever the body ends early, and however, the file is what it was."""
    alice.put("/a", b"before")
    errors = (BodyIncomplete(received=1, expected=2), BodyStalled(seconds=1.0), ConnectionResetError("gone"))
    for path, fail, error in itertools.product((("a",), ("new",)), (0.0, 0.5, 1.0), errors):
        with refused(alice.files.database, type(error)):
            body = Body(noise(size), fail_at=int(size * fail), error=error)
            write.put_file(alice.files, alice.principal, path, body, length=size)


def test_put_equal_content_stores_no_byte_again(alice: Person) -> None:
    """A second copy is a version that names the same content."""
    alice.put("/a", noise(200_000))
    alice.put("/s", b"inline")
    before = dump(alice.files.database, CONTENT)
    alice.put("/b", noise(200_000))
    alice.put("/t", b"inline")
    assert dump(alice.files.database, CONTENT) == before


def test_put_long_path_is_stored_and_found(alice: Person) -> None:
    """Paths longer than one statement's joins resolve as short ones do."""
    names = [f"n{index}" for index in range(60)]
    for depth in range(1, 60):
        alice.mkdir("/" + "/".join(names[:depth]))
    path = "/" + "/".join(names)
    assert parse(path) == tuple(names)
    alice.put(path, b"deep")
    assert alice.get(path) == b"deep"
    for depth in (23, 24, 25, 47, 48, 49):
        chain = alice.listing("/" + "/".join(names[:depth])).place.chain
        assert (len(chain.ids), chain.root.name, chain.last.name) == (depth + 1, "", names[depth - 1])
    assert not alice.exists(path + "/x")


@pytest.mark.parametrize("depth", [1, 2, 23, 24, 25, 48, 49])
def test_put_below_what_is_missing_is_refused_at_any_depth(alice: Person, depth: int) -> None:
    """The last name may be new; of the others each has to be a folder, wherever a statement ends."""
    names = [f"n{index}" for index in range(depth)]
    for end in range(1, depth + 1):
        alice.mkdir("/" + "/".join(names[:end]))
    folder = "/" + "/".join(names)
    alice.put(f"{folder}/file", b"last")
    assert alice.get(f"{folder}/file") == b"last"
    with pytest.raises(ParentMissing):
        alice.put(f"{folder}/missing/x", b"")
    with pytest.raises(ParentMissing):
        alice.put(f"{folder}/missing/" + "/".join(names) + "/x", b"")
    with pytest.raises(NotAFolder, match="/file is not a folder"):
        alice.put(f"{folder}/file/x", b"")
    with pytest.raises(NotAFolder, match="/file is not a folder"):
        alice.put(f"{folder}/file/" + "/".join(names), b"")

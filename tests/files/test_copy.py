"""copy: new nodes with the same content, and no byte moved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.errors import BadName, Denied, HoldfastError, NotAFolder, NotFound, ParentMissing, TargetTaken
from appliance.files import transfer
from appliance.tree.paths import Path
from tests.files.dump import CONTENT, dump, refused, written
from tests.files.person import Person, submitting
from tests.support.content import noise

NAME = "{urn:x}name"


def test_copy_file_is_a_new_node_with_the_same_content(alice: Person) -> None:
    """The copy has a version and a history of its own, and the original's time and properties."""
    original = alice.put("/a", b"one").node
    alice.put("/a", b"two", modified_at=1_500_000_000_000_000)
    alice.patch("/a", [(NAME, "<v/>")])
    copied = alice.copy("/a", "/b")
    assert copied.created
    assert copied.node.id != original.id
    assert alice.node("/b") == copied.node
    assert copied.node.modified_at == 1_500_000_000_000_000
    assert alice.contents("/b") == [b"two"]
    assert alice.properties("/b") == {NAME: "<v/>"}
    alice.put("/b", b"three")
    assert alice.get("/a") == b"two"


def test_copy_folder_copies_all_below(alice: Person) -> None:
    """Folders, files, properties; not the history, not the locks."""
    alice.mkdir("/d", "/d/e", "/d/e/empty")
    alice.put("/d/e/a", b"old")
    alice.put("/d/e/a", b"new", modified_at=1_500_000_000_000_000)
    alice.put("/d/b", noise(100_000))
    alice.patch("/d/e", [(NAME, "<e/>")])
    alice.patch("/d/e/a", [(NAME, "<a/>")])
    token = alice.lock("/d/e/a").lock.token
    alice.copy("/d", "/c")
    assert alice.names("/c") == ["b", "e"]
    assert alice.names("/c/e") == ["a", "empty"]
    assert alice.get("/c/b") == noise(100_000)
    assert alice.contents("/c/e/a") == [b"new"]
    assert alice.node("/c/e/a").modified_at == 1_500_000_000_000_000
    assert alice.properties("/c/e") == {NAME: "<e/>"}
    assert alice.properties("/c/e/a") == {NAME: "<a/>"}
    assert alice.locks("/c/e/a") == []
    assert (alice.node("/c").files, alice.node("/c").bytes) == (2, 100_003)
    alice.remove("/d", conditions=submitting(token))
    assert alice.get("/c/e/a") == b"new"


def test_copy_folder_at_depth_0_copies_only_the_folder(alice: Person) -> None:
    """Its properties come along, its members do not (RFC 4918 §9.8.3)."""
    alice.mkdir("/d", "/d/e")
    alice.put("/d/a", b"12345")
    alice.patch("/d", [(NAME, "<d/>")])
    alice.copy("/d", "/c", deep=False)
    assert alice.names("/c") == []
    assert (alice.node("/c").files, alice.node("/c").bytes) == (0, 0)
    assert alice.properties("/c") == {NAME: "<d/>"}


def test_copy_file_at_depth_0_is_whole(alice: Person) -> None:
    """A file has no depth."""
    alice.put("/a", b"x")
    alice.copy("/a", "/b", deep=False)
    assert alice.get("/b") == b"x"


def test_copy_file_onto_a_file_is_its_next_version(alice: Person) -> None:
    """The target keeps its id and its history; nothing goes to the trash. Its properties are the source's now."""
    alice.put("/a", b"new")
    alice.patch("/a", [(NAME, "<new/>")])
    target = alice.put("/b", b"old").node
    alice.patch("/b", [(NAME, "<old/>"), ("{urn:x}more", "<m/>")])
    copied = alice.copy("/a", "/b", overwrite=True)
    assert not copied.created
    assert copied.node == alice.node("/b")
    assert copied.node.id == target.id
    assert alice.contents("/b") == [b"new", b"old"]
    assert alice.properties("/b") == {NAME: "<new/>"}
    assert alice.trash() == []


def test_copy_onto_anything_else_replaces_it(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """A folder is not merged into: the old one goes to the trash as a whole (RFC 4918 §9.8.4)."""
    for source, target in (("file", "folder"), ("folder", "file"), ("folder", "folder")):
        with subtests.test(f"{source} onto {target}"):
            who = newcomer()
            for path, kind in (("/new", source), ("/old", target)):
                if kind == "folder":
                    who.mkdir(path)
                who.put(path if kind == "file" else f"{path}/in{path[1:]}", path.encode())
            replaced = who.node("/old")
            assert not who.copy("/new", "/old", overwrite=True).created
            assert who.get("/old" if source == "file" else "/old/innew") == b"/new"
            if source == "folder":
                assert who.names("/old") == ["innew"]
            assert [(removed.node_id, removed.reason) for removed in who.trash()] == [(replaced.id, "replaced")]


REFUSED: list[tuple[Path, Path, type[HoldfastError]]] = [
    (("missing",), ("x",), NotFound),
    (("f", "a"), ("x",), NotFound),
    ((), ("x",), Denied),
    (("f",), (), Denied),
    (("f",), ("missing", "x"), ParentMissing),
    (("f",), ("g", "x"), NotAFolder),
    (("f",), ("g",), TargetTaken),
    (("f",), ("d",), TargetTaken),
    (("f",), ("f",), Denied),
    (("d",), ("d",), Denied),
    (("d",), ("d", "x"), Denied),
    (("d",), ("d", "e", "x"), Denied),
    (("d", "e"), ("d",), Denied),
    (("d", "e", "deep"), ("d",), Denied),
    (("f",), ("f", "x"), NotAFolder),
    (("f",), ("\x01",), BadName),
]


def test_copy_that_cannot_be_changes_nothing(alice: Person, subtests: pytest.Subtests) -> None:
    """The refusals are those of a move."""
    alice.mkdir("/d", "/d/e")
    for path in ("/f", "/g", "/d/e/deep"):
        alice.put(path)
    for source, target, error in REFUSED:
        overwrite = error is not TargetTaken
        with subtests.test(source=source, target=target), refused(alice.files.database, error):
            transfer.copy(alice.files, alice.principal, source, target, overwrite=overwrite)


def test_copy_stores_no_byte(alice: Person) -> None:
    """Chunks, packs, segments and inline content stay as they are, and so do the blobs."""
    alice.mkdir("/d")
    alice.put("/d/large", noise(2_000_000))
    alice.put("/d/small", b"small")
    before, blobs = dump(alice.files.database, CONTENT), list(alice.files.chunks.backend.list(""))
    alice.copy("/d", "/c")
    alice.copy("/d/large", "/c/small", overwrite=True)
    assert dump(alice.files.database, CONTENT) == before
    assert list(alice.files.chunks.backend.list("")) == blobs
    assert alice.get("/c/small") == noise(2_000_000)


def test_copy_of_a_thousand_files_is_one_change_with_right_totals(alice: Person) -> None:
    """One number, one journal row, one transaction, and as many rows as there are files and folders."""
    alice.mkdir("/ten", "/hundred", "/thousand")
    for index in range(10):
        alice.put(f"/ten/f{index}", b"x" * (index + 1))
    for index in range(10):
        alice.copy("/ten", f"/hundred/d{index}")
    for index in range(10):
        alice.copy("/hundred", f"/thousand/d{index}")
    before, seq = dump(alice.files.database), alice.seq()
    copied = alice.copy("/thousand", "/copy")
    after = dump(alice.files.database)
    assert alice.seq() == seq + 1
    assert (copied.node.files, copied.node.bytes) == (1000, 5500)
    assert alice.node("/copy") == copied.node
    # 1 + 10 + 100 folders and 1,000 files; the root is touched.
    assert written(before, after) == {"tree": 1, "node": 1111 + 1, "version": 1000, "journal": 1}
    seqs = alice.rows("SELECT DISTINCT placed_seq, subtree_seq, created_at FROM node WHERE placed_seq > :seq", seq=seq)
    assert seqs == [(seq + 1, seq + 1, alice.now())]
    assert alice.get("/copy/d9/d9/f9") == b"x" * 10
    assert (alice.user.files, alice.user.bytes) == (10 + 100 + 2000, 55 + 550 + 11_000)

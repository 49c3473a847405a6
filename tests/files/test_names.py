"""Names: what compares as equal, what is kept as the client spelled it."""

from __future__ import annotations

import unicodedata

import pytest

from appliance.errors import Denied, NameTaken, TargetTaken
from tests.files.dump import refused
from tests.files.person import Person

COMPOSED = "Caf\u00e9"
DECOMPOSED = "Cafe\u0301"
PAIRS = [(COMPOSED, DECOMPOSED), ("\ud55c\uae00", unicodedata.normalize("NFD", "\ud55c\uae00")), ("\u00c5", "\u212b")]


@pytest.mark.parametrize(("stored", "asked"), [*PAIRS, *((b, a) for a, b in PAIRS)])
def test_lookup_in_another_normal_form_finds_the_name(alice: Person, stored: str, asked: str) -> None:
    """macOS asks in NFD, the others in NFC: the same file, listed as it was spelled first."""
    assert stored != asked
    alice.mkdir(f"/{stored}")
    node = alice.put(f"/{stored}/{stored}", b"x").node
    assert alice.node(f"/{asked}/{asked}").id == node.id
    assert alice.names() == [stored]
    assert not alice.put(f"/{asked}/{asked}", b"y").created
    assert alice.contents(f"/{stored}/{asked}") == [b"y", b"x"]
    assert alice.names(f"/{asked}") == [stored]
    with refused(alice.files.database, NameTaken):
        alice.mkdir(f"/{asked}")


def test_rename_to_another_normal_form_respells_the_name(alice: Person) -> None:
    """Only the spelling is new: nothing is replaced, nothing goes to the trash, overwriting is not asked for."""
    node = alice.put(f"/{COMPOSED}", b"x").node
    moved = alice.move(f"/{COMPOSED}", f"/{DECOMPOSED}", overwrite=False)
    assert moved.created
    assert alice.names() == [DECOMPOSED]
    assert alice.node(f"/{COMPOSED}").id == node.id
    assert alice.trash() == []
    assert alice.contents(f"/{COMPOSED}") == [b"x"]


def test_rename_to_the_same_spelling_by_another_path_is_refused(alice: Person) -> None:
    """However the folders above are spelled, it is the file itself."""
    alice.mkdir(f"/{COMPOSED}")
    alice.put(f"/{COMPOSED}/a")
    with refused(alice.files.database, Denied):
        alice.move(f"/{COMPOSED}/a", f"/{DECOMPOSED}/a", overwrite=True)
    with refused(alice.files.database, Denied):
        alice.copy(f"/{COMPOSED}/a", f"/{DECOMPOSED}/a", overwrite=True)


def test_copy_onto_itself_in_another_normal_form_is_refused(alice: Person) -> None:
    """There is only one such name."""
    alice.put(f"/{COMPOSED}")
    with refused(alice.files.database, Denied):
        alice.copy(f"/{COMPOSED}", f"/{DECOMPOSED}", overwrite=True)


def test_case_makes_different_names(alice: Person) -> None:
    """As on Linux: both exist side by side."""
    alice.put("/readme", b"small")
    alice.put("/README", b"large")
    assert alice.names() == ["README", "readme"]
    assert alice.get("/readme") == b"small"


def test_rename_of_case_only_is_an_ordinary_rename(alice: Person) -> None:
    """Windows and macOS do this; the file keeps its id, and a file of the other case would be replaced."""
    node = alice.put("/readme", b"x").node
    assert alice.move("/readme", "/README").created
    assert alice.names() == ["README"]
    assert alice.node("/README").id == node.id
    alice.put("/readme", b"y")
    with refused(alice.files.database, TargetTaken):
        alice.move("/README", "/readme")


def test_move_onto_another_normal_form_replaces_what_is_there(alice: Person) -> None:
    """The name that is taken is the same name; the new spelling is the one that was asked for."""
    alice.put(f"/{COMPOSED}", b"old")
    alice.put("/a", b"new")
    with refused(alice.files.database, TargetTaken):
        alice.move("/a", f"/{DECOMPOSED}")
    assert not alice.move("/a", f"/{DECOMPOSED}", overwrite=True).created
    assert alice.names() == [DECOMPOSED]
    assert alice.contents(f"/{COMPOSED}") == [b"new", b"old"]


def test_restore_finds_the_name_taken_in_another_normal_form(alice: Person) -> None:
    """What came since has the same name."""
    alice.put(f"/{COMPOSED}", b"old")
    alice.remove(f"/{COMPOSED}")
    alice.put(f"/{DECOMPOSED}", b"new")
    with refused(alice.files.database, NameTaken):
        alice.put_back(alice.trash()[0])


def test_odd_names_are_names_like_others(alice: Person) -> None:
    """Whatever the characters mean elsewhere, here they are a name."""
    names = ["a b", " a", "a ", "a;b", "a?b", "a#b", "100%", "a&b", "a+b", "a\\b", "a:b", '"', "'", "*", "_", "\u200b"]
    for name in names:
        alice.put(f"/{name}", name.encode())
        alice.move(f"/{name}", f"/{name}2")
        alice.move(f"/{name}2", f"/{name}")
    assert alice.names() == sorted(names)
    assert [alice.get(f"/{name}") for name in names] == [name.encode() for name in names]

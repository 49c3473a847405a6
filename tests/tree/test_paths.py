"""Names and paths: what can be stored, how it compares, and how folders are listed page by page."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.db.sql import Sql
from appliance.errors import BadName
from appliance.tree import nodes
from appliance.tree.paths import (
    DEPTH_LIMIT,
    NAME_LIMIT,
    PATH_LIMIT,
    check_name,
    check_path,
    name_key,
    parse,
    show,
)
from tests.files.person import Person

_RENAME = Sql("UPDATE node SET name = :name, name_key = :name WHERE id = :id")

GOOD = ["a", "A b", ".hidden", "a.", "...", "\u00e9", "\ud55c", "\U0001f600", "a\\b", "con", "x" * NAME_LIMIT, "\u00a0"]
BAD = ["", ".", "..", "a/b", "/", "\x00", "a\nb", "\x1f", "\x7f", "\ud800", "a\udfff", "\ufffe", "\uffff", "x" * 256]


def test_names_that_every_client_can_use_are_good() -> None:
    """Up to 255 UTF-16 units: what Windows and macOS can show."""
    for name in [*GOOD, "\U0001f600" * 127 + "x", "\u00e9" * NAME_LIMIT]:
        check_name(name)


@pytest.mark.parametrize("name", [*BAD, "\U0001f600" * 128, "\u00e9" * 256], ids=ascii)
def test_names_that_some_client_could_not_use_are_bad(name: str) -> None:
    """Control characters, halves of pairs, non-characters, the two dots, slashes, too long."""
    with pytest.raises(BadName):
        check_name(name)


@pytest.mark.parametrize("name", ["\x80", "a\x85b", "\x9f"], ids=ascii)
def test_new_name_with_a_c1_control_is_bad_but_one_that_is_stored_is_found(alice: Person, name: str) -> None:
    """Nobody can see them, and terminals act on them; what has such a name already can be read, moved and removed."""
    with pytest.raises(BadName):
        check_path((name,))
    with pytest.raises(BadName):
        alice.put(f"/{name}")
    for path in ("/moved", "/removed"):
        alice.put(path, b"kept")
        node_id = alice.node(path).id
        alice.files.database.write(lambda session, node_id=node_id: session.run(_RENAME, id=node_id, name=name))
        assert alice.get(f"/{name}") == b"kept"
        if path == "/moved":
            alice.move(f"/{name}", path)
    alice.remove(f"/{name}")
    assert alice.names() == ["moved"]


def test_paths_have_limits_in_depth_and_bytes() -> None:
    """At the limit good, beyond it bad."""
    check_path(("a",) * DEPTH_LIMIT)
    with pytest.raises(BadName):
        check_path(("a",) * (DEPTH_LIMIT + 1))
    part = "x" * 127
    check_path((part,) * (PATH_LIMIT // 128))
    with pytest.raises(BadName):
        check_path((*(part,) * (PATH_LIMIT // 128), "y"))
    # Bytes, not characters.
    with pytest.raises(BadName):
        check_path(("\u00e9" * 127,) * (PATH_LIMIT // 128))


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_key_is_the_same_for_every_normal_form_and_stable(name: str) -> None:
    """NFC and NFD of a name that can be stored mean the same; the key of a key is the key."""
    if any(unicodedata.category(character) in ("Cc", "Cn") for character in name):
        return
    key = name_key(name)
    assert name_key(unicodedata.normalize("NFD", name)) == name_key(unicodedata.normalize("NFC", name)) == key
    assert name_key(key) == key


def test_key_of_what_cannot_be_stored_is_no_names_key() -> None:
    """Databases cannot be asked for some of these at all."""
    for name in ("\x00", "a\x1f", "\ud800", "\uffff"):
        with pytest.raises(BadName):
            check_name(name_key(name))


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("", ()),
        ("/", ()),
        ("/a", ("a",)),
        ("a/b/", ("a", "b")),
        ("//a//b", ("a", "b")),
        ("/./a/.", ("a",)),
        ("/a b/\u00e9", ("a b", "\u00e9")),
    ],
)
def test_typed_paths_are_read_and_shown(typed: str, path: tuple[str, ...]) -> None:
    """The first and the last slash are optional; what is shown reads the same again."""
    assert parse(typed) == path
    assert parse(show(path)) == path


def test_typed_paths_do_not_lead_upwards() -> None:
    """There is no way out of the tree."""
    for typed in ("..", "/../etc", "/a/../b", "/a/.."):
        with pytest.raises(BadName):
            parse(typed)


def test_children_are_each_there_once_in_the_order_of_their_keys(alice: Person) -> None:
    """Whatever the names are."""
    names = ["b", "a", "B", "A", "\u00e4", "a b", "a-b", "_", "\U0001f600", "10", "9", "z", "\u00df", "-", "\u30a2"]
    for name in names:
        alice.put(f"/{name}")
    with alice.files.database.read() as session:
        found = [node.name for node in nodes.children(session, alice.node("/").id)]
    assert sorted(found) == sorted(names)


def test_children_of_several_folders_come_folder_by_folder(alice: Person) -> None:
    """Also of more folders than one statement takes."""
    made = [alice.mkdir(f"/{index}").id for index in range(5)]
    for index in (0, 2, 4):
        alice.put(f"/{index}/a")
        alice.put(f"/{index}/b")
    with alice.files.database.read() as session:
        found = nodes.children_of(session, made * 200)
        single = nodes.children_of(session, made)
    assert {node.id for node in found} == {node.id for node in single}
    assert [node.parent_id for node in single] == [made[index] for index in (0, 0, 2, 2, 4, 4)]


def test_above_names_everything_up_to_the_root(alice: Person) -> None:
    """Or up to the top of what was removed; nothing for a number that is none."""
    ids = [alice.node("/").id, alice.mkdir("/a").id, alice.mkdir("/a/b").id, alice.put("/a/b/c").node.id]
    with alice.files.database.read() as session:
        assert nodes.above(session, ids[3]) == list(zip(ids, ["", "a", "b", "c"], strict=True))
    alice.remove("/a/b")
    with alice.files.database.read() as session:
        assert nodes.above(session, ids[3]) == [(ids[2], "b"), (ids[3], "c")]
        assert nodes.above(session, 10**12) == []
        assert nodes.get(session, 10**12) is None

"""Sync tokens: URIs that say what they were made of, and nothing that was not made here."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import CursorRefused
from appliance.files.sync import Cursor, Part
from appliance.tree.since import NOTHING, Mark
from providers.dav.sync_tokens import PREFIX, as_etag, parse_token, write_token

WHOLE = Cursor("abcdef12", 3, 17, 255)
numbers = st.integers(0, 2**59)
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"], exclude_characters="/"), min_size=1)
paths = st.lists(names.filter(lambda name: name not in (".", "..") and len(name) < 120), min_size=1, max_size=9)
states = numbers | st.just(NOTHING)
marks = st.builds(Mark, paths.map(tuple), st.booleans())
parts = st.builds(Part, states, numbers, st.booleans(), st.none() | marks)
cursors = st.builds(Cursor, st.just("abcdef12"), numbers, numbers, states, st.none() | parts)


@given(cursors)
def test_token_is_read_as_it_was_written(cursor: Cursor) -> None:
    """And is a URI that needs no escaping in XML."""
    token = write_token(cursor)
    assert parse_token(token) == cursor
    assert re.fullmatch(r"urn:holdfast:sync:[0-9A-Za-z:_-]+", token)


def test_token_of_a_whole_state_is_short() -> None:
    """It is told with every folder of a listing that asks for it."""
    assert write_token(WHOLE) == f"{PREFIX}abcdef12:3:11:ff"


@pytest.mark.parametrize(
    "text",
    [
        "", "x", PREFIX, f"{PREFIX}abcdef12:3:11", f"{PREFIX}abcdef12:3:11:", f"{PREFIX}abcdef12:3:11:FF",
        f"{PREFIX}abcdef12:3:11:ff:1:2", f"{PREFIX}abcdef12:3:11:-1", f"{PREFIX}abcdef12:3:11:{'f' * 16}",
        f"{PREFIX}abcdef12:3:11:ff:1", f"{PREFIX}abcdef12:3:11:ff:1:2:x", f"{PREFIX}abcdef12:3:11:ff:1:2:i:p",
        f"{PREFIX}abcdef12:3:11:ff:1:2:i:p:", f"{PREFIX}abcdef12:3:11:ff:1:2:i:p:!",
        # A number, an empty list, a list of a number, and of a list; names that nothing can have.
        *(f"{PREFIX}abcdef12:3:11:ff:1:2:i:p:{way}" for way in ("MQ", "W10", "WzFd", "W1tdXQ", "WyIiXQ", "WyIuLiJd")),
        f"{PREFIX}abcdef12:3:11:ff:1:2:i:p:WyJcdWQ4MDAiXQ", f"{PREFIX}abcdef12:3:11:ff:1:2:i:p:WyJcdTAwMDAiXQ",
        f"{PREFIX}abcdef12:3:11:ff\n", f"{PREFIX}abcdef12:3:\u0661:ff", f"{PREFIX}abcdef12:3:11:ff:1:2:i:p:a",
        f"{PREFIX}abcdef12:3:11:ff:1:2:i:p:{'W1tb' * 9000}",
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    """Whatever a client may have kept."""
    with pytest.raises(CursorRefused):
        parse_token(text)


@given(st.text(max_size=80))
def test_texts_behind_the_prefix_never_fail_otherwise(text: str) -> None:
    """They come from outside."""
    try:
        parse_token(PREFIX + text)
    except CursorRefused:
        pass


def test_only_a_whole_state_has_an_etag() -> None:
    """That of the folder, as it is told with it."""
    assert as_etag(write_token(WHOLE)) == '"abcdef12-11-ff"'
    assert as_etag(write_token(WHOLE._replace(part=Part(255, 256, True, Mark(("x",), True))))) is None
    assert as_etag(f"{PREFIX}abcdef12:3:11:-") is None
    assert as_etag("urn:uuid:00000000-0000-0000-0000-000000000000") is None

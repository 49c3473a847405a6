"""Request paths to names and names to hrefs (RFC 3986 §2, §3.3; RFC 4918 §8.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadName, BadRequest, Invalid
from providers.dav.paths import decode_path, encode_name, encode_path

NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@pytest.mark.parametrize(
    "target, names, trailing_slash",
    [
        ("", (), False),
        ("/", (), True),
        ("//", (), True),
        ("/a", ("a",), False),
        ("a", ("a",), False),
        ("/a/", ("a",), True),
        ("/a//b", ("a", "b"), False),
        ("/a/./b", ("a", "b"), False),
        ("/a/%2e/b", ("a", "b"), False),
        ("/a/.", ("a",), True),
        ("/...", ("...",), False),
        ("/New%20folder", ("New folder",), False),
        ("/New folder", ("New folder",), False),
        ("/a;b", ("a;b",), False),  # rclone leaves the semicolon raw
        ("/a%3Bb%3Fc%23d%25e%26f+g", ("a;b?c#d%e&f+g",), False),
        ("/%2520", ("%20",), False),
        ("/%C3%BC.txt", ("ü.txt",), False),
        ("/%c3%bc.txt", ("ü.txt",), False),
        ("/u%CC%88.txt", ("u\u0308.txt",), False),  # Finder's spelling stays as it is
        ("/\xc3\xbc.txt", ("ü.txt",), False),  # raw UTF-8 bytes, as WSGI shows them
        ("/%F0%9F%93%81/", ("\U0001f4c1",), True),
        ("/a%5Cb", ("a\\b",), False),
        ("/a%01b", ("a\x01b",), False),  # the tree refuses it, not the decoder
        ("/*", ("*",), False),
    ],
)
def test_decode_path_readable_target_gives_names(target: str, names: tuple[str, ...], trailing_slash: bool) -> None:
    """Each segment is decoded once; empty and dot segments vanish."""
    assert decode_path(target) == (names, trailing_slash)


@pytest.mark.parametrize(
    "target", ["/..", "/a/../b", "/a/%2e%2E/b", "/a/.%2e", "/a%2Fb", "/a%2fb", "/%E9", "/\xe9", "/%ED%A0%80"]
)
def test_decode_path_impossible_name_is_bad_name(target: str) -> None:
    """Parent segments, encoded slashes and invalid UTF-8 can be no name."""
    with pytest.raises(BadName):
        decode_path(target)


@pytest.mark.parametrize("target", ["/a%00", "/a\0", "/%zz", "/%2", "/%", "/100%", "/%u00fc", "/\u20ac"])
def test_decode_path_broken_coding_is_bad_request(target: str) -> None:
    """NUL and what is no percent-encoding are refused, never repaired."""
    with pytest.raises(BadRequest):
        decode_path(target)


@given(st.one_of(st.text(), st.text("/.%2eEfF0aC3\xbc;?#+\0")))
def test_decode_path_any_text_gives_names_or_a_named_error(target: str) -> None:
    """No other exception, and no name that could be read as a path."""
    try:
        names, _ = decode_path(target)
    except Invalid:
        return
    assert all(name not in ("", ".", "..") and "/" not in name and "\0" not in name for name in names)


@pytest.mark.parametrize(
    "name, encoded",
    [
        ("a.txt", "a.txt"),
        ("Az09-_.~()'!*,$", "Az09-_.~()'!*,$"),
        ("a b", "a%20b"),
        ("ü", "%C3%BC"),
        (";?#%&+=:@/", "%3B%3F%23%25%26%2B%3D%3A%40%2F"),
        ('"<>\\^`{|}[]', "%22%3C%3E%5C%5E%60%7B%7C%7D%5B%5D"),
        ("\U0001f4c1", "%F0%9F%93%81"),
        ("\n", "%0A"),
        ("\ud800", "%3F"),
        ("", ""),
    ],
)
def test_encode_name_character_table_keeps_what_clients_compare(name: str, encoded: str) -> None:
    """Upper-case hex; exactly the characters that clients expect stay raw."""
    assert encode_name(name) == encoded


def test_encode_path_folders_and_files_differ_by_the_slash() -> None:
    """A folder's href ends in a slash, a file's does not, the root is a folder."""
    assert encode_path(("a b", "c"), is_folder=True) == "/dav/a%20b/c/"
    assert encode_path(("a b", "c"), is_folder=False) == "/dav/a%20b/c"
    assert encode_path((), is_folder=False) == "/dav/"
    assert encode_path((), is_folder=True, prefix="") == "/"
    assert encode_path(("c",), is_folder=False, prefix="/at/now") == "/at/now/c"


@given(st.lists(NAMES), st.booleans())
def test_encode_path_then_decode_path_gives_the_names_back(names: list[str], is_folder: bool) -> None:
    """What a listing shows leads back to the same node, byte for byte."""
    href = encode_path(names, is_folder)
    assert href.isascii()
    assert not set(href) & set('<>&"?#; \n')
    assert decode_path(href) == (("dav", *names), is_folder or not names)


@given(st.text())
def test_encode_name_any_text_is_ascii_without_slash(name: str) -> None:
    """Names that no database holds do not break a listing either."""
    encoded = encode_name(name)
    assert encoded.isascii()
    assert "/" not in encoded

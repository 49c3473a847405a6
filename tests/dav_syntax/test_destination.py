"""The Destination header (RFC 4918 §10.3) with what clients send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadName, BadRequest, Invalid
from providers.dav.destination import Destination, ForeignDestination, parse_destination
from providers.dav.paths import encode_path

NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


def _parse(
    value: str,
    *,
    scheme: str = "http",
    host: str = "files.example:8080",
    forwarded_hosts: tuple[str, ...] = (),
    prefix: str = "/dav",
) -> Destination:
    return parse_destination(value, scheme=scheme, host=host, forwarded_hosts=forwarded_hosts, prefix=prefix)


@pytest.mark.parametrize(
    "value, names, trailing_slash",
    [
        ("http://files.example:8080/dav/c.txt", ("c.txt",), False),
        ("http://FILES.Example:8080/dav/c.txt", ("c.txt",), False),
        ("HTTP://files.example:8080/dav/c.txt", ("c.txt",), False),
        ("https://files.example:8080/dav/c.txt", ("c.txt",), False),  # TLS ends at a proxy
        ("http://u1:p1@files.example:8080/dav/c.txt", ("c.txt",), False),  # KIO
        ("http://u1:p%40@x@files.example:8080/dav/c.txt", ("c.txt",), False),
        ("/dav/c.txt", ("c.txt",), False),
        ("  /dav/c.txt\t", ("c.txt",), False),
        ("http://files.example:8080/dav/Docs", ("Docs",), False),  # Explorer, for a folder
        ("http://files.example:8080/dav/Docs/", ("Docs",), True),
        ("http://files.example:8080/dav", (), False),
        ("http://files.example:8080/dav/", (), True),
        ("http://files.example:8080/d%61v/c", ("c",), False),
        ("http://files.example:8080/dav/victim%3Bv2.txt", ("victim;v2.txt",), False),
        ("http://files.example:8080/dav/victim;v2.txt", ("victim;v2.txt",), False),
        ("http://files.example:8080/dav/a%3Fb%23c%25d%26e+f%2Bg", ("a?b#c%d&e+f+g",), False),
        ("http://files.example:8080/dav/%2541", ("%41",), False),
        ("http://files.example:8080/dav/%09tab", ("\ttab",), False),
        ("http://files.example:8080/dav/%C3%BC/\xc3\xbc", ("ü", "ü"), False),
        ("http://files.example:8080/dav/a b", ("a b",), False),
        ("http://files.example:8080/dav/http://other/", ("http:", "other"), True),
    ],
)
def test_parse_destination_client_form_gives_exact_names(
    value: str, names: tuple[str, ...], trailing_slash: bool
) -> None:
    """No character of a name is lost or read as syntax."""
    assert _parse(value) == Destination(names, trailing_slash)


@pytest.mark.parametrize(
    "value, scheme, host, forwarded_hosts",
    [
        ("http://h/dav/x", "http", "h", ()),
        ("http://h:80/dav/x", "http", "h", ()),
        ("http://h/dav/x", "http", "h:80", ()),
        ("http://h:/dav/x", "http", "h", ()),
        ("http://h:0080/dav/x", "http", "h", ()),
        ("https://h/dav/x", "http", "h", ()),
        ("https://h:443/dav/x", "http", "h", ()),
        ("https://h/dav/x", "http", "h:443", ()),
        ("https://h/dav/x", "https", "h:443", ()),
        ("http://[::1]:8080/dav/x", "http", "[::1]:8080", ()),
        ("http://[FE80::A]/dav/x", "http", "[fe80::a]:80", ()),
        ("https://cloud.example/dav/x", "http", "127.0.0.1:8080", ("cloud.example",)),
        ("https://cloud.example/dav/x", "http", "127.0.0.1:8080", ("https://cloud.example:443/",)),
        ("https://cloud.example:8443/dav/x", "http", "127.0.0.1:8080", ("other", "https://cloud.example:8443")),
        ("https://cloud.example/dav/x", "http", "", ("cloud.example:443",)),
    ],
)
def test_parse_destination_own_host_in_any_spelling_is_accepted(
    value: str, scheme: str, host: str, forwarded_hosts: tuple[str, ...]
) -> None:
    """Default ports, letter case, TLS in front and public names do not make a server foreign."""
    assert _parse(value, scheme=scheme, host=host, forwarded_hosts=forwarded_hosts).names == ("x",)


@pytest.mark.parametrize(
    "value",
    [
        "http://other.example:8080/dav/x",
        "http://files.example/dav/x",
        "http://files.example:8081/dav/x",
        "http://files.example:8080@evil.example/dav/x",
        "http://files.example.evil.example:8080/dav/x",
        "ftp://files.example:8080/dav/x",
        "http://files.example:8080/",
        "http://files.example:8080",
        "http://files.example:8080/davx/y",
        "http://files.example:8080/other/x",
        "/other/x",
        "/",
    ],
)
def test_parse_destination_elsewhere_is_foreign(value: str) -> None:
    """Another server, scheme or tree is told apart from a broken header."""
    with pytest.raises(ForeignDestination):
        _parse(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        "x",
        "dav/x",
        "//files.example:8080/dav/x",
        "http:/dav/x",
        "http:///dav/x",
        "http://files.example:80800000/dav/x",
        "http://files.example:port/dav/x",
        "http://[::1/dav/x",
        "http://files.example:8080/dav/a?b",
        "/dav/a?b",
        "/dav/a#b",
        "http://files.example:8080/dav/a\tb",
        "http://files.example:8080/dav/a\r\nX: y",
        "/dav/%zz",
        "/dav/a%00",
        "\\\\files.example\\dav\\x",
    ],
)
def test_parse_destination_broken_header_is_bad_request(value: str) -> None:
    """A query or fragment is refused too: it would otherwise cut a name that was not encoded."""
    with pytest.raises(BadRequest) as caught:
        _parse(value)
    assert not isinstance(caught.value, ForeignDestination)


@pytest.mark.parametrize("value", ["/dav/..", "/dav/%2e%2e/x", "/dav/a%2Fb", "http://files.example:8080/dav/%E9"])
def test_parse_destination_impossible_name_is_bad_name(value: str) -> None:
    """The same rules as for the path of the request."""
    with pytest.raises(BadName):
        _parse(value)


def test_parse_destination_empty_prefix_takes_the_whole_path() -> None:
    """A face at the root of the server has nothing to strip."""
    assert _parse("/a/b", prefix="").names == ("a", "b")
    assert _parse("/a/b", prefix="/").names == ("a", "b")


@given(st.one_of(st.text(), st.text("htp:/@[]?#%2eE.dav8\xfc\t "), st.text().map(lambda tail: "http://h/dav/" + tail)))
def test_parse_destination_any_text_gives_names_or_a_named_error(value: str) -> None:
    """No other exception, whatever the header."""
    try:
        found = parse_destination(value, scheme="http", host="h", forwarded_hosts=(), prefix="/dav")
    except Invalid:
        return
    assert all(name not in ("", ".", "..") and "/" not in name for name in found.names)


@given(st.text(), st.text(), st.lists(st.text()), st.text())
def test_parse_destination_any_own_host_never_breaks(
    scheme: str, host: str, forwarded_hosts: list[str], prefix: str
) -> None:
    """The Host header comes from the client as well."""
    try:
        parse_destination("http://h/dav/x", scheme=scheme, host=host, forwarded_hosts=forwarded_hosts, prefix=prefix)
    except Invalid:
        pass


@given(st.lists(NAMES, min_size=1), st.booleans())
def test_parse_destination_encoded_path_gives_the_names_back(names: list[str], is_folder: bool) -> None:
    """A client that sends back our own href reaches the same names."""
    assert _parse("http://files.example:8080" + encode_path(names, is_folder)) == Destination(tuple(names), is_folder)

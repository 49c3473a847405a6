"""Cookies and the tokens of forms, piece by piece."""

from __future__ import annotations

import io
from typing import Any

import pytest

from admin_ui.forms import BODY_MOST, NotAForm, read_form
from admin_ui.rendering import browser, duration
from admin_ui.request import local_path
from admin_ui.tokens import SESSION, form_token, is_form_token, new_token
from appliance.errors import BadRequest, TooLarge

HTTP, HTTPS = {"wsgi.url_scheme": "http"}, {"wsgi.url_scheme": "https"}
TOKEN = "t" * 43


def test_token_is_new_each_time_and_fits_its_cookie() -> None:
    """What is set is what is found."""
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    for environ, name in ((HTTP, "holdfast-session"), (HTTPS, "__Host-holdfast-session")):
        token = made.pop()
        assert SESSION.sent({**environ, "HTTP_COOKIE": f"{name}={token}"}) == token
        assert SESSION.set(environ, token)[1].startswith(f"{name}={token}; ")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"a=b; holdfast-session={TOKEN}; c=d", TOKEN),
        (f"a=b;holdfast-session={TOKEN}", TOKEN),
        (f"holdfast-session={TOKEN}; holdfast-session={'u' * 43}", TOKEN),
        (f"xholdfast-session={TOKEN}", None),
        (f"__Host-holdfast-session={TOKEN}", None),
        ("holdfast-session=", None),
        ("holdfast-session", None),
        (f"holdfast-session={TOKEN}x", None),
        (f'holdfast-session="{TOKEN}"', None),
        (f"holdfast-session={'é' * 43}", None),
        (";;;=;", None),
        ("", None),
    ],
)
def test_cookie_is_found_among_others(header: str, found: str | None) -> None:
    """Only what could be ours, under exactly its name."""
    assert SESSION.sent({**HTTP, "HTTP_COOKIE": header}) == found


def test_cookie_over_https_has_no_other_name() -> None:
    """One that a page over http has set is not taken."""
    assert SESSION.sent({**HTTPS, "HTTP_COOKIE": f"holdfast-session={TOKEN}"}) is None


def test_form_token_is_of_one_cookie_and_one_purpose() -> None:
    """And does not tell the cookie."""
    token = form_token(TOKEN, "form")
    assert is_form_token(token, TOKEN, "form")
    assert not is_form_token(token, "u" * 43, "form")
    assert not is_form_token(token, TOKEN, "sign in")
    for wrong in ("", token[:-1], f"{token}0", token.upper() + "é", "\udcff"):
        assert not is_form_token(wrong, TOKEN, "form")
    assert TOKEN not in token


@pytest.mark.parametrize("path", ["/account/", "/admin/users/anna@home", "/admin/server"])
def test_local_path_is_a_page_of_the_panel(path: str) -> None:
    """Which may be gone to after signing in."""
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path", [None, "", "/", "/dav/", "//evil.example/", "https://evil.example", "/account", "/account/\n", "/admin/?x",
             "/admin/\\evil", "account/", "/account/%0d"]
)  # fmt: skip
def test_other_path_is_not(path: str | None) -> None:
    """Whatever somebody put into a link."""
    assert local_path(path) is None


def environ(body: bytes, **more: str) -> dict[str, Any]:
    """Of a form."""
    return {"CONTENT_TYPE": "application/x-www-form-urlencoded", "wsgi.input": io.BytesIO(body), **more}


def test_form_is_read_with_its_blanks_and_letters() -> None:
    """The last of several fields counts."""
    read = read_form(environ(b"a=1&b=%C3%BC+%26&empty=&a=2"))
    assert read == {"a": "2", "b": "ü &", "empty": ""}


def test_form_may_be_as_large_as_a_form_is() -> None:
    """And not a byte more, whether its length is told or not."""
    body = b"a=" + b"x" * (BODY_MOST - 2)
    assert len(read_form(environ(body))["a"]) == BODY_MOST - 2
    for more in ({}, {"CONTENT_LENGTH": str(BODY_MOST + 1)}):
        with pytest.raises(TooLarge):
            read_form(environ(body + b"x", **more))


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xc3\xbc", b"&".join([b"a=1"] * 51)])
def test_form_that_cannot_be_read_is_refused(body: bytes) -> None:
    """Nobody guesses what was meant."""
    with pytest.raises(BadRequest):
        read_form(environ(body))


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data; boundary=x", "application/json"])
def test_other_content_is_no_form(kind: str) -> None:
    """It is not even read."""
    with pytest.raises(NotAForm):
        read_form(environ(b"a=1", CONTENT_TYPE=kind))


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/156.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605 Version/19 Safari/605", "Safari on Macintosh"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/156 Safari/537 Edg/156.0", "Edge on Windows"),
        ("curl/8.5", "curl/8.5"),
        ("", "unknown"),
    ],
)
def test_browser_is_named_as_people_name_it(agent: str, name: str) -> None:
    """What is not known is shown as it is."""
    assert browser(agent) == name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h"), (86_400, "1 d")],
)
def test_duration_has_two_units(seconds: int, text: str) -> None:
    """The largest ones."""
    assert duration(seconds * 1_000_000) == text

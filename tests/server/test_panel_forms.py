"""What a form has to prove, and what is refused before it does anything: each refusal leaves everything as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from admin_ui.answers import CSP
from tests.server.browsing import FORM, Browser, Page, signed_in
from tests.server.running import ADMIN, PASSWORD, Server

SIGN_IN = "/account/sign-in"
# Each changes something; with fields that would be taken.
CHANGES: dict[str, dict[str, str]] = {
    "/account/password": {"current": PASSWORD, "password": "taken over now", "again": "taken over now"},
    "/account/app-passwords": {"label": "stranger"},
    "/account/app-passwords/1/revoke": {},
    "/account/tokens": {"name": "stranger", "files:read": "yes", "days": "1"},
    "/account/tokens/1/revoke": {},
    "/account/sessions/end": {},
    "/account/sign-out": {},
    "/admin/new-user": {"name": "made", "password": "made by a stranger"},
    "/admin/users/member/quota": {"quota": "1 MB"},
    "/admin/users/member/password": {"password": "taken over now"},
    "/admin/users/member/role": {"role": "admin"},
    "/admin/users/member/state": {"state": "disabled"},
}
PAGES = ("/account/", "/account/connect", "/account/password", "/account/tokens", "/admin/", "/admin/users/",
         "/admin/users/member", "/admin/new-user", "/admin/server")  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def member(server: Server) -> str:
    """A user with nothing special; an app password and a token of the administrator."""
    server.add_user("member").close()
    server.holdfast("app-password", "add", "laptop", "--user", ADMIN)
    server.holdfast("token", "add", "script", "--user", ADMIN, "--scope", "files:read")
    return "member"


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    """The administrator's."""
    with signed_in(server) as found:
        yield found


def state(server: Server) -> tuple[str, ...]:
    """All that the forms could change."""
    lists = (("user", "list"), ("app-password", "list", "--user", ADMIN), ("token", "list", "--user", ADMIN))
    found = tuple(server.holdfast(*each).stdout for each in lists)
    for name in (ADMIN, "member"):
        with server.dav(name) as dav:
            assert dav("PROPFIND", "/dav/", headers={"Depth": "0"}).status == 207
    return found


def require_refused(page: Page, status: int) -> None:
    """A page for people, with the headers of every page."""
    assert page.status == status, page.text
    assert page.header("content-type") == "text/html; charset=utf-8"
    assert page.header("content-security-policy") == CSP
    assert page.header("cache-control") == "no-store"
    assert page.tree.xpath("//main//h1")


@pytest.mark.parametrize("forged", ["none", "empty", "foreign", "visit"])
def test_form_without_the_sessions_own_token_changes_nothing(server: Server, browser: Browser, forged: str) -> None:
    """Neither none, nor one of another session, nor that of the sign-in form."""
    with signed_in(server, "member") as other, Browser(server) as stranger:
        tokens = {
            "none": {},
            "empty": {"csrf": ""},
            "foreign": {"csrf": other.get("/account/").csrf},
            "visit": {"csrf": stranger.get(SIGN_IN).csrf},
        }
        before = state(server)
        for path, fields in CHANGES.items():
            require_refused(browser.post(path, {**fields, **tokens[forged]}), 403)
        assert state(server) == before
        assert browser.is_signed_in


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_form_from_another_site_changes_nothing(server: Server, browser: Browser, headers: dict[str, str]) -> None:
    """Even with the right token."""
    token = browser.get("/account/").csrf
    before = state(server)
    for path, fields in CHANGES.items():
        assert browser.post(path, {**fields, "csrf": token}, headers).status == 403
    with Browser(server) as stranger:
        page = stranger.get(SIGN_IN)
        fields = {**page.fields(SIGN_IN), "name": ADMIN, "password": PASSWORD}
        assert stranger.post(SIGN_IN, fields, headers).status == 403
        assert "holdfast-session" not in stranger.cookies
    assert state(server) == before


def test_form_from_this_site_is_taken(server: Server, browser: Browser) -> None:
    """As browsers send it."""
    headers = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    token = browser.get("/account/").csrf
    assert browser.post("/admin/users/member/quota", {"quota": "", "csrf": token}, headers).status == 303


@pytest.mark.parametrize("forged", ["none", "other"])
def test_sign_in_form_of_another_browser_is_refused(server: Server, forged: str) -> None:
    """Nobody is signed in to an account that somebody else chose."""
    with Browser(server) as mine, Browser(server) as other:
        page = mine.get(SIGN_IN)
        token = other.get(SIGN_IN).csrf
        fields = {**page.fields(SIGN_IN), "name": ADMIN, "password": PASSWORD}
        fields["csrf"] = "" if forged == "none" else token
        require_refused(mine.post(SIGN_IN, fields), 403)
        mine.cookies.clear()
        require_refused(mine.post(SIGN_IN, page.fields(SIGN_IN) | {"name": ADMIN, "password": PASSWORD}), 403)
        assert "holdfast-session" not in mine.cookies


def test_stranger_gets_no_page_and_no_form_through(server: Server) -> None:
    """Pages lead to the sign-in form, forms to an error."""
    before = state(server)
    with Browser(server) as stranger:
        for path in PAGES:
            page = stranger.ask("GET", path)
            assert (page.status, page.body) == (303, b"")
            assert page.header("location").startswith(f"{SIGN_IN}?next=/")
        for path, fields in CHANGES.items():
            require_refused(stranger.post(path, {**fields, "csrf": "0" * 48}), 403)
        assert state(server) == before


def test_member_gets_403_for_all_that_is_the_administrators(server: Server) -> None:
    """With the right token of their own session; nothing about others is told."""
    before = state(server)
    with signed_in(server, "member") as browser:
        token = browser.get("/account/").csrf
        assert "/admin/" not in browser.get("/account/").body.decode()
        for path in PAGES:
            if path.startswith("/admin/"):
                page = browser.ask("GET", path)
                require_refused(page, 403)
                assert ADMIN not in page.text.replace("administrators", "")
        for path, fields in CHANGES.items():
            if path.startswith("/admin/"):
                require_refused(browser.post(path, {**fields, "csrf": token}), 403)
    assert state(server) == before


def test_member_cannot_revoke_what_is_somebody_elses(server: Server) -> None:
    """Its id is answered like one that there is not."""
    before = state(server)
    with signed_in(server, "member") as browser:
        token = browser.get("/account/").csrf
        for number in ("1", "999", "9" * 18):
            for what in ("app-passwords", "tokens"):
                require_refused(browser.post(f"/account/{what}/{number}/revoke", {"csrf": token}), 404)
    assert state(server) == before


def test_get_changes_nothing(server: Server, browser: Browser) -> None:
    """Also with everything that a form would send."""
    token = browser.get("/account/").csrf
    before = state(server)
    for path, fields in CHANGES.items():
        query = "&".join(f"{name}={value.replace(' ', '+')}" for name, value in {**fields, "csrf": token}.items())
        for method in ("GET", "HEAD"):
            assert browser.ask(method, f"{path}?{query}").status in (200, 405)
    assert state(server) == before
    assert browser.is_signed_in


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/account/sign-out", "POST"),
        ("POST", "/account/", "GET, HEAD"),
        ("PUT", "/account/", "GET, HEAD"),
        ("PROPFIND", "/admin/", "GET, HEAD"),
        ("DELETE", "/admin/users/member", "GET, HEAD"),
        ("OPTIONS", "/account/password", "GET, HEAD, POST"),
    ],
)
def test_wrong_method_is_answered_with_those_that_are_right(
    server: Server, browser: Browser, method: str, path: str, allowed: str
) -> None:
    """Whoever asks."""
    page = browser.ask(method, path)
    require_refused(page, 405)
    assert page.header("allow") == allowed


def test_body_that_is_no_form_is_refused(browser: Browser) -> None:
    """JSON and files among them: a form of another site could send them as plain text."""
    body = f"label=x&csrf={browser.get('/account/').csrf}".encode()
    for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x", ""):
        require_refused(browser.ask("POST", "/account/app-passwords", body, {"Content-Type": kind}), 415)
    taken = browser.ask("POST", "/account/app-passwords", body, {"Content-Type": f"{FORM}; charset=utf-8"})
    assert taken.status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_body_is_refused(server: Server, browser: Browser, framing: str) -> None:
    """By its length before it is read, or when there is more than a form can be."""
    headers = {"Content-Type": FORM}
    body: Any = b"label=" + b"x" * 100_000
    if framing == "length":
        with server.dav() as dav, dav.wire() as wire:
            cookie = f"Cookie: holdfast-session={browser.session}"
            wire.sock.sendall(
                dav.head("POST", "/account/app-passwords", cookie, f"Content-Type: {FORM}", "Content-Length: 70000")
            )
            assert wire.sock.recv(65536).startswith(b"HTTP/1.1 413 ")
        return
    page = browser.ask("POST", "/account/app-passwords", iter([body[:50_000], body[50_000:]]), headers)  # type: ignore[arg-type]
    require_refused(page, 413)


@pytest.mark.parametrize("body", [b"label=%ff", b"label=\xff", b"&".join(b"a=1" for _ in range(60)), b"%"])
def test_broken_form_is_refused(browser: Browser, body: bytes) -> None:
    """And never an error of the server's."""
    assert browser.ask("POST", "/account/app-passwords", body, {"Content-Type": FORM}).status in (400, 403)


def test_every_page_carries_the_policy(browser: Browser) -> None:
    """No script, nothing from elsewhere, no inline style, nothing kept."""
    for path in (*PAGES, "/admin/nothing", "/account/nothing"):
        page = browser.ask("GET", path)
        require_refused(page, 404 if path.endswith("nothing") else 200)
        assert page.header("x-content-type-options") == "nosniff"
        assert page.header("referrer-policy") == "same-origin"
        assert not page.tree.xpath("//script | //style | //@style | //iframe | //@*[starts-with(name(), 'on')]")
        assert all(str(each).startswith("/") for each in page.tree.xpath("//@src | //@action"))
        assert all(str(each).startswith(("/", "#")) for each in page.tree.xpath("//@href"))
        for form in page.tree.forms:
            assert form.method == "POST"
            assert form.fields["csrf"]
        labels = {str(each) for each in page.tree.xpath("//label/@for")}
        for field in page.tree.xpath("//input[not(@type='hidden') and not(@hidden) and not(ancestor::label)]"):
            assert field.get("id") in labels


def test_static_files_are_kept_for_long_and_change_their_name(browser: Browser) -> None:
    """And there is no way out of their folder."""
    links = browser.get("/account/").tree.xpath("//link/@href")
    assert len(links) == 2
    for link in links:
        page = browser.ask("GET", str(link))
        assert page.status == 200
        assert page.header("cache-control") == "max-age=31536000, immutable"
        assert page.header("content-type").split(";")[0] in ("text/css", "image/svg+xml")
    for path in ("/static/", "/static/panel.css", "/static/../app.py", "/static/%2e%2e/app.py", "/static/x"):
        assert browser.ask("GET", path).status == 404
    assert browser.ask("POST", str(links[0]), b"").status == 405


def test_access_log_names_who_was_signed_in(start: Any, tmp_path: Any) -> None:
    """And never the cookie or the password."""
    log = tmp_path / "access"
    server = start(settings={"access_log": str(log), "access_log_format": "text"})
    with signed_in(server) as browser:
        browser.get("/admin/users/")
        token = browser.session
    server.stop()
    text = log.read_text()
    assert f'{ADMIN} "GET /admin/users/" 200' in text
    assert token not in text
    assert PASSWORD not in text

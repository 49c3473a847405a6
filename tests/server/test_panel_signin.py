"""Signing in to the panel: sessions begin, hold in every worker, and end; nobody can bring their own token."""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

import pytest

from appliance import clock
from tests.server.behind import change, rows
from tests.server.browsing import Browser, signed_in
from tests.server.conftest import Start
from tests.server.running import ADMIN, PASSWORD, Server, until
from tests.support.certificates import Certified

SIGN_IN = "/account/sign-in"


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """Three workers, among which connections are spread."""
    return {"workers": 3}


def stored(browser: Browser) -> bytes:
    """What the table has of the browser's token."""
    return hashlib.sha256(browser.session.encode()).digest()


def test_stranger_is_led_to_the_form_and_on_from_there(server: Server) -> None:
    """To the page that was asked for."""
    with Browser(server) as browser:
        first = browser.ask("GET", "/admin/users/")
        assert (first.status, first.header("location")) == (303, f"{SIGN_IN}?next=/admin/users/")
        page = browser.get("/admin/users/")
        assert page.status == 200
        shown = browser.submit(page, SIGN_IN, name=ADMIN, password=PASSWORD)
        assert (shown.path, shown.status) == ("/admin/users/", 200)


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/",
        "//evil.example/account/",
        "/\\evil.example",
        "/dav/",
        "/account/\r\nX: y",
        "javascript:1",
    ],
)
def test_nobody_is_led_elsewhere(server: Server, following: str) -> None:
    """Only to pages of the panel."""
    with Browser(server) as browser:
        page = browser.get(SIGN_IN)
        fields = {**page.fields(SIGN_IN), "name": ADMIN, "password": PASSWORD, "next": following}
        assert browser.post(SIGN_IN, fields).header("location") == "/account/"


def test_session_cookie_over_http(server: Server) -> None:
    """No script sees it, no foreign form carries it. Secure would keep it from coming back at all."""
    with Browser(server) as browser:
        page = browser.get(SIGN_IN)
        answer = browser.post(SIGN_IN, {**page.fields(SIGN_IN), "name": ADMIN, "password": PASSWORD})
        cookies = answer.all("set-cookie")
        assert re.fullmatch(r"holdfast-session=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax", cookies[0])
        assert cookies[1].startswith("holdfast-visit=;")


def test_session_cookie_over_tls_is_of_this_host_and_secure(start: Start, tmp_path_factory: Any) -> None:
    """The name alone says that nobody else has set it; one without the prefix counts for nothing there."""
    certified = Certified.make(tmp_path_factory.mktemp("tls"))
    server = start(settings=certified.settings, trust=certified.client())
    with Browser(server) as browser:
        page = browser.get(SIGN_IN)
        answer = browser.post(SIGN_IN, {**page.fields(SIGN_IN), "name": ADMIN, "password": PASSWORD})
        kept = r"__Host-holdfast-session=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax; Secure"
        assert re.fullmatch(kept, answer.all("set-cookie")[0])
        assert browser.is_signed_in
        browser.cookies = {"holdfast-session": browser.session}
        assert not browser.is_signed_in


def test_session_cookie_behind_a_trusted_proxy_is_secure(start: Start) -> None:
    """The proxy speaks https with the browser; a header of somebody else says nothing."""
    server = start(settings={"trusted_proxies": "127.0.0.1"})
    with Browser(server, headers={"X-Forwarded-Proto": "https"}) as browser:
        browser.sign_in()
        assert set(browser.cookies) == {"__Host-holdfast-session"}
    plain = start()
    with Browser(plain, headers={"X-Forwarded-Proto": "https"}) as browser:
        browser.sign_in()
        assert set(browser.cookies) == {"holdfast-session"}


def test_token_that_a_browser_brings_is_never_taken_over(server: Server) -> None:
    """Whoever planted it would be signed in as well."""
    with Browser(server) as browser:
        planted = "A" * 43
        browser.cookies["holdfast-session"] = planted
        browser.sign_in()
        first = browser.session
        assert first != planted
        # Signing in anew, too; the one before is over.
        browser.cookies = {"holdfast-session": first}
        page = browser.ask("GET", SIGN_IN)
        assert page.status == 303
        with Browser(server) as other:
            form = other.get(SIGN_IN)
            other.cookies["holdfast-session"] = first
            other.post(SIGN_IN, {**form.fields(SIGN_IN), "name": ADMIN, "password": PASSWORD})
            assert other.session != first
        assert not browser.is_signed_in


def test_token_is_not_in_the_database(server: Server) -> None:
    """Only a digest of it, so a copy of the database opens no account."""
    with signed_in(server) as browser:
        assert stored(browser) in {bytes(row[0]) for row in rows(server, "SELECT token_sha256 FROM web_session")}
        for path in server.data.glob("holdfast.db*"):
            assert browser.session.encode() not in path.read_bytes()


def test_session_holds_in_every_worker_and_after_a_restart(start: Start) -> None:
    """It is a row."""
    server = start(workers=3)
    with signed_in(server) as browser:
        pids = set()
        for _ in range(200):
            browser.close()
            assert browser.is_signed_in
            pids.add(server.worker_of(browser.connection.sock))
            if len(pids) == server.workers:
                break
        assert len(pids) == server.workers
        server.restart()
        browser.close()
        assert browser.is_signed_in


def test_wrong_password_keeps_the_name_and_says_no_more(server: Server) -> None:
    """The same for a name that nobody has; the password is not sent back."""
    server.add_user("walter").close()
    pages = []
    for name in ("walter", "no-such-user"):
        with Browser(server) as browser:
            page = browser.sign_in(name, "not this one")
            assert page.status == 403
            assert page.fields(SIGN_IN)["name"] == name
            assert b"not this one" not in page.body
            assert "holdfast-session" not in browser.cookies
            pages.append(re.sub(r'value="\w*"|' + name, "", page.body.decode()))
    assert re.sub(r"<[^>]*>", "", pages[0]) == re.sub(r"<[^>]*>", "", pages[1])


@pytest.mark.parametrize("hostile", ['"><script>alert(1)</script>', "a\0b", "x" * 5000, "\u202eabc"])
def test_hostile_name_is_shown_as_text(server: Server, hostile: str) -> None:
    """It is somebody's wrong name, and nothing else."""
    with Browser(server) as browser:
        page = browser.sign_in(hostile, "whatever it is")
        assert page.status == 403
        assert not page.tree.xpath("//script")


def test_app_password_does_not_sign_in(server: Server) -> None:
    """Who has found a phone cannot change the account; the page says what to do."""
    server.add_user("phoned").close()
    secret = server.holdfast("app-password", "add", "phone", "--user", "phoned").stdout.strip()
    with Browser(server) as browser:
        page = browser.sign_in("phoned", secret)
        assert page.status == 403
        assert "This is an app password" in page.text
        assert "holdfast-session" not in browser.cookies


def test_guesses_are_throttled_like_those_by_webdav(server: Server) -> None:
    """They count together; the page says how long to wait, also to the right password."""
    server.add_user("guessed").close()
    for number in range(5):
        with server.dav("guessed", f"by dav {number}") as dav:
            assert dav("PROPFIND", "/dav/", headers={"Depth": "0"}).status == 401
    with Browser(server) as browser:
        for number in range(5):
            assert browser.sign_in("guessed", f"by form {number}").status == 403
        browser.sign_in("guessed", "one more")
        until(lambda: browser.sign_in("guessed", PASSWORD).status == 429)
        page = browser.sign_in("guessed", PASSWORD)
        assert 40 <= int(page.header("retry-after")) <= 60
        assert re.search(r"Try again in \d+ seconds", page.text)
        assert "holdfast-session" not in browser.cookies


def test_disabled_user_cannot_sign_in_and_is_signed_out(server: Server) -> None:
    """From the next request on, in every worker; enabled again, the old session stays over."""
    server.add_user("leaving").close()
    with signed_in(server, "leaving") as browser:
        server.holdfast("user", "disable", "leaving")
        for _ in range(6):
            browser.close()
            assert not browser.is_signed_in
        with Browser(server) as other:
            assert other.sign_in("leaving").status == 403
        server.holdfast("user", "enable", "leaving")
        assert not browser.is_signed_in


@pytest.mark.parametrize(
    "command",
    ["user password NAME --password-stdin", "user remove NAME", "user remove NAME --purge", "session end NAME"],
)
def test_command_ends_sessions(server: Server, command: str) -> None:
    """Whatever takes the right to be here does it at once."""
    name = command.lower().replace(" ", "-").replace("name", "told")
    server.add_user(name).close()
    with signed_in(server, name) as browser:
        assert name in server.holdfast("session", "list").stdout
        server.holdfast(*command.replace("NAME", name).split(), typed="another password\n")
        assert not browser.is_signed_in
        assert name not in server.holdfast("session", "list").stdout


def test_sign_out_ends_the_session_for_whoever_has_the_token(server: Server) -> None:
    """Not only for the browser that forgets its cookie."""
    with signed_in(server) as browser:
        token = browser.session
        page = browser.submit(browser.get("/account/"), "/account/sign-out")
        assert "You are signed out" in page.text
        assert "holdfast-session" not in browser.cookies
        browser.cookies["holdfast-session"] = token
        assert not browser.is_signed_in


@pytest.mark.parametrize(("column", "hours"), [("seen_at", 2), ("created_at", 168)])
def test_session_ends_by_itself(server: Server, column: str, hours: int) -> None:
    """Without a request after the idle time, and however much it is used after the longest."""
    with signed_in(server) as browser:
        now = time.time_ns() // 1000
        for minutes, holds in ((-1, True), (1, False)):
            at = now - (hours * 60 + minutes) * 60 * clock.SECOND
            change(
                server,
                f"UPDATE web_session SET {column} = :at WHERE token_sha256 = :token",
                at=at,
                token=stored(browser),
            )
            assert browser.is_signed_in == holds
        page = browser.post("/account/sessions/end", {"csrf": "x"})
        assert page.status == 403
        assert "Sign in first" in page.text


def test_sessions_that_are_over_are_swept(start: Start) -> None:
    """By a job."""
    server = start()
    with signed_in(server) as browser, signed_in(server) as other:
        change(server, "UPDATE web_session SET seen_at = 1 WHERE token_sha256 = :token", token=stored(browser))
        server.holdfast("jobs", "run", "sessions")
        assert len(rows(server, "SELECT 1 FROM web_session")) == 1
        assert other.is_signed_in


def test_settings_bound_a_session(start: Start) -> None:
    """session_idle_minutes and session_hours are what counts."""
    server = start(settings={"session_idle_minutes": 1, "session_hours": 1})
    with signed_in(server) as browser:
        ago = time.time_ns() // 1000 - 61 * clock.SECOND
        change(server, "UPDATE web_session SET seen_at = :ago", ago=ago)
        assert not browser.is_signed_in

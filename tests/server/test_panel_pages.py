"""What people do in the panel, as it shows elsewhere: by WebDAV, at the command line, in other browsers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests.server.browsing import Browser, Page, signed_in
from tests.server.conftest import Start
from tests.server.running import ADMIN, PASSWORD, Server, until

NEW = "a new password for tests"


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    """The administrator's."""
    with signed_in(server) as found:
        yield found


def status(server: Server, name: str, password: str = PASSWORD) -> int:
    """By WebDAV."""
    with server.dav(name, password) as dav:
        return dav("PROPFIND", "/dav/", headers={"Depth": "0"}).status


def row(server: Server, name: str) -> list[str]:
    """Of the user, at the command line."""
    return next(line.split() for line in server.holdfast("user", "list").stdout.splitlines() if line.split()[0] == name)


def problem(page: Page, field: str) -> str:
    """What the page says is wrong with a field; a screen reader finds it there."""
    (found,) = page.tree.xpath(f"//input[@name='{field}']")
    assert found.get("aria-invalid") == "true"
    return str(page.tree.get_element_by_id(found.get("aria-describedby")).text_content())


# -- the account ------------------------------------------------------------------------------------------------------


def test_password_is_changed_by_who_knows_the_present_one(server: Server) -> None:
    """This browser stays, others go; app passwords go on working, the old password does not."""
    server.add_user("changer").close()
    secret = server.holdfast("app-password", "add", "phone", "--user", "changer").stdout.strip()
    with signed_in(server, "changer") as mine, signed_in(server, "changer") as other:
        form = mine.get("/account/password")
        page = mine.submit(form, "/account/password", current=PASSWORD, password=NEW, again=NEW)
        assert page.path.startswith("/account/")
        assert "Your password is changed" in page.text
        assert mine.is_signed_in
        assert not other.is_signed_in
    assert [status(server, "changer", each) for each in (PASSWORD, NEW, secret)] == [401, 207, 207]


@pytest.mark.parametrize(
    ("fields", "wrong", "code"),
    [
        ({"current": "not this", "password": NEW, "again": NEW}, "current", 403),
        ({"current": "", "password": NEW, "again": NEW}, "current", 403),
        ({"current": PASSWORD, "password": NEW, "again": f"{NEW}!"}, "again", 400),
        ({"current": PASSWORD, "password": "short", "again": "short"}, "password", 400),
        ({"current": PASSWORD, "password": "", "again": ""}, "password", 400),
        ({"current": PASSWORD, "password": "x" * 1025, "again": "x" * 1025}, "password", 400),
    ],
)
def test_password_that_cannot_be_changed_stays(server: Server, fields: dict[str, str], wrong: str, code: int) -> None:
    """The page says which field, and repeats no password."""
    name = f"keeper-{wrong}-{len(fields['password'])}-{len(fields['current'])}"
    server.add_user(name).close()
    with signed_in(server, name) as browser:
        page = browser.submit(browser.get("/account/password"), "/account/password", **fields)
        assert page.status == code
        assert problem(page, wrong)
        assert not page.tree.xpath("//input[@type='password']/@value")
    assert status(server, name) == 207


def test_app_password_is_no_present_password(server: Server) -> None:
    """Whoever has a device cannot take the account, even in a browser that was left signed in."""
    server.add_user("lender").close()
    secret = server.holdfast("app-password", "add", "phone", "--user", "lender").stdout.strip()
    with signed_in(server, "lender") as browser:
        page = browser.submit(
            browser.get("/account/password"), "/account/password", current=secret, password=NEW, again=NEW
        )
        assert problem(page, "current")
    assert [status(server, "lender", each) for each in (PASSWORD, NEW)] == [207, 401]


def test_guesses_at_the_present_password_are_throttled(server: Server) -> None:
    """In a browser that somebody left signed in."""
    server.add_user("left").close()
    with signed_in(server, "left") as browser:
        form = browser.get("/account/password")

        def guess(number: int) -> Page:
            return browser.submit(form, "/account/password", current=f"guess {number}", password=NEW, again=NEW)

        assert [guess(number).status for number in range(10)] == [403] * 10
        page = guess(11)
        assert page.status == 429
        assert int(page.header("retry-after")) > 50


def test_app_passwords_are_listed_made_and_revoked(server: Server) -> None:
    """What is shown once is not shown again; a label is text, whatever is in it."""
    server.add_user("owner").close()
    label = '<b onclick="x">&amp; {{ 7 * 7 }}'
    with signed_in(server, "owner") as browser:
        page = browser.submit(browser.get("/account/"), "/account/app-passwords", label=label)
        (secret,) = page.tree.xpath("//code[@id='secret']/text()")
        assert re.fullmatch(r"([a-z2-7]{8}-){3}[a-z2-7]{8}", secret)
        assert label in page.text
        assert status(server, "owner", secret) == 207
        page = browser.get("/account/")
        assert label in page.text
        assert secret.encode() not in page.body
        (action,) = [form.action for form in page.tree.forms if form.action.endswith("/revoke")]
        page = browser.submit(page, action)
        assert "works no more" in page.text
        assert label not in page.text
        assert status(server, "owner", secret) == 401
        assert browser.post(action, {"csrf": page.csrf}).status == 404


@pytest.mark.parametrize("label", ["", "   ", "x" * 101, "a\u0007b"])
def test_label_that_cannot_be_is_kept_in_the_form(server: Server, browser: Browser, label: str) -> None:
    """With the rule."""
    page = browser.submit(browser.get("/account/"), "/account/app-passwords", label=label)
    assert page.status == 400
    assert "1 to 100 printable characters" in problem(page, "label")


def test_tokens_are_listed_made_and_revoked(server: Server) -> None:
    """One that may read reads and does no more; it is shown once; those of an app password stand there as well."""
    server.add_user("scripter").close()
    with signed_in(server, "scripter") as browser, server.dav("scripter") as dav:
        page = browser.submit(
            browser.get("/account/tokens"), "/account/tokens", name="<i>nightly</i>", days="7", **{"files:read": "yes"}
        )
        (secret,) = page.tree.xpath("//code[@id='secret']/text()")
        dav.authorization = f"Bearer {secret}"
        assert [dav(method, "/dav/x", b"").status for method in ("PUT", "GET")] == [403, 404]
        page = browser.get("/account/tokens")
        assert "<i>nightly</i> read " in page.text
        assert secret.encode() not in page.body
        (action,) = [form.action for form in page.tree.forms if form.action.endswith("/revoke")]
        page = browser.submit(page, action)
        assert "works no more" in page.text
        assert "nightly" not in page.text
        assert dav("GET", "/dav/x").status == 401
        assert browser.post(action, {"csrf": page.csrf}).status == 404


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"name": " ", "files:read": "yes", "days": "1"}, "1 to 100 printable characters"),
        ({"name": "mine", "days": "1"}, "one or more of the scopes"),
        ({"name": "mine", "files:write": "yes", "days": "367"}, "lives from 1 to"),
        ({"name": "mine", "files:write": "yes", "days": "-1"}, "lives from 1 to"),
        ({"name": "mine", "files:write": "yes", "days": "soon"}, "lives from 1 to"),
    ],
)
def test_token_that_cannot_be_is_kept_in_the_form(browser: Browser, fields: dict[str, str], rule: str) -> None:
    """With the rule; none is made."""
    page = browser.submit(browser.get("/account/tokens"), "/account/tokens", **fields)
    assert page.status == 400
    assert rule in page.text
    kept = page.fields("/account/tokens")
    assert kept["name"] == fields["name"]
    assert kept.get("files:write") == fields.get("files:write")
    assert "There is none." in page.text


def test_other_browsers_are_shown_and_signed_out(server: Server) -> None:
    """Each with its name and address; this one says so."""
    server.add_user("many").close()
    with signed_in(server, "many") as mine, Browser(server, headers={"User-Agent": "Firefox/150.0 (Android)"}) as other:
        other.sign_in("many")
        page = mine.get("/account/")
        assert "Firefox on Android" in page.text
        assert page.text.count("this one") == 1
        page = mine.submit(page, "/account/sessions/end")
        assert "All other browsers are signed out" in page.text
        assert "Firefox on Android" not in page.text
        assert mine.is_signed_in
        assert not other.is_signed_in


def test_connect_page_has_the_name_and_the_address(browser: Browser) -> None:
    """Ready to be copied."""
    typed = [code.text_content() for code in browser.get("/account/connect").tree.iter("code")]
    address = f"127.0.0.1:{browser.connection.port}"
    assert f"http://{address}/dav/" in typed
    assert f"gio mount dav://{ADMIN}@{address}/dav/" in typed


# -- for administrators -----------------------------------------------------------------------------------------------


def test_user_is_added_with_what_was_typed(server: Server, browser: Browser) -> None:
    """Name in small letters, quota in bytes; a password that was typed is not shown."""
    form = browser.get("/admin/new-user")
    page = browser.submit(form, "/admin/new-user", name=" Typed@home ", password=NEW, quota="1.5 GiB", admin="yes")
    assert page.status == 200
    assert NEW.encode() not in page.body
    assert status(server, "typed@home", NEW) == 207
    assert row(server, "typed@home")[1:6] == ["admin", "active", "0", "0", str(3 * 2**29)]
    assert browser.get("/admin/users/typed@home").fields("/admin/users/typed@home/quota")["quota"] == "1610612736"


@pytest.mark.parametrize(
    ("fields", "wrong", "code"),
    [
        ({"name": "-no"}, "name", 400),
        ({"name": ""}, "name", 400),
        ({"name": ADMIN.upper()}, "name", 409),
        ({"password": "short"}, "password", 400),
        ({"quota": "much"}, "quota", 400),
        ({"quota": "-1"}, "quota", 400),
    ],
)
def test_user_that_cannot_be_is_not_added(
    server: Server, browser: Browser, fields: dict[str, str], wrong: str, code: int
) -> None:
    """What was typed stays in the form, but for the password."""
    before = server.holdfast("user", "list").stdout
    given = {"name": "somebody", "quota": "7 GB", "password": "", "admin": "yes", **fields}
    page = browser.submit(browser.get("/admin/new-user"), "/admin/new-user", **given)
    assert page.status == code
    assert problem(page, wrong)
    # A field without a value is none of these.
    kept = {"name": "", **page.fields("/admin/new-user")}
    assert (kept["name"], kept["quota"], kept["admin"]) == (given["name"], given["quota"], "yes")
    assert "password" not in kept
    assert server.holdfast("user", "list").stdout == before


def test_default_quota_is_offered(start: Start) -> None:
    """As a proposal that can be changed."""
    server = start(settings={"default_quota": "5000000000"})
    with signed_in(server) as browser:
        assert browser.get("/admin/new-user").fields("/admin/new-user")["quota"] == "5.00 GB"


def test_password_is_reset_by_an_administrator(server: Server, browser: Browser) -> None:
    """Typed or made; the user is signed out, and app passwords go on."""
    server.add_user("forgot").close()
    path = "/admin/users/forgot"
    with signed_in(server, "forgot") as theirs:
        page = browser.submit(browser.get(path), f"{path}/password", password="")
        (made,) = page.tree.xpath("//code[@id='secret']/text()")
        assert [status(server, "forgot", each) for each in (PASSWORD, made)] == [401, 207]
        assert not theirs.is_signed_in
    page = browser.submit(browser.get(path), f"{path}/password", password=NEW)
    assert "The password is set" in page.text
    assert status(server, "forgot", NEW) == 207
    page = browser.submit(browser.get(path), f"{path}/password", password="short")
    assert problem(page, "password")
    assert status(server, "forgot", NEW) == 207


def test_own_password_is_changed_only_with_the_present_one(server: Server, browser: Browser) -> None:
    """The way around it leads to the form that asks."""
    token = browser.get("/account/").csrf
    answer = browser.post(f"/admin/users/{ADMIN}/password", {"csrf": token, "password": NEW})
    assert (answer.status, answer.header("location")) == (303, "/account/password")
    assert status(server, ADMIN) == 207


def test_role_is_given_and_taken(server: Server, browser: Browser) -> None:
    """From the next request on."""
    server.add_user("deputy").close()
    path = "/admin/users/deputy"
    with signed_in(server, "deputy") as theirs:
        for role, code in (("admin", 200), ("member", 403)):
            assert browser.submit(browser.get(path), f"{path}/role", role=role).status == 200
            assert theirs.ask("GET", "/admin/").status == code
            assert row(server, "deputy")[1] == role


@pytest.mark.parametrize(("what", "value"), [("role", "member"), ("state", "disabled")])
def test_last_administrator_stays(start: Start, what: str, value: str) -> None:
    """In the panel and at the command line; the page says why."""
    server = start()
    with signed_in(server) as browser:
        path = f"/admin/users/{ADMIN}"
        page = browser.submit(browser.get(path), f"{path}/{what}", **{what: value})
        assert page.status == 400
        assert "Admin is the only administrator who can sign in" in page.text
        assert browser.get("/admin/").status == 200
    command = ["user", "role", ADMIN, "member"] if what == "role" else ["user", "disable", ADMIN]
    refused = server.holdfast(*command, succeeds=False)
    assert refused.returncode == 2
    assert "only administrator" in refused.stderr


@pytest.mark.parametrize(("what", "value"), [("role", "owner"), ("role", ""), ("state", "removed"), ("state", "x")])
def test_value_that_no_page_offers_is_refused(server: Server, browser: Browser, what: str, value: str) -> None:
    """By a page, and nothing changes."""
    server.holdfast("user", "add", f"odd-{what}-{value}x", "--password-stdin", typed=f"{PASSWORD}\n")
    path = f"/admin/users/odd-{what}-{value}x"
    token = browser.get(path).csrf
    assert browser.post(f"{path}/{what}", {what: value, "csrf": token}).status == 400
    assert row(server, f"odd-{what}-{value}x")[1:3] == ["member", "active"]


def test_removed_user_can_be_brought_back(server: Server, browser: Browser) -> None:
    """With all files; nothing else is offered meanwhile."""
    server.add_user("gone").close()
    server.holdfast("user", "remove", "gone")
    page = browser.get("/admin/users/gone")
    assert "removed" in page.text
    token = page.csrf
    assert browser.post("/admin/users/gone/state", {"state": "disabled", "csrf": token}).status == 400
    assert browser.submit(page, "/admin/users/gone/state", state="active").status == 200
    assert status(server, "gone") == 207


@pytest.mark.parametrize("path", ["/admin/users/nobody", "/admin/users/Admin", "/admin/users/a%2Fb", "/admin/x"])
def test_page_that_there_is_not_is_404(browser: Browser, path: str) -> None:
    """For forms, too."""
    assert browser.ask("GET", path).status == 404
    assert browser.post(f"{path}/quota", {"quota": "", "csrf": browser.get("/account/").csrf}).status == 404


def test_storage_is_added_up_by_a_job(start: Start) -> None:
    """Current files at once; what is long to add up after the next run."""
    server = start()
    with server.add_user("holder") as dav:
        for number in range(3):
            dav.ok("PUT", "/dav/film", bytes([number]) * 400_000)
        dav.ok("PUT", "/dav/gone", b"x" * 5_000)
        dav.ok("DELETE", "/dav/gone")
    with signed_in(server) as browser:
        assert "400 KB" in browser.get("/admin/").text
        server.holdfast("jobs", "run", "measure")
        until(lambda: "805 KB" in browser.get("/admin/").text.replace("800 KB", "805 KB"), what="the measure")
        cells = browser.get("/admin/").tree.xpath("//tr[td/a='holder']/td//span/@title")
        assert cells == ["400,000 bytes", "800,000 bytes", "5,000 bytes"]


def test_server_page_tells_of_processes_and_jobs(start: Start) -> None:
    """A worker that died has a successor with another number; every job has a result and a next time."""
    server = start(workers=2)
    # A node tells of its own.
    assert server.process is not None
    with signed_in(server) as browser:

        def processes() -> list[tuple[str, str]]:
            browser.close()
            rows = browser.get("/admin/server").tree.xpath("//section[1]//tbody/tr")
            return [(each[0].text_content(), each[2].text_content()) for each in rows]

        until(lambda: all(pid for _, pid in processes()), what="the first sign of life of each")
        before = dict(processes())
        assert list(before) == ["worker 1", "worker 2", "scheduler"]
        assert {int(pid) for pid in before.values()} == set(server.pids()[1:])
        os.kill(int(before["worker 1"]), signal.SIGKILL)
        until(lambda: {pid for _, pid in processes()} == {str(pid) for pid in server.pids()[1:]}, what="the successor")
        assert dict(processes())["worker 2"] == before["worker 2"]
        jobs = {
            "audit",
            "checksums",
            "expire",
            "login failures",
            "measure",
            "prune",
            "rate limits",
            "reserve",
            "scrub",
            "sessions",
            "sweep",
            "uploads",
        }
        until(lambda: jobs <= {line.split("  ")[0] for line in server.holdfast("jobs", "list").stdout.splitlines()})
        shown = browser.get("/admin/server").tree.xpath("//section[2]//tbody/tr")
        assert {each[0].text_content() for each in shown} == jobs
        assert all("failed" not in each[3].text_content() for each in shown)
        assert all(each[4].text_content().startswith("in ") for each in shown)

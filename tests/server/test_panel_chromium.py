"""The panel in a real browser, with JavaScript and without, on a phone and on a desk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.browsing import signed_in
from tests.server.chromium import DESKTOP, PHONE, Visit, chromium, needs_chromium
from tests.server.running import ADMIN, PASSWORD, Server

pytestmark = [needs_chromium, pytest.mark.timeout(300)]

LONG = "w" * 60 + ".name"
PAGES = ("/account/", "/account/activity", "/account/files", "/account/trash", "/account/connect",
         "/account/tokens", "/account/password", "/admin/", "/admin/users/", f"/admin/users/{LONG[:64]}",
         "/admin/new-user", "/admin/server", "/admin/activity")  # fmt: skip
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """One browser for all tests."""
    with chromium() as found:
        yield found


@pytest.fixture(params=["phone", "desktop", "phone without scripts", "desktop without scripts"])
def visit(request: pytest.FixtureRequest, running: Any, server: Server) -> Iterator[Visit]:
    """A window; at its end the browser has nothing to complain of: no policy broken, no error, no foreign request."""
    viewport = PHONE if request.param.startswith("phone") else DESKTOP
    base = server.origin
    with Visit(running, base, viewport, scripts="without" not in request.param) as found:
        yield found
        assert found.complaints == []


def test_app_password_that_is_made_in_the_panel_mounts_the_files(visit: Visit, server: Server) -> None:
    """Shown once, used by WebDAV at once, and revoked."""
    name, label = f"maker-{next(_numbers)}", "Laptop & <phone>"
    server.add_user(name).close()
    visit.sign_in(name, PASSWORD)
    visit.fill(label=label)
    visit.press("Make an app password")
    assert visit.says(label)
    visit.require_it_fits()
    secret = str(visit.page.locator("#secret").text_content())
    with server.dav(name, secret) as dav:
        assert dav("PUT", "/dav/from the phone.txt".replace(" ", "%20"), b"hello").status == 201
    visit.page.get_by_role("link", name="Done").click()
    assert visit.says("1 file")
    assert secret not in visit.page.content()
    visit.page.get_by_text("Revoke", exact=True).click()
    visit.press("Revoke for good")
    assert visit.says("The app password works no more.")
    with server.dav(name, secret) as dav:
        assert dav("GET", "/dav/").status == 401


def test_administrator_makes_bounds_and_disables_a_user(visit: Visit, server: Server) -> None:
    """As far as the user notices it."""
    name = f"made-{next(_numbers)}"
    visit.sign_in(ADMIN, PASSWORD)
    visit.page.get_by_role("link", name="Users").click()
    visit.page.get_by_role("link", name="New user").click()
    visit.fill(name=name, quota="1 KB")
    visit.require_it_fits()
    visit.press("Add")
    password = str(visit.page.locator("#secret").text_content())
    with server.dav(name, password) as dav:
        assert dav("PUT", "/dav/small", b"x" * 900).status == 201
        assert dav("PUT", "/dav/large", b"x" * 900).status == 507
        visit.page.get_by_role("link", name="To the user").click()
        assert visit.says("900 B")
        visit.fill(quota="")
        visit.press("Set the quota")
        assert visit.says("The quota is set.")
        assert dav("PUT", "/dav/large", b"x" * 900).status == 201
        visit.press(f"Disable {name}")
        assert visit.says("disabled")
        assert dav("GET", "/dav/small").status == 401
        visit.press(f"Enable {name}")
        assert dav("GET", "/dav/small").status == 200


def test_storage_and_server_tell_what_is_there(visit: Visit, server: Server) -> None:
    """For people, with every byte in the title."""
    name = f"holder-{next(_numbers)}"
    with server.add_user(name) as dav:
        dav.ok("PUT", "/dav/film", b"x" * 1_234_567)
    visit.sign_in(ADMIN, PASSWORD)
    visit.page.get_by_role("link", name="Storage").click()
    row = visit.page.get_by_role("row").filter(has_text=name)
    assert "1.23 MB" in str(row.text_content())
    assert row.get_by_title("1,234,567 bytes").is_visible()
    visit.page.get_by_role("link", name="Server").click()
    processes = visit.page.locator("section", has_text="Processes").get_by_text("running", exact=True)
    # Of the node that answers: the scheduler, and its share of the workers.
    assert processes.count() == 1 + server.workers // len(server.turns())
    jobs = visit.page.locator("section", has_text="Jobs").first
    assert visit.page.get_by_role("button", name="Run prune").is_visible()
    assert jobs.get_by_text("failed", exact=True).count() == 0
    visit.press("Pause expire")
    assert visit.says("expire is paused.")
    visit.press("Resume expire")
    assert visit.says("expire runs at its times again.")
    assert visit.says("0 damaged, 0 repaired")


def test_file_that_was_overwritten_and_removed_is_brought_back(visit: Visit, server: Server) -> None:
    """With nothing but the panel."""
    name = f"careless-{next(_numbers)}"
    with server.add_user(name) as dav:
        dav.ok("PUT", "/dav/letter", b"as sent")
        dav.ok("PUT", "/dav/letter", b"overwritten by mistake")
        dav.ok("DELETE", "/dav/letter")
        visit.sign_in(name, PASSWORD)
        visit.page.get_by_role("link", name="Files", exact=True).click()
        visit.page.get_by_role("link", name="Trash").click()
        visit.require_it_fits()
        visit.page.locator("summary").first.click()
        visit.press("Put it back")
        assert visit.says("/letter is back.")
        visit.page.get_by_role("link", name="Files", exact=True).first.click()
        visit.page.get_by_role("link", name="letter").click()
        visit.require_it_fits()
        visit.page.get_by_role("button", name="Restore version").last.click()
        assert visit.says("newest again")
        assert dav.ok("GET", "/dav/letter").body == b"as sent"


def test_every_page_fits_the_screen(visit: Visit, server: Server) -> None:
    """Also with the longest names."""
    if f"{LONG[:64]} " not in server.holdfast("user", "list").stdout:
        server.add_user(LONG[:64]).close()
        server.holdfast("app-password", "add", "l" * 100, "--user", ADMIN)
    visit.sign_in(ADMIN, PASSWORD)
    for path in PAGES:
        visit.go(path)
        visit.require_it_fits()


def test_keyboard_is_enough_to_sign_in_and_move_about(running: Any, server: Server) -> None:
    """The first field has the focus; what has it can be seen; the first stop of a page leads past the bar."""
    with Visit(running, server.origin, DESKTOP, scripts=True) as visit:
        visit.go("/account/sign-in")
        visit.page.locator("input[name=name]:focus").wait_for()
        keyboard = visit.page.keyboard
        keyboard.type(ADMIN)
        keyboard.press("Tab")
        keyboard.type(PASSWORD)
        keyboard.press("Tab")
        focused = visit.page.locator(":focus-visible")
        assert focused.evaluate("each => getComputedStyle(each).outlineWidth") == "3px"
        keyboard.press("Enter")
        visit.page.wait_for_url("**/account/")
        keyboard.press("Tab")
        assert focused.text_content() == "Skip to the content"
        assert focused.bounding_box()["x"] >= 0
        seen = []
        for _ in range(8):
            keyboard.press("Tab")
            seen.append(str(focused.text_content()).strip())
        assert seen == ["Holdfast", "Account", "Files", "Connect", "Storage", "Users", "Server", "Sign out"]
        keyboard.press("Enter")
        visit.page.wait_for_url("**/account/sign-in?done=signed-out")
        assert visit.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_told_from_its_ground(running: Any, server: Server, dark: bool) -> None:
    """At least 4.5 to 1 (WCAG 2.2, 1.4.3), whichever scheme the system asks for."""
    with Visit(running, server.origin, DESKTOP, scripts=True, dark=dark) as visit:
        visit.sign_in(ADMIN, PASSWORD)
        for path in PAGES[:5]:
            visit.go(path)
            for shown in visit.page.evaluate(_CONTRASTS):
                assert shown["contrast"] >= 4.5, (path, shown)


_CONTRASTS = """() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = each => {
    for (; each; each = each.parentElement) {
      const found = channels(getComputedStyle(each).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')]
    .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .filter(each => each.getClientRects().length)
    .map(each => {
      const pair = [light(channels(getComputedStyle(each).color)), light(ground(each))].sort((a, b) => b - a);
      return {text: each.textContent.trim().slice(0, 40), contrast: (pair[0] + .05) / (pair[1] + .05)};
    });
}"""


def test_form_of_another_site_does_nothing(running: Any, server: Server) -> None:
    """A page on another port posts to the panel with the visitor's cookies: a real browser tells where it is from."""
    with signed_in(server) as plain:
        token = plain.get("/account/").csrf
    base = server.origin
    with Visit(running, base, DESKTOP, scripts=True) as visit:
        visit.sign_in(ADMIN, PASSWORD)
        visit.page.set_content(
            f"<form method='post' action='{base}/account/app-passwords'><input name='label' value='evil'>"
            f"<input name='csrf' value='{token}'><button>Win</button></form>"
        )
        visit.page.goto(
            "data:text/html,"
            f"<form method='post' action='{base}/account/app-passwords'><input name='label' value='evil'>"
            f"<input name='csrf' value='{token}'><button>Win</button></form>"
        )
        with visit.page.expect_navigation() as navigation:
            visit.press("Win")
        assert navigation.value.status == 403
    assert "evil" not in server.holdfast("app-password", "list", "--user", ADMIN).stdout

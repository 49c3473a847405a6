"""Rate limits over HTTP: so many requests and bytes, then 429 until there are some again; for each one apart."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.browsing import Browser
from tests.server.conftest import Start
from tests.server.dav_client import Answer
from tests.server.running import PASSWORD, Server

MB = 1_000_000
USER, TOKEN, ADDRESS, BYTES = 120, 60, 300, 30 * MB
WORKERS = 2
SETTINGS = {
    "user_requests_per_minute": USER,
    "user_bytes_per_minute": BYTES,
    "token_requests_per_minute": TOKEN,
    "address_requests_per_minute": ADDRESS,
    # Who comes through a proxy comes from where it says; the proxy itself has no limit.
    "trusted_proxies": "127.0.0.1",
}


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """Limits that a test reaches in a moment."""
    return {"settings": SETTINGS, "workers": WORKERS}


@pytest.fixture
def someone(server: Server, request: pytest.FixtureRequest) -> str:
    """A user of the test's own."""
    name = re.sub(r"[^a-z]", "-", request.node.name.lower())[:40].strip("-")
    server.add_user(name).close()
    return name


def app_password(server: Server, user: str, label: str) -> str:
    """A new one."""
    return server.holdfast("app-password", "add", label, "--user", user).stdout.strip()


def ask(server: Server, user: str, password: str) -> Answer:
    """Over a connection of its own: to whichever worker takes it."""
    with server.dav(user, password) as dav:
        return dav("OPTIONS", "/dav/")


def until_refused(once: Callable[[], Answer], most: int) -> tuple[int, Answer]:
    """How many were answered before the first 429, and that one."""
    for count in range(most + 1):
        answer = once()
        if answer.status == 429:
            return count, answer
    raise AssertionError(f"{most} requests were answered")


def slack(limit: int, began: float) -> float:
    """What may be answered beyond a limit: a block of each worker, and what came back since."""
    return WORKERS * max(1, limit // 16 // WORKERS) + (time.monotonic() - began) * limit / 60 + 1


def came_through(address: str) -> dict[str, str]:
    """The header of a proxy's."""
    return {"X-Forwarded-For": address}


def test_token_is_refused_after_its_limit_until_some_came_back(server: Server, someone: str) -> None:
    """Its user goes on with the main password, and another device as well."""
    secret, other = (app_password(server, someone, label) for label in ("laptop", "phone"))
    began = time.monotonic()
    count, refused = until_refused(lambda: ask(server, someone, secret), 2 * TOKEN)
    assert TOKEN - WORKERS <= count <= TOKEN + slack(TOKEN, began)
    assert refused.text == f"too many token requests; try again in {refused.headers['retry-after']} s\n"
    assert refused.headers["retry-after"] in ("1", "2")
    assert refused.headers["ratelimit-policy"] == (
        f'"user-requests";q={USER};w=60, "user-bytes";q={BYTES};qu="content-bytes";w=60, '
        f'"token-requests";q={TOKEN};w=60'
    )
    assert re.fullmatch(
        r'"user-requests";r=[0-9]+;t=[0-9]+, "user-bytes";r=[0-9]+;t=[0-9]+, "token-requests";r=0;t=[12]',
        refused.headers["ratelimit"],
    )
    assert ask(server, someone, PASSWORD).status == 200
    assert ask(server, someone, other).status == 200
    time.sleep(int(refused.headers["retry-after"]))
    answered = ask(server, someone, secret)
    assert answered.status == 200
    assert "retry-after" not in answered.headers


def test_user_is_refused_after_the_limit_by_whatever_password(server: Server, someone: str) -> None:
    """All devices together; somebody else is not."""
    secret = app_password(server, someone, "laptop")
    began = time.monotonic()
    count, refused = until_refused(lambda: ask(server, someone, PASSWORD), 2 * USER)
    assert USER - WORKERS * 3 <= count <= USER + slack(USER, began)
    assert refused.text.startswith("too many user requests; try again in ")
    later = [ask(server, someone, secret) for _ in range(8)]
    assert any(answer.status == 429 for answer in later)
    with server.dav() as admin:
        assert admin("OPTIONS", "/dav/").status == 200


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [("/api/v1/files", "192.0.2.1", "192.0.2.1"), ("/dav/", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9")],
    ids=["api", "dav"],
)
def test_address_is_refused_whoever_asks_but_never_for_its_health(
    server: Server, path: str, first: str, second: str
) -> None:
    """Strangers too; of IPv6 a /64 is one. The API tells it as a problem. Other addresses, and the proxy, go on."""
    began, turn = time.monotonic(), iter(range(2 * ADDRESS))
    with server.dav() as dav:

        def once() -> Answer:
            address = second if next(turn) % 2 else first
            return dav("GET", path, headers=came_through(address), signed_in=False)

        count, refused = until_refused(once, 2 * ADDRESS)
        assert ADDRESS - slack(ADDRESS, began) <= count <= ADDRESS + slack(ADDRESS, began)
        wait_s = int(refused.headers["retry-after"])
        assert wait_s >= 1
        assert refused.headers["ratelimit-policy"] == f'"address-requests";q={ADDRESS};w=60'
        assert refused.headers["ratelimit"] == f'"address-requests";r=0;t={wait_s}'
        said = f"too many address requests; try again in {wait_s} s"
        if path.startswith("/api/"):
            assert refused.headers["content-type"] == "application/problem+json"
            assert json.loads(refused.body) == {
                "type": "urn:holdfast:problem:rate-limited", "title": "Rate limited", "status": 429, "detail": said,
                "limit": "address-requests",
            }  # fmt: skip
        else:
            assert refused.text == f"{said}\n"
        assert refused.headers["cache-control"] == "no-store"
        for health in ("/healthz", "/readyz"):
            alive = dav("GET", health, headers=came_through(first))
            assert alive.status == 200
            assert "ratelimit" not in alive.headers
        # The address counts before it is known who asks.
        assert any(dav("GET", path, headers=came_through(second)).status == 429 for _ in range(20))
        assert dav("GET", path, headers=came_through("192.0.2.9"), signed_in=False).status == 401
        unlimited = dav("GET", path, signed_in=False)
        assert unlimited.status == 401
        assert "ratelimit" not in unlimited.headers


def test_signed_url_counts_for_the_address_and_not_for_who_made_it(server: Server, someone: str) -> None:
    """What caches may keep tells nobody what another one has left; the refusal is a problem that none keeps."""
    with server.dav(someone) as dav:
        dav.ok("PUT", "/dav/a.txt", b"a" * 1000)
        node_id = int(dav.ok("HEAD", "/dav/a.txt").etag.strip('"').split("-")[1], 16)
        url = json.loads(dav.ok("GET", f"/api/v1/files/{node_id}").body)["downloadUrl"]
        path = "/" + url.split("/", 3)[3]

        def once() -> Answer:
            return dav("GET", path, headers=came_through("198.51.100.7"), signed_in=False)

        answer = once()
        assert (answer.status, len(answer.body)) == (200, 1000)
        assert answer.headers["cache-control"].startswith("public")
        assert "ratelimit" not in answer.headers
        began = time.monotonic()
        count, refused = until_refused(once, 2 * ADDRESS)
        assert count >= ADDRESS - slack(ADDRESS, began)
        assert json.loads(refused.body)["limit"] == "address-requests"
        assert refused.headers["cache-control"] == "no-store"
        assert "ratelimit" in refused.headers
        # More than the user may have, and none of it was the user's.
        assert count > USER
        assert dav("OPTIONS", "/dav/").status == 200


def test_refused_upload_is_answered_before_its_body(server: Server, someone: str) -> None:
    """It is not asked for, and whoever sends it all the same gets the answer."""
    until_refused(lambda: ask(server, someone, PASSWORD), 2 * USER)
    answers = []
    with server.dav(someone) as dav:
        # A worker that has refused nothing yet may have some left, and some come back: then the body is asked for.
        while 429 not in answers:
            with dav.wire() as wire:
                wire.send(dav.head("PUT", "/dav/new", "Content-Length: 50000000", "Expect: 100-continue"))
                answer = wire.answer()
            answers.append(answer.status)
            assert len(answers) < 50
    assert set(answers) <= {100, 429}
    assert "retry-after" in answer.fields
    assert b"too many user requests" in answer.body


def test_bytes_refuse_the_next_request_and_never_what_runs(server: Server, someone: str) -> None:
    """Those of bodies and of answers: a file goes up, comes down whole, and then there is a wait."""
    body = bytes(range(256)) * (20 * MB // 256)
    with server.dav(someone) as dav:
        assert dav("PUT", "/dav/film", body).status == 201
        answer = dav("GET", "/dav/film")
        assert (answer.status, len(answer.body)) == (200, len(body))
        refused = dav("GET", "/dav/film")
        assert refused.status == 429
        assert refused.text.startswith("too many user bytes; try again in ")
        # Ten megabytes are owed, and half a megabyte comes back in a second.
        assert 5 <= int(refused.headers["retry-after"]) <= 22
        assert re.search(r'"user-bytes";r=0;t=[0-9]+', refused.headers["ratelimit"])


def test_bytes_come_back(server: Server, someone: str) -> None:
    """After the time that the answer tells."""
    with server.dav(someone) as dav:
        assert dav("PUT", "/dav/film", bytes(BYTES + MB)).status == 201
        refused = dav("OPTIONS", "/dav/")
        assert refused.status == 429
        wait_s = int(refused.headers["retry-after"])
        assert 1 <= wait_s <= 4
        time.sleep(wait_s)
        assert dav("OPTIONS", "/dav/").status == 200


def test_browser_counts_for_its_user(server: Server, someone: str) -> None:
    """A page says it to people."""
    with Browser(server) as browser:
        browser.sign_in(someone, PASSWORD)
        for _ in range(2 * USER):
            page = browser.get("/account/")
            if page.status == 429:
                break
        assert page.status == 429
        assert "Too many user requests; try again in" in page.text
        assert page.header("retry-after") in ("1", "2")


def test_limits_are_set_and_kept_by_a_restart(start: Start) -> None:
    """Without any nothing is told. What was drawn is in the database: a block of each worker is all that is given."""
    server = start(workers=WORKERS)
    with server.dav() as dav:
        for path in ("/", "/dav/", "/api/v1/uploads/none", "/account/sign-in"):
            answer = dav("GET", path)
            assert not [name for name in answer.headers if name.startswith("ratelimit")], path
    server.configure(user_requests_per_minute=USER)
    server.restart()
    began = time.monotonic()
    counts = []
    for _ in range(2):
        with server.dav() as dav:
            counts.append(until_refused(lambda dav=dav: dav("OPTIONS", "/dav/"), 2 * USER)[0])
        server.restart()
    assert sum(counts) <= USER + 2 * slack(USER, began)
    assert counts[1] < USER / 2

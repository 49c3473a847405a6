"""Any moment of the past as a folder of the server: exact, whole, and not to be changed."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import quote

import pytest

from appliance import clock, moments
from tests.server.behind import change, rows
from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.listing import names, parse, properties, propfind, propfind_body, tree
from tests.server.recorded import Recorded, seq_of
from tests.server.running import Server


@pytest.fixture
def alice(server: Server) -> Iterator[Dav]:
    """Somebody with a tree of her own, which nobody else changes."""
    with server.add_user(f"alice-{time.time_ns():x}") as connection:
        yield connection


@pytest.fixture(scope="module")
def reader(server: Server) -> Iterator[Dav]:
    """Somebody whose tree stays: one file, which was another one before."""
    with server.add_user("reader") as connection:
        connection.ok("PUT", "/dav/a", b"one")
        connection.ok("PUT", "/dav/a", b"two")
        yield connection


def test_moments_of_a_changing_tree_read_exactly(alice: Dav) -> None:
    """By time and by number: every name, every byte, nothing else; and again after more changes."""
    recorded = Recorded(alice, 60)
    for moment in range(4):
        recorded.disturb(moment)
        recorded.remember()
    for name, state in recorded.then.items():
        assert tree(alice, f"/at/{quote(name)}/") == state, name
    assert len({tuple(sorted(state)) for state in recorded.then.values()}) == 5


def test_a_file_of_then_has_its_etag_size_date_and_ranges(alice: Dav) -> None:
    """So that what a client knows of it stays right."""
    first = noise(100_000, 1)
    put = alice.ok("PUT", "/dav/a", first, {"X-OC-Mtime": "1500000000"})
    seq = seq_of(alice)
    alice.ok("PUT", "/dav/a", b"later")
    alice.ok("MOVE", "/dav/a", headers={"Destination": "/dav/b"})
    path = f"/at/seq-{seq}/a"
    got = alice.ok("GET", path)
    assert (got.body, got.etag) == (first, put.etag)
    assert got.headers["last-modified"] == "Fri, 14 Jul 2017 02:40:00 GMT"
    part = alice("GET", path, headers={"Range": "bytes=70000-70009"})
    assert (part.status, part.body) == (206, first[70_000:70_010])
    assert alice("GET", path, headers={"If-None-Match": put.etag}).status == 304
    entry = properties(alice, path, "D:getcontentlength", "D:getetag", "D:getlastmodified")
    assert (entry["D:getcontentlength"], entry["D:getetag"]) == ("100000", put.etag)
    assert alice("HEAD", path).headers["content-length"] == "100000"
    assert alice("GET", f"/at/seq-{seq}/b").status == 404
    assert alice("GET", f"/at/seq-{seq + 2}/a").status == 404


def _make_older(server: Server, dav: Dav, days: int) -> None:
    """As if all that happened in this tree had happened some days ago; the clock cannot be turned here."""
    shift = days * 86_400 * clock.SECOND
    user = _user_of(dav)
    ((tree_id, root_id),) = rows(
        server, 'SELECT t.id, t.root_id FROM tree t JOIN "user" u ON u.id = t.owner_id WHERE u.name = :user', user=user
    )
    change(server, "UPDATE journal SET at = at - :shift WHERE tree_id = :id", shift=shift, id=tree_id)
    change(server, "UPDATE tree SET changed_at = changed_at - :shift WHERE id = :id", shift=shift, id=tree_id)
    change(server, "UPDATE node SET created_at = created_at - :shift WHERE id = :id", shift=shift, id=root_id)


def _user_of(dav: Dav) -> str:
    return base64.b64decode(dav.authorization.split()[1]).decode().partition(":")[0]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", {}),
        ("DELETE", {}),
        ("MKCOL", {}),
        ("PROPPATCH", {}),
        ("LOCK", {}),
        ("UNLOCK", {"Lock-Token": "<urn:x>"}),
        ("MOVE", {"Destination": "/dav/there"}),
        ("COPY", {"Destination": "/dav/there"}),
        ("POST", {}),
        ("PATCH", {}),
    ],
)
def test_the_past_cannot_be_changed(reader: Dav, method: str, headers: dict[str, str]) -> None:
    """Whatever is tried, on what was there and on what was not; the connection goes on."""
    for path in ("/at/seq-1/a", "/at/seq-1/new", "/at/seq-1/", "/at/", "/at/2h-ago/a"):
        body = b"x" * 10 if method in ("PUT", "PROPPATCH", "LOCK", "POST", "PATCH") else None
        answer = reader(method, path, body, headers)
        assert answer.status in (403, 405), f"{method} {path}: {answer.status}"
        assert answer.headers["allow"] == "OPTIONS, GET, HEAD, PROPFIND"
    assert tree(reader, "/dav/") == {"a": b"two"}
    assert tree(reader, "/at/seq-1/") == {"a": b"one"}


def test_nothing_can_be_put_into_the_past_from_the_present(alice: Dav) -> None:
    """By COPY and MOVE."""
    alice.ok("PUT", "/dav/a", b"one")
    for method in ("COPY", "MOVE"):
        target = f"http://127.0.0.1:{alice.port}/at/seq-1/b"
        answer = alice(method, "/dav/a", headers={"Destination": target, "Host": f"127.0.0.1:{alice.port}"})
        # RFC 4918 §9.8.5: another namespace.
        assert answer.status == 502, answer.text
    assert tree(alice, "/dav/") == {"a": b"one"}


def test_clients_see_that_it_is_read_only(alice: Dav) -> None:
    """Without class 2 they mount it so; no locks, no room, nothing to set."""
    alice.ok("PUT", "/dav/a", b"one")
    for path in ("/at/", "/at/seq-1/", "/at/seq-1/a"):
        options = alice("OPTIONS", path)
        assert options.status == 200
        assert options.headers["dav"] == "1, 3"
        assert options.headers["allow"] == "OPTIONS, GET, HEAD, PROPFIND"
    wanted = ("D:supportedlock", "D:lockdiscovery", "D:quota-available-bytes", "oc:size", "D:sync-token")
    entries = propfind(alice, "/at/seq-1/", *wanted, depth="1")
    folder, file = entries["/at/seq-1/"], entries["/at/seq-1/a"]
    assert set(folder.refused.values()) == {404}
    assert not folder.values
    assert (file["oc:size"], len(file.refused)) == ("3", 4)


def test_sign_in_is_needed_and_everybody_sees_their_own(server: Server, alice: Dav, dav: Dav) -> None:
    """The same moment is another tree for another user."""
    alice.ok("PUT", "/dav/alices", b"one")
    time.sleep(0.01)
    moment = quote(moments.show(clock.now(), exact=True))
    assert names(alice, f"/at/{moment}/") == {"alices"}
    assert "alices" not in names(dav, f"/at/{moment}/")
    for path in ("/at/", f"/at/{moment}/", f"/at/{moment}/alices"):
        for method in ("GET", "PROPFIND", "PUT"):
            answer = alice(method, path, signed_in=False)
            assert (answer.status, answer.headers["www-authenticate"][:5]) == (401, "Basic")


def test_moments_are_spelled_as_people_do(alice: Dav) -> None:
    """With and without escapes; URLs in answers have the client's spelling, as some compare them as text."""
    time.sleep(1.1)
    alice.ok("PUT", "/dav/a", b"one")
    now = datetime.now().astimezone()
    spelled = [
        f"{now:%Y-%m-%dT%H:%M:%S.%f}",
        f"{now:%Y-%m-%dT%H:%M:%S.%f}".replace(":", "%3A"),
        now.isoformat().replace("+", "%2B"),
        now.isoformat(),
        "0s-ago",
        f"seq-{seq_of(alice)}",
    ]
    for each in spelled:
        entries = parse(alice("PROPFIND", f"/at/{each}/", headers={"Depth": "1"}))
        assert set(entries) == {f"/at/{each}/", f"/at/{each}/a"}, each
        without_slash = parse(alice("PROPFIND", f"/at/{each}", headers={"Depth": "0"}))
        assert set(without_slash) == {f"/at/{each}/"}
    assert names(alice, "/at/1s-ago/") in (set(), {"a"})


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("desktop.ini", "is no moment"),
        ("2026-13-01", "is no moment"),
        ("%3Cb%3E", "is no moment"),
        ("2026-11-20%3C09:00", "is no moment"),
        ("seq-999999", "change 999999 does not exist"),
        ("2999-01-01", "still to come"),
        ("1999-01-01", "before the first day"),
        ("yesterday", "before the first day"),
    ],
)
def test_what_is_no_moment_of_the_tree_is_not_found(reader: Dav, moment: str, said: str) -> None:
    """Explorer and Finder ask for all kinds of names below any folder."""
    for path in (f"/at/{moment}", f"/at/{moment}/", f"/at/{moment}/a"):
        for method in ("GET", "PROPFIND"):
            answer = reader(method, path, headers={"Depth": "0"})
            assert answer.status == 404, f"{method} {path}: {answer.status}"
            assert said in answer.text


def test_days_with_changes_are_listed(server: Server, alice: Dav) -> None:
    """For people as a page, for clients as folders: that day's beginning, and the next one's."""
    alice.ok("PUT", "/dav/a", b"one")
    _make_older(server, alice, days=3)
    alice.ok("PUT", "/dav/b", b"two")
    today = moments.day_of(clock.now())
    old = today - timedelta(days=3)
    assert names(alice, "/at/") == {f"{old + timedelta(days=1)}/", f"{today}/"} | (
        {f"{old}/"} if (alice("PROPFIND", f"/at/{old}/", headers={"Depth": "0"}).status == 207) else set()
    )
    for day in (old + timedelta(days=1), today):
        assert names(alice, f"/at/{day}/") == {"a"}
    page = alice.ok("GET", "/at/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert f'<td>{old}</td><td>1</td><td><a href="/at/{old}/">before</a>' in page.text
    assert f'<a href="/at/{old + timedelta(days=1)}/">after</a>' in page.text
    assert f"<td>{today}</td><td>1</td>" in page.text
    head = alice("HEAD", "/at/")
    assert (head.status, head.headers["content-length"]) == (200, str(len(page.body)))


def test_a_folder_of_then_is_a_page_for_people(alice: Dav) -> None:
    """Which says what it is, and leads on within the past."""
    alice.ok("MKCOL", "/dav/d/")
    alice.ok("PUT", "/dav/d/a", b"one")
    seq = seq_of(alice)
    alice.ok("DELETE", "/dav/d/")
    page = alice.ok("GET", f"/at/seq-{seq}/d/").text
    assert f'href="/at/seq-{seq}/d/a"' in page
    assert f"As it was after change {seq}" in page


def test_listing_the_past_is_told_again_from_memory_and_never_mixed_up(alice: Dav) -> None:
    """The same URL for another state, another URL for the same state, the past beside the present."""
    alice.ok("MKCOL", "/dav/d/")
    for number in range(80):
        alice.ok("PUT", f"/dav/d/{number}", b"x")
    first = seq_of(alice)
    alice.ok("PUT", "/dav/d/0", b"longer")
    alice.ok("DELETE", "/dav/d/1")
    for _ in range(3):
        then = parse(alice("PROPFIND", f"/at/seq-{first}/d/", propfind_body("D:getcontentlength"), {"Depth": "1"}))
        now = parse(alice("PROPFIND", "/dav/d/", propfind_body("D:getcontentlength"), {"Depth": "1"}))
        assert (len(then), len(now)) == (81, 80)
        assert then[f"/at/seq-{first}/d/0"]["D:getcontentlength"] == "1"
        assert now["/dav/d/0"]["D:getcontentlength"] == "6"
        assert f"/at/seq-{first}/d/1" in then


def test_moment_that_is_kept_no_more_is_410_and_names_the_nearest(server: Server, alice: Dav) -> None:
    """For people and clients alike; the plan says beforehand what goes."""
    user = _user_of(alice)
    alice.ok("PUT", "/dav/a", b"first")
    _make_older(server, alice, days=40)
    for text in (b"second", b"third", b"fourth"):
        alice.ok("PUT", "/dav/a", text)
    server.holdfast("keep", "/a", "--user", user, "--version", "3", "--name", "as sent")
    _make_older(server, alice, days=40)
    plan = server.holdfast("expire", "--dry-run").stdout
    (planned,) = [line.split() for line in plan.splitlines() if line.startswith(f"{user} ")]
    assert planned[-4:] == ["1", "6", "0", "/"]
    assert alice("GET", "/at/seq-2/a").body == b"second"
    assert server.holdfast("expire").stdout.startswith("1 versions (6 B) and 0 things from the trash have gone")
    for method, path in (("GET", "/at/seq-2/a"), ("PROPFIND", "/at/seq-3/"), ("GET", "/at/seq-3/")):
        gone = alice(method, path, headers={"Depth": "1"})
        assert gone.status == 410
        nearest = gone.text.split("the nearest that is: ")[1].strip()
        assert alice("GET", f"/at/{quote(nearest)}/a").body in (b"first", b"fourth")
    assert alice("GET", "/at/seq-1/a").body == b"first"
    assert alice("GET", "/at/seq-4/a").body == b"fourth"
    listed = server.holdfast("versions", "/a", "--user", user).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["VERSION", "4", "3", "1"]
    assert listed[2].endswith("as sent")
    refused = server.holdfast("restore", "/a", "--user", user, "--at", "seq-2", succeeds=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("holdfast: this moment is not kept any more; the nearest that is: ")


def test_user_with_a_retention_of_their_own(server: Server, alice: Dav) -> None:
    """Nonsense is refused with an example, and changes nothing."""
    user = _user_of(alice)
    said = server.holdfast("user", "retention", user, "all 48h, daily").stdout
    assert said == f"{user} keeps all 48h, daily\n"
    wrong = server.holdfast("user", "retention", user, "sometimes", succeeds=False)
    assert wrong.returncode == 2
    assert "'sometimes' is no step of retention; write for instance" in wrong.stderr
    assert "all 48h, daily" in server.holdfast("expire", "--dry-run").stdout
    said = server.holdfast("user", "retention", user, "default").stdout
    assert said.endswith("all 24h, hourly 7d, daily 30d, weekly 26w, monthly (the setting)\n")


def test_folder_with_a_retention_of_its_own(server: Server, alice: Dav) -> None:
    """Is listed in the past, and says there that it is not kept; diff and restore say so as well."""
    user = _user_of(alice)
    alice.ok("MKCOL", "/dav/scratch")
    alice.ok("PUT", "/dav/scratch/t", b"first")
    alice.ok("PUT", "/dav/a", b"first")
    alice.ok("PUT", "/dav/scratch/t", b"second")
    alice.ok("PUT", "/dav/a", b"second")
    said = server.holdfast("user", "retention", user, "--folder", "/scratch", "none").stdout
    assert said == f"/scratch of {user} keeps all 0h\n"
    listed = server.holdfast("user", "rules", user).stdout.splitlines()
    assert [line.split("  ")[-1].strip() for line in listed] == ["FOLDER", "/", "/scratch"]
    plan = server.holdfast("expire", "--dry-run").stdout
    assert [line.split()[-1] for line in plan.splitlines() if line.startswith(f"{user} ")] == ["/", "/scratch"]
    assert server.holdfast("expire").stdout.startswith("1 versions (5 B)")
    assert alice("GET", "/at/seq-3/a").body == b"first"
    listing = alice("PROPFIND", "/at/seq-3/", headers={"Depth": "1"})
    assert listing.status == 207
    assert "/at/seq-3/scratch/" in listing.text
    for method, path in (("PROPFIND", "/at/seq-3/scratch/"), ("GET", "/at/seq-3/scratch/t"), ("GET", "/at/seq-2/x")):
        found = alice(method, path, headers={"Depth": "1"})
        assert found.status == (404 if path.endswith("x") else 410)
        if found.status == 410:
            assert "not kept any more for /scratch; the nearest that is: " in found.text
    differences = server.holdfast("diff", "/", "--user", user, "--from", "seq-3").stdout.splitlines()
    assert [line.split() for line in differences[1:]] == [
        ["changed", "5", "6", "/a"],
        ["not", "kept", "folder", "folder", "/scratch/"],
    ]
    restored = server.holdfast("restore", "/", "--user", user, "--at", "seq-3")
    assert restored.stderr == "left as it is now: /scratch/, for which this moment is not kept any more\n"
    assert alice("GET", "/dav/a").body == b"first"
    assert alice("GET", "/dav/scratch/t").body == b"second"
    refused = server.holdfast("restore", "/scratch", "--user", user, "--at", "seq-3", succeeds=False)
    assert refused.stderr.startswith("holdfast: this moment is not kept any more for /scratch; the nearest")
    said = server.holdfast("user", "retention", user, "--folder", "/scratch", "default").stdout
    assert said == f"/scratch of {user} keeps what the folder above keeps\n"


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_five_moments_of_2000_files_read_exactly(start: Start) -> None:
    """With moves and deletes in between."""
    server = start(durability="fast")
    with server.dav() as dav:
        recorded = Recorded(dav, 2_000)
        for moment in range(4):
            recorded.disturb(moment)
            recorded.remember()
        for name, state in recorded.then.items():
            assert tree(dav, f"/at/{quote(name)}/") == state, name

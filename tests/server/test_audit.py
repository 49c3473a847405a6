"""The audit trail of a running server: what requests leave in it, the commands, the API, and kills."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from typing import Any

from tests.server.browsing import signed_in
from tests.server.content import noise
from tests.server.running import ADMIN, Server, until
from tests.server.test_api_uploads import ask, path_of, told

Start = Callable[..., Server]
FILM = noise(3_000_000, seed=4)


def listed(server: Server, *options: str) -> list[dict[str, Any]]:
    """By the command, the newest first."""
    return [json.loads(line) for line in server.holdfast("audit", "list", "--json", *options).stdout.splitlines()]


def downloads(server: Server, name: str) -> list[dict[str, Any]]:
    """Of a user, once they are written."""
    return listed(server, "--user", name, "--action", "download")


def test_requests_leave_rows_with_who_what_when_from_where_bytes_and_face(server: Server) -> None:
    """Ranges of a player are one download; HEAD, PROPFIND and what is not modified are none."""
    with server.add_user("viewer") as dav:
        secret = server.holdfast("app-password", "add", "player", "--user", "viewer").stdout.strip()
        assert dav("MKCOL", "/dav/films").status == 201
        made = dav("PUT", "/dav/films/film.mp4", FILM)
        assert made.status == 201
        with server.dav("viewer", secret) as player:
            for start in range(0, len(FILM), 1_000_000):
                sent = player("GET", "/dav/films/film.mp4", headers={"Range": f"bytes={start}-{start + 999_999}"})
                assert sent.body == FILM[start : start + 1_000_000]
        assert dav("GET", "/dav/films/film.mp4", headers={"If-None-Match": made.headers["etag"]}).status == 304
        assert dav("HEAD", "/dav/films/film.mp4").status == 200
        assert dav("PROPFIND", "/dav/films/", headers={"Depth": "1"}).status == 207
        (film,) = [each for each in listed(server, "--user", "viewer") if each["action"] == "create"]
        status, document = ask(dav, "GET", f"/api/v1/files/{film['node_id']}")
        assert status == 200
        with server.dav("nobody", "at all") as anybody:
            assert anybody("GET", path_of(document["downloadUrl"])).body == FILM
        assert dav("DELETE", "/dav/films/film.mp4").status == 204
        until(lambda: len(downloads(server, "viewer")) == 2, seconds=60)
    # Each worker writes its own, so either may come first.
    played, signed = sorted(downloads(server, "viewer"), key=lambda each: str(each["face"]))
    assert (played["who"], played["device"], played["face"], played["address"]) == (
        "viewer", "player", "dav", "127.0.0.1",
    )  # fmt: skip
    assert (played["bytes"], played["requests"], played["name"]) == (len(FILM), 3, "film.mp4")
    assert (signed["who"], signed["face"], signed["bytes"], signed["requests"]) == ("viewer", "signed", len(FILM), 1)
    found = [(each["action"], each["path"], each["bytes"]) for each in listed(server, "--user", "viewer")]
    assert ("remove", "/films/film.mp4", len(FILM)) in found
    assert ("create", "/films/film.mp4", len(FILM)) in found
    assert ("device-added", "player", None) in found
    assert listed(server, "--user", "viewer", "--face", "signed") == [signed]
    assert listed(server, "--file", str(film["node_id"]), "--limit", "1") == [found_first(server, film["node_id"])]
    assert server.holdfast("audit", "list", "--user", "viewer", "--limit", "3").stdout.count("\n") == 4


def found_first(server: Server, node_id: int) -> dict[str, Any]:
    """The newest of a file."""
    return next(each for each in listed(server) if each["node_id"] == node_id)


def test_action_that_there_is_not_is_refused(server: Server) -> None:
    """Nobody shall take it for something that never happened."""
    refused = server.holdfast("audit", "list", "--action", "delete", succeeds=False)
    assert refused.returncode == 2
    assert "remove" in refused.stderr
    assert server.holdfast("audit", "list", "--action", "remove").returncode == 0


def test_activity_is_told_to_its_owner_and_to_administrators(server: Server) -> None:
    """A page at a time; nobody else sees it."""
    with server.add_user("worker") as dav, server.add_user("curious") as other, server.dav() as admin:
        for number in range(5):
            assert dav("PUT", f"/dav/file{number}", b"x" * number).status == 201
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            status, document = ask(dav, "GET", f"/api/v1/activity?limit=2&cursor={cursor}")
            assert status == 200
            found += document["activities"]
            cursor = document["cursor"]
        assert [(each["action"], each["path"]) for each in found] == [
            *(("create", f"/file{number}") for number in (4, 3, 2, 1, 0)),
            ("user-added", "worker (member)"),
        ]
        assert found[0]["bytes"] == 4
        assert (found[0]["by"], found[0]["face"], found[0]["address"]) == ("worker", "dav", "127.0.0.1")
        status, document = ask(dav, "GET", f"/api/v1/activity?fileId={found[0]['fileId']}")
        assert [each["fileId"] for each in document["activities"]] == [found[0]["fileId"]]
        second = found[3]["timestamp"]
        for query, expected in (
            ("action=create", found[:-1]),
            ("face=dav", found[:-1]),
            (f"since={second}", [each for each in found if each["timestamp"] >= second]),
            (f"until={second}", [each for each in found if each["timestamp"] <= second]),
            ("since=2100-01-01T00:00:00Z", []),
            ("until=2000-01-01T00:00:00Z", []),
            ("action=remove", []),
        ):
            assert ask(dav, "GET", f"/api/v1/activity?{query}")[1]["activities"] == expected, query
        assert ask(other, "GET", "/api/v1/activity?user=worker")[0] == 403
        assert ask(other, "GET", "/api/v1/activity?user=")[0] == 403
        assert ask(admin, "GET", "/api/v1/activity?user=worker&limit=1000")[1]["activities"] == found
        everybodys = ask(admin, "GET", "/api/v1/activity?user=&limit=1000")[1]["activities"]
        assert {each["user"] for each in everybodys} >= {"worker", "curious", ADMIN}
        assert ask(admin, "GET", "/api/v1/activity?user=nobody")[0] == 404
        for query in (
            "limit=0",
            "limit=x",
            "limit=1001",
            "cursor=x",
            "what=1",
            "limit=1&limit=2",
            "action=delete",
            "since=yesterday",
        ):
            assert ask(dav, "GET", f"/api/v1/activity?{query}")[0] == 400, query
        answer = dav("GET", "/api/v1/activity")
        assert told(answer)["activities"] == found
        assert answer.headers["cache-control"] == "private, no-cache"


def test_panel_shows_it(server: Server) -> None:
    """One's own, and for administrators everybody's; names are text, whatever is in them."""
    with server.add_user("visitor") as dav:
        for number in range(101):
            assert dav("MKCOL", f"/dav/{number}").status == 201
        assert dav("PUT", "/dav/%3Cb%3E%7B%7B%207*7%20%7D%7D", b"content").status == 201
        with signed_in(server, "visitor") as browser:
            page = browser.get("/account/activity")
            assert "<b>{{ 7*7 }}" in page.text
            assert "user-added" not in page.text
            (older,) = page.tree.xpath("//a[text()='Older']/@href")
            assert "user-added" in browser.get(f"/account/activity{older}").text
            assert browser.get("/admin/activity").status == 403
            assert browser.get("/account/activity?cursor=x").status == 400
    with signed_in(server) as browser:
        assert "visitor" in browser.get("/admin/activity").text
        page = browser.get("/admin/activity?user=visitor")
        assert "Activity of visitor" in page.text
        assert page.tree.xpath("//a[text()='Older']/@href")[0].startswith("?user=visitor&cursor=")
        assert browser.get("/admin/activity?user=nobody").status == 404


def test_trail_is_sealed_verified_exported_and_survives_a_kill(start: Start) -> None:
    """The job seals once a minute, or when it is asked; what was tampered with is told, with exit code 1."""
    server = start(workers=2)
    with server.dav() as dav:
        for number in range(20):
            assert dav("PUT", f"/dav/file{number}", b"x").status == 201
    server.holdfast("jobs", "run", "audit")
    head = server.scratch / "head"
    head.write_text(server.holdfast("audit", "export-head").stdout)
    with server.dav() as dav:
        for number in range(20):
            assert dav("PUT", f"/dav/more{number}", b"x").status == 201
        assert dav("GET", "/dav/file1").body == b"x"
    server.kill_all()
    server.start()
    server.holdfast("jobs", "run", "audit")
    assert "nothing was altered, and all up to batch " in server.holdfast("audit", "verify", "--head", str(head)).stdout
    assert stat.S_IMODE((server.data / "audit.key").stat().st_mode) == 0o600
    assert server.stop() == 0
    for statement, undo in (
        ("UPDATE journal SET user_id = 9 WHERE seq = 3", "UPDATE journal SET user_id = 1 WHERE seq = 3"),
        ("UPDATE audit_batch SET sealed_at = sealed_at + 1", "UPDATE audit_batch SET sealed_at = sealed_at - 1"),
    ):
        spoil(server, statement)
        assert "the trail is not what was sealed" in verified(server, 1)
        spoil(server, undo)
    assert verified(server, 0)
    os.rename(server.data / "audit.key", server.data / "aside")
    assert "which is not given" in verified(server, 1)
    os.rename(server.data / "aside", server.data / "audit.key")
    head.write_text("{}")
    assert server.holdfast("audit", "verify", "--head", str(head), succeeds=False).returncode == 2
    head.unlink()
    assert server.holdfast("audit", "verify", "--head", str(head), succeeds=False).returncode == 1
    server.start()


def test_what_a_lost_key_has_sealed_is_forgotten_by_command(start: Start) -> None:
    """With an event; of the checkpoint's own batch a head can still be told, of those before it not."""
    server = start()
    with server.dav() as dav:
        heads = []
        for number in range(2):
            assert dav("PUT", f"/dav/file{number}", b"x").status == 201
            server.holdfast("jobs", "run", "audit")
            heads.append(server.holdfast("audit", "export-head").stdout)
    assert server.stop() == 0
    lost = json.loads(heads[0])["key_id"]
    assert "is given" in server.holdfast("audit", "forget", lost, succeeds=False).stderr
    (server.data / "audit.key").unlink()
    server.start()
    assert "rows went unverified" in server.holdfast("audit", "forget", lost).stdout
    assert server.holdfast("audit", "forget", lost, succeeds=False).returncode == 2
    assert lost in server.holdfast("audit", "list", "--action", "trail-forgotten").stdout
    for number, expected in enumerate(("cannot be told any more", "and was that one")):
        head = server.scratch / f"head{number}"
        head.write_text(heads[number])
        assert expected in verified(server, 0, "--head", str(head))


def verified(server: Server, code: int, *options: str) -> str:
    """What the command says; it has to end with this code."""
    done = server.holdfast("audit", "verify", *options, succeeds=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def spoil(server: Server, statement: str) -> None:
    """Behind the back of a server that has stopped."""
    with closing(sqlite3.connect(server.data / "holdfast.db")) as connection, connection:
        assert connection.execute(statement).rowcount

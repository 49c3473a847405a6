"""The feed of changes, and waiting for the next one: a thousand who wait hold nobody up."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.api_client import ask
from tests.server.dav_client import Dav
from tests.server.nodes import Nodes
from tests.server.running import Server, children, until

API = "/api/v1"
MANY = 1000
Start = Callable[..., Server]


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> Iterator[None]:
    """Enough for a thousand connections of our own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def now(dav: Dav) -> str:
    """Where the feed is."""
    status, told = ask(dav, "GET", f"{API}/changes")
    assert (status, told["changes"], told["hasMore"]) == (200, [], False)
    return str(told["cursor"])


def since(dav: Dav, cursor: str, **parameters: object) -> dict[str, Any]:
    """One answer."""
    query = "".join(f"&{name}={value}" for name, value in parameters.items())
    status, told = ask(dav, "GET", f"{API}/changes?cursor={cursor}{query}")
    assert status == 200, told
    found: dict[str, Any] = told
    return found


def ports_of(pid: int) -> int:
    """How many sockets a process has open."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(descriptor))
    return sum(link.startswith("socket:") for link in links)


def sockets(server: Server) -> int:
    """Of all children."""
    assert server.process is not None
    return sum(map(ports_of, children(server.process.pid)))


class Crowd:
    """Clients that each wait for the next change."""

    def __init__(self, dav: Dav, cursor: str, count: int, *, wait: int = 120) -> None:
        self._head = dav.head("GET", f"{API}/changes?cursor={cursor}&wait={wait}")
        self._port = dav.port
        self.socks: list[socket.socket] = []
        for _ in range(count):
            self.socks.append(socket.create_connection(("127.0.0.1", self._port), 30))
            self.socks[-1].sendall(self._head)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self.socks:
            sock.close()

    def answered(self, seconds: float) -> list[bytes]:
        """What comes within the time; ends when all have something."""
        found: dict[socket.socket, bytes] = {}
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for sock in self.socks:
                selector.register(sock, selectors.EVENT_READ)
            while len(found) < len(self.socks) and time.monotonic() < deadline:
                for key, _ in selector.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    found[key.fileobj] = key.fileobj.recv(65_536)
                    selector.unregister(key.fileobj)
        return list(found.values())


def settled(server: Server, dav: Dav, count: int) -> None:
    """Until the server has so many connections, and nothing to do."""
    until(lambda: sockets(server) >= count, 30, "taking all connections")
    time.sleep(0.5)
    assert dav("GET", "/readyz").status == 200


def test_feed_tells_what_was_done(dav: Dav, area: str) -> None:
    """With cursors that go on, in pages; of one file too."""
    cursor = now(dav)
    dav.ok("PUT", f"{area}a", b"1")
    dav.ok("PUT", f"{area}a", b"22")
    dav.ok("MOVE", f"{area}a", None, {"Destination": f"http://127.0.0.1:{dav.port}{area}b"})
    dav.ok("DELETE", f"{area}b")
    told = since(dav, cursor)
    assert [(each["type"], each["fileName"]) for each in told["changes"]] == [
        ("created", "a"), ("modified", "a"), ("modified", "b"), ("deleted", "b"),
    ]  # fmt: skip
    assert set(told["changes"][0]) == {
        "fileId", "type", "timestamp", "version", "deviceId", "fileName", "parentId", "isFolder", "path",
    }  # fmt: skip
    assert told["changes"][2]["previousName"] == "a"
    assert [each["version"] is None for each in told["changes"]] == [False, False, True, True]
    assert since(dav, told["cursor"]) == {"changes": [], "cursor": told["cursor"], "hasMore": False}
    paged, at = [], cursor
    while True:
        page = since(dav, at, limit=1)
        paged += page["changes"]
        at = page["cursor"]
        if not page["hasMore"]:
            break
    assert paged == told["changes"]
    file_id = paged[0]["fileId"]
    status, own = ask(dav, "GET", f"{API}/files/{file_id}/changes")
    assert (status, own["changes"], own["cursor"]) == (200, paged, told["cursor"])
    status, own = ask(dav, "GET", f"{API}/files/{file_id}/changes?since={cursor}&limit=3")
    assert (own["changes"], own["hasMore"]) == (paged[:3], True)
    assert since(dav, "0", limit=1)["changes"][0]["type"] == "created"


@pytest.mark.parametrize(
    ("cursor", "status"),
    [("x", 400), ("-1", 400), ("0badf00d-1-1", 410), ("{}-1-ffffff", 410), ("{}-fff-1", 410)],
)
def test_cursor_that_leads_nowhere(dav: Dav, cursor: str, status: int) -> None:
    """One of another store, or of what has not happened, means to list everything anew."""
    incarnation = now(dav).partition("-")[0]
    for path in (f"changes?cursor={cursor.format(incarnation)}&wait=5",):
        code, problem = ask(dav, "GET", f"{API}/{path}")
        assert code == status
        assert status == 400 or problem["type"] == "urn:holdfast:problem:cursor-refused"
    assert ask(dav, "GET", f"{API}/changes?cursor=0&wait=301")[0] == 400


def test_waiting_ends_with_the_time(dav: Dav) -> None:
    """With nothing to tell, and a cursor to go on from; what has happened already is told at once; HEAD never waits."""
    cursor = now(dav)
    started = time.monotonic()
    assert since(dav, cursor, wait=1) == {"changes": [], "cursor": cursor, "hasMore": False}
    assert 1 <= time.monotonic() - started < 4
    dav.ok("PUT", "/dav/waiting-ends", b"1")
    started = time.monotonic()
    assert len(since(dav, cursor, wait=30)["changes"]) == 1
    assert dav("HEAD", f"{API}/changes?cursor={now(dav)}&wait=30").status == 200
    assert time.monotonic() - started < 5


def test_put_wakes_who_waits_whichever_worker_answers(server: Server, dav: Dav) -> None:
    """Soon, in every worker; another user's does not."""
    with server.add_user("other") as other:
        mine = list(server.connections_to_all().values())
        cursor = now(dav)
        heads = dav.head("GET", f"{API}/changes?cursor={cursor}&wait=60")
        for each in mine:
            each.socket.sendall(heads)
        time.sleep(0.3)
        other.ok("PUT", "/dav/not-yours", b"1")
        time.sleep(1)
        dav.ok("PUT", "/dav/wakes", b"1")
        stored = time.monotonic()
        for each in mine:
            data = each.socket.recv(65_536)
            assert data.startswith(b"HTTP/1.1 200 ")
            assert json.loads(data.partition(b"\r\n\r\n")[2])["changes"][0]["fileName"] == "wakes"
            each.close()
        assert time.monotonic() - stored < 5


def test_a_thousand_wait_and_others_are_answered(server: Server, dav: Dav) -> None:
    """From one address, with two workers: requests of all kinds pass, and a PUT wakes all."""
    if isinstance(server, Nodes):
        pytest.skip("about the threads of one server")
    dav.ok("PUT", "/dav/small", b"1")
    before = sockets(server)
    with Crowd(dav, now(dav), MANY) as crowd:
        settled(server, dav, before + MANY)
        waits = []
        for number in range(20):
            with server.dav() as fresh:
                for connection in (fresh, dav):
                    started = time.monotonic()
                    assert connection.ok("GET", "/dav/small").body == b"1"
                    assert connection("PROPFIND", "/dav/", headers={"Depth": "0"}).status == 207
                    waits.append(time.monotonic() - started)
            if number == 10:
                time.sleep(1.2)  # a kept connection stays although its address has a thousand
        assert max(waits) < 2
        assert sorted(waits)[len(waits) // 2] < 0.2
        assert crowd.answered(0.5) == []
        asking = threading.Thread(target=dav.ok, args=("PUT", "/dav/small", b"2"))
        started = time.monotonic()
        asking.start()
        answers = crowd.answered(20)
        took = time.monotonic() - started
        asking.join()
        assert len(answers) == MANY
        assert all(answer.startswith(b"HTTP/1.1 200 ") and b'"small"' in answer for answer in answers)
        assert took < 10
    until(lambda: sockets(server) <= before + 8, 20, "closing")


def test_clients_that_go_free_everything(server: Server, dav: Dav) -> None:
    """Without having been answered."""
    before = sockets(server)
    with Crowd(dav, now(dav), 200):
        settled(server, dav, before + 200)
    until(lambda: sockets(server) <= before + 8, 10, "closing")
    assert dav("GET", "/readyz").status == 200


def test_stop_answers_those_who_wait(start: Start) -> None:
    """With what they know, and the end of the connection."""
    server = start()
    with server.dav() as dav:
        cursor = now(dav)
        with Crowd(dav, cursor, 60) as crowd:
            settled(server, dav, 60)
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 15
            answers = crowd.answered(5)
            assert len(answers) == 60
            for answer in answers:
                head, _, body = answer.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert b"Connection: close" in head
                assert json.loads(body) == {"changes": [], "cursor": cursor, "hasMore": False}


def test_user_who_is_disabled_while_waiting_hears_nothing(server: Server) -> None:
    """Who asks is looked at again when there is an answer."""
    with server.add_user("leaving") as leaving:
        cursor = now(leaving)
        with Crowd(leaving, cursor, 1, wait=9) as crowd:
            time.sleep(0.5)
            server.holdfast("user", "disable", "leaving")
            (answer,) = crowd.answered(20)
        assert answer.startswith(b"HTTP/1.1 401 ")

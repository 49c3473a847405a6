"""Whole requests that no client would send, at a server that holds real files: it answers, loses nothing, goes on."""

from __future__ import annotations

import base64
import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stage import Known, Stage
from tests.faults.state import examine
from tests.fuzz.changes import changed
from tests.fuzz.targets import TARGETS
from tests.server.running import ADMIN, PASSWORD

# A server that is stopped within this process may drop connections that the end of its process would close.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# A coding or a version that is unknown, and a Destination on another server (RFC 4918 §9.8.5).
_OF_THE_CLIENT = (501, 502, 505)
_METHODS = (
    *("OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),
    *("POST", "PATCH", "REPORT", "SEARCH", "TRACE", "get", "X"),
)
_PATHS = (
    *("/dav/", "/dav/a", "/dav/a/", "/dav/f", "/dav/f/", "/dav/f/g", "/dav/f/g/h", "/dav", "/", "/healthz", "/readyz"),
    *("/dav/%C3%A4%20b", "/dav/a;b", "/dav/%2e%2e/x", "/dav/%00", "/dav/%ff", "//dav//a", "/dav/" + "n/" * 300, "*"),
    *("/dav/" + "x" * 300, "/dav/a?x=%", "/dav/a#b", "/nothing", "http://h/dav/a"),
)
_FIELDS: dict[str, tuple[bytes, ...]] = {
    "Depth": (b"0", b"1", b"infinity"),
    "Destination": (b"/dav/b", b"http://h/dav/f/c", b"/dav/f/", *TARGETS["destination"].seeds),
    "Overwrite": (b"T", b"F"),
    "If": TARGETS["if"].seeds,
    "If-Match": TARGETS["etags"].seeds,
    "If-None-Match": TARGETS["etags"].seeds,
    "If-Modified-Since": TARGETS["dates"].seeds[:3],
    "If-Unmodified-Since": TARGETS["dates"].seeds[:3],
    "If-Range": (*TARGETS["dates"].seeds[:3], b'"x"'),
    "Range": TARGETS["range"].seeds,
    "Lock-Token": (b"<urn:uuid:1>",),
    "Timeout": (b"Second-100", b"Infinite"),
    "Content-Type": (b"application/xml; charset=utf-8", b"text/plain"),
    "OC-Checksum": (b"SHA1:da39a3ee5e6b4b0d3255bfef95601890afd80709",),
    "X-OC-Mtime": (b"1764230400",),
    "Expect": (b"100-continue",),
    "Content-Range": (b"bytes 0-9/10",),
    "Content-Encoding": (b"gzip",),
    "Origin": (b"http://evil.example",),
    "Translate": (b"f",),
    "Connection": (b"close", b"keep-alive, Upgrade"),
    "Authorization": (b"Basic YTpi", b"Bearer x", b"Basic"),
}
_BODIES = (
    *(b"", b"x" * 10, b"y" * 6000, bytes(range(256)) * 40),
    *TARGETS["propfind"].seeds,
    *TARGETS["proppatch"].seeds,
    *TARGETS["lockinfo"].seeds,
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """With some files in it."""
    made = Stage(tmp_path / "stage", Known(secret=PASSWORD))
    made.root.mkdir()
    made.open()
    fill(made)
    yield made
    if made.opened is not None:
        made.close()


def fill(stage: Stage) -> None:
    """What random requests may find; they remove it now and then."""
    for method, path, body in (("MKCOL", "/dav/f/", None), ("PUT", "/dav/f/g", b"g" * 9000), ("PUT", "/dav/a", b"a")):
        stage.dav(method, path, body)


def request(chance: random.Random) -> bytes:
    """One request; a third of them is changed somewhere."""
    token = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode())
    lines = [f"{chance.choice(_METHODS)} {chance.choice(_PATHS)} HTTP/1.1".encode(), b"Host: h"]
    if chance.random() < 0.95:
        lines.append(b"Authorization: Basic " + token)
    for name in chance.sample(sorted(_FIELDS), chance.choice((0, 0, 1, 1, 2, 4))):
        value = chance.choice(_FIELDS[name])
        lines.append(name.encode() + b": " + (changed(value, chance) if chance.random() < 0.2 else value))
    body = chance.choice(_BODIES) if chance.random() < 0.6 else b""
    if chance.random() < 0.2:
        body = changed(body, chance)
    if body and chance.random() < 0.3:
        lines.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    elif body or chance.random() < 0.3:
        lines.append(b"Content-Length: %d" % (len(body) + chance.choice((0, 0, 0, 0, 1, -1))))
    whole = b"\r\n".join(lines) + b"\r\n\r\n" + body
    return changed(whole, chance) if chance.random() < 0.1 else whole


def ask(port: int, data: bytes) -> list[int]:
    """The statuses of all answers on one connection whose client sends this and no more."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before its end
        came = b""
        try:
            while piece := sock.recv(65_536):
                came += piece
        except ConnectionResetError:
            pass
    return [int(line.split(b" ", 2)[1]) for line in came.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def run(stage: Stage, seed: int, count: int) -> Counter[int]:
    """So many requests; none may make the server fail."""
    assert stage.opened is not None
    chance = random.Random(seed)
    port = stage.opened.port
    statuses: Counter[int] = Counter()
    for number in range(count):
        data = request(chance)
        found = ask(port, data)
        assert all(status < 500 or status in _OF_THE_CLIENT for status in found), (seed, number, found, data)
        assert stage.opened.errors == [], (seed, number, data)
        statuses.update(found)
        if number % 50 == 0:
            fill(stage)
    return statuses


def test_random_requests_are_answered_and_break_nothing(stage: Stage) -> None:
    """No 5xx, nothing in the server's own log, a clean check, and most kinds of answers were seen."""
    statuses = run(stage, 1, 5000)
    assert {200, 201, 204, 207, 400, 401, 403, 404, 405, 409, 412, 415} <= set(statuses), statuses
    require_whole(stage)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 14))
def test_many_random_requests_are_answered_and_break_nothing(stage: Stage, seed: int) -> None:
    """The same for some minutes."""
    statuses = run(stage, seed, 25_000)
    print(sorted(statuses.items()))
    require_whole(stage)


def require_whole(stage: Stage) -> None:
    """The server still answers, and its store is clean after an orderly stop."""
    fill(stage)
    assert stage.dav.ok("GET", "/dav/f/g").body == b"g" * 9000
    stage.close()
    _, wrong = examine(stage, with_incarnation=True)
    assert wrong == []

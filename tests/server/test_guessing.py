"""Guessing passwords over HTTP: who guesses waits, in every worker and after a restart; nobody else does."""

from __future__ import annotations

import base64
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.server.behind import rows
from tests.server.conftest import Start
from tests.server.dav_client import Answer
from tests.server.running import PASSWORD, Server, until
from tests.support.faults import in_threads

WORKERS = 3
ELSEWHERE = "127.0.0.2"


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """Several workers, among which connections are spread."""
    return {"workers": WORKERS, "settings": {"sweep_minutes": 1}}


def ask(server: Server, user: str, password: str, source: str | None = None) -> Answer:
    """The answer to a request over a connection of its own."""
    with server.dav(user, password, source=source) as dav:
        return dav("PROPFIND", "/dav/", headers={"Depth": "0"})


def guess(server: Server, user: str, count: int, source: str | None = None, prefix: str = "guess") -> list[int]:
    """The statuses of so many wrong passwords."""
    return [ask(server, user, f"{prefix} {number}", source).status for number in range(count)]


def blocked(server: Server) -> list[list[str]]:
    """The rows that the command shows."""
    return [line.split() for line in server.holdfast("login", "blocked").stdout.splitlines()[1:]]


def count(server: Server, table: str) -> int:
    """Rows of a table."""
    return int(rows(server, f"SELECT COUNT(*) FROM {table}")[0][0])


@pytest.fixture
def flooded(server: Server) -> Iterator[str]:
    """A user for whom this address is blocked in every worker."""
    server.add_user("flooded").close()
    guess(server, "flooded", 11)
    # After many others a worker may take a second to tell.
    until(lambda: guess(server, "flooded", 2 * WORKERS, prefix=f"at {time.monotonic()}") == [429] * 2 * WORKERS)
    yield "flooded"
    server.holdfast("user", "remove", "flooded", "--purge")


@pytest.mark.parametrize("name", ["guessed", "nobody"])
def test_eleventh_wrong_password_is_answered_with_429(server: Server, name: str) -> None:
    """The answers to a user's name and to one that nobody has are the same, but for the seconds."""
    if name == "guessed":
        server.add_user(name).close()
    assert guess(server, name, 10) == [401] * 10
    for number in range(2 * WORKERS):
        answer = ask(server, name, PASSWORD if number else "an eleventh")
        assert answer.status == 429
        assert 50 <= int(answer.headers["retry-after"]) <= 60
        assert answer.text.startswith("too many failed attempts to sign in; try again in ")
        assert "www-authenticate" not in answer.headers
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_every_method_and_the_root_are_refused_before_the_body(server: Server, flooded: str) -> None:
    """An upload that will not be taken is not received."""
    with server.dav(flooded, "whatever") as dav:
        for method, path in (("GET", "/dav/x"), ("PUT", "/dav/x"), ("OPTIONS", "/dav/"), ("PROPFIND", "/")):
            assert dav(method, path, b"x" if method == "PUT" else None).status == 429
    with server.dav(flooded, "whatever") as dav, dav.wire() as wire:
        wire.sock.sendall(dav.head("PUT", "/dav/x", "Content-Length: 1000000000", "Expect: 100-continue"))
        assert wire.sock.recv(65536).startswith(b"HTTP/1.1 429 Too Many Requests\r\n")


def test_right_password_from_another_address_is_answered_soon_meanwhile(server: Server, flooded: str) -> None:
    """Also while sixteen connections go on guessing."""
    stop = time.monotonic() + 3

    def work(number: int) -> float:
        if number == 0:
            time.sleep(1)
            took = []
            for _ in range(2 * WORKERS):
                began = time.monotonic()
                assert ask(server, flooded, PASSWORD, ELSEWHERE).status == 207
                took.append(time.monotonic() - began)
            # The machine may do other things as well; each waited for its turn.
            return sorted(took)[WORKERS]
        with server.dav(flooded, "no") as dav:
            attempt = 0
            while time.monotonic() < stop:
                attempt += 1
                pair = base64.b64encode(f"{flooded}:{number} {attempt}".encode()).decode()
                answer = dav("PROPFIND", "/dav/", headers={"Authorization": f"Basic {pair}", "Depth": "0"})
                assert answer.status == 429
        return 0.0

    assert in_threads(16, work)[0] < 2


def test_app_passwords_and_other_accounts_are_not_blocked(server: Server, flooded: str) -> None:
    """From the very address, in every worker; and devices that are added meanwhile."""
    secret = server.holdfast("app-password", "add", "phone", "--user", flooded).stdout.strip()
    for _ in range(3 * WORKERS):
        assert ask(server, flooded, secret).status == 207
        assert ask(server, "admin", PASSWORD).status == 207
        assert ask(server, flooded, PASSWORD).status == 429


def test_client_that_is_signed_in_goes_on(server: Server) -> None:
    """Its pair is remembered by each worker that it has asked; somebody guesses at its account from its address."""
    server.add_user("working").close()
    connections = server.connections_to_all("working", PASSWORD)
    assert guess(server, "working", 12)[-1] == 429
    for dav in connections.values():
        for number in range(3):
            assert dav("PUT", "/dav/file", b"%d" % number).status in (201, 204)
        dav.close()


def test_old_password_that_is_tried_for_ever_blocks_nobody(server: Server) -> None:
    """It counts once, whichever workers it comes to."""
    server.add_user("changed").close()
    assert [ask(server, "changed", "the old password").status for _ in range(60)] == [401] * 60
    assert ask(server, "changed", PASSWORD).status == 207


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic !!!", "Basic YWRtaW4=", "Bearer", "Bearer abc", "Digest x"], ids=str
)
def test_request_without_credentials_is_no_failure(server: Server, header: str | None) -> None:
    """Most clients ask so first; some send what nobody can read."""
    before = count(server, "login_failure")
    with server.dav() as dav:
        for _ in range(15):
            given = {} if header is None else {"Authorization": header}
            assert dav("PROPFIND", "/dav/", headers={"Depth": "0", **given}, signed_in=False).status == 401
    time.sleep(1.2)
    assert count(server, "login_failure") == before


def test_administrator_sees_and_lifts_blocks(server: Server) -> None:
    """At once, for every worker."""
    server.add_user("forgetful").close()
    guess(server, "forgetful", 11)
    guess(server, "forgetful", 11, ELSEWHERE)
    mine = [row for row in blocked(server) if row[0] == "forgetful"]
    assert [row[1:3] for row in mine] == [["127.0.0.1", "1"], [ELSEWHERE, "1"]]
    assert server.holdfast("login", "unblock", "Forgetful").stdout == "ended 2 blocks of Forgetful\n"
    for _ in range(2 * WORKERS):
        assert ask(server, "forgetful", PASSWORD).status == 207
    assert not [row for row in blocked(server) if row[0] == "forgetful"]
    again = server.holdfast("login", "unblock", "forgetful", succeeds=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "holdfast: a block of the account forgetful does not exist\n"


def test_block_survives_a_restart_and_ends(start: Start) -> None:
    """After a minute, told by Retry-After; then the right password works, and one more wrong one doubles it."""
    server = start(workers=2)
    server.add_user("patient").close()
    assert guess(server, "patient", 11)[-1] == 429
    began = time.monotonic()
    server.kill_all()
    server.start()
    answer = ask(server, "patient", PASSWORD)
    assert answer.status == 429
    assert guess(server, "patient", 20, prefix="while blocked") == [429] * 20
    time.sleep(int(answer.headers["retry-after"]))
    assert ask(server, "patient", PASSWORD).status == 207
    assert time.monotonic() - began < 75
    again = ask(server, "patient", "wrong once more")
    assert again.status == 429
    assert 110 <= int(again.headers["retry-after"]) <= 120


class Commits:
    """Counts how often the database changes, by looking a thousand times a second."""

    def __init__(self, server: Server) -> None:
        self.count = 0
        self._stop = threading.Event()
        self._path = server.data / "holdfast.db"
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Commits:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection:
            last = None
            while not self._stop.wait(0.001):
                (version,) = connection.execute("PRAGMA data_version").fetchone()
                self.count += version != last
                last = version


def test_flood_over_many_accounts_is_noted_in_few_transactions(server: Server) -> None:
    """Each failure gets its row within a second or two, not a transaction."""
    before = count(server, "login_failure")

    def work(number: int) -> int:
        return ask(server, f"stranger{number}", "no").status

    began = time.monotonic()
    with Commits(server) as commits:
        for number in range(300):
            assert work(number) == 401
        until(lambda: count(server, "login_failure") >= before + 300, 5, "the last flush")
    # Some at once, and one a second for each worker; the checkpoints add one now and then.
    assert commits.count <= WORKERS * (33 + 2 * (time.monotonic() - began))

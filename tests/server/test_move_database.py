"""A running server while its database moves: only writes are refused, for a while, and nobody notices anything else."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from appliance.db import location
from appliance.db.sqlite import SqliteDatabase
from tests.server.browsing import Browser
from tests.server.conftest import Start
from tests.server.dav_client import Dav
from tests.server.nodes import begins_with_sqlite
from tests.server.running import ADMIN, PASSWORD, Server, until
from tests.support.databases import PostgresqlTemplate

pytestmark = begins_with_sqlite

LOCK = b'<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype></lockinfo>'
CONTENT = b"what is there is there" * 5000


def put(dav: Dav, path: str, content: bytes = b"x") -> int:
    """The status."""
    return dav("PUT", f"/dav/{path}", content).status


@pytest.fixture
def frozen(start: Start) -> Server:
    """A server with a file, whose store is frozen."""
    server = start()
    with server.dav() as dav:
        assert put(dav, "file", CONTENT) == 201
    with closing(SqliteDatabase(server.data / "holdfast.db", synced=True)) as database:
        location.freeze(database, location.LEAVING)
    return server


def thaw(server: Server) -> None:
    """As the end of a move that came to nothing."""
    with closing(SqliteDatabase(server.data / "holdfast.db", synced=True)) as database:
        location.thaw(database)


def test_frozen_store_is_read_and_refuses_only_writes(frozen: Server) -> None:
    """With 503 and Retry-After, at every method; afterwards the same requests succeed."""
    writes = [
        ("PUT", "/dav/new", b"x"),
        ("PUT", "/dav/large", bytes(3_000_000)),
        ("MKCOL", "/dav/folder", b""),
        ("COPY", "/dav/file", b""),
        ("MOVE", "/dav/file", b""),
        ("DELETE", "/dav/file2", b""),
        ("LOCK", "/dav/file2", LOCK),
    ]  # fmt: skip
    headers = {"Destination": "/dav/file2", "Overwrite": "T"}
    with frozen.dav() as dav:
        for method, path, body in writes[:5]:
            refused = dav(method, path, body, headers=headers if method in ("COPY", "MOVE") else {})
            assert (method, refused.status) == (method, 503)
            assert int(refused.headers["retry-after"]) > 0
            assert b"read-only" in refused.body
        got = dav("GET", "/dav/file")
        assert (got.status, got.body) == (200, CONTENT)
        assert dav("PROPFIND", "/dav/", headers={"Depth": "1"}).status == 207
        assert dav("GET", "/readyz").status == 200
    with frozen.dav(password="wrong") as stranger:
        assert [stranger("GET", "/dav/file").status for _ in range(5)] == [401] * 5
    thaw(frozen)
    with frozen.dav() as dav:
        for method, path, body in writes:
            done = dav(method, path, body, headers=headers if method in ("COPY", "MOVE") else {})
            assert done.status in (200, 201, 204), (method, done.status, done.body)


def test_commands_and_the_panel_say_that_it_is_for_a_moment(frozen: Server) -> None:
    """In a line, or on a page; the log is not filled."""
    said = frozen.holdfast("user", "add", "ben", "--password-stdin", typed=f"{PASSWORD}\n", succeeds=False)
    assert said.returncode == 1
    assert "read-only for a moment" in said.stderr
    with Browser(frozen) as browser:
        page = browser.sign_in(ADMIN, PASSWORD)
        assert page.status == 503
        assert "read-only for a moment" in page.text
    lines = len(frozen.stderr.splitlines())
    time.sleep(7)
    assert len(frozen.stderr.splitlines()) - lines <= 2, frozen.stderr
    thaw(frozen)
    with Browser(frozen) as browser:
        assert browser.sign_in(ADMIN, PASSWORD).status < 400


def test_server_does_not_start_on_a_store_that_is_frozen(frozen: Server) -> None:
    """It says what to do; once that is done it starts."""
    assert frozen.stop() == 0
    refused = frozen.holdfast("serve", "--listen", "127.0.0.1:0", succeeds=False)
    assert refused.returncode == 2
    assert "holdfast migrate database" in refused.stderr
    assert "can be written" in frozen.holdfast("migrate", "database", "--abort").stdout
    frozen.start()
    with frozen.dav() as dav:
        assert put(dav, "again") == 201


class Load:
    """Clients that read and write all the time, and what they were told."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self.reads: Counter[int] = Counter()
        self.writes: Counter[int] = Counter()
        self.broken = 0
        self.kept: dict[str, bytes] = {}
        self.problems: list[str] = []
        self._threads = [threading.Thread(target=self._go_on, args=(number,)) for number in range(3)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _go_on(self, number: int) -> None:
        turn = 0
        while not self._over.is_set():
            turn += 1
            path, content = f"load-{number}-{turn % 20}", f"{number} {turn}".encode()
            try:
                with self._server.dav() as dav:
                    answer = dav("PUT", f"/dav/{path}", content)
                    self.writes[answer.status] += 1
                    if answer.status in (201, 204):
                        self.kept[path] = content
                    elif answer.status != 503 or "retry-after" not in answer.headers:
                        self.problems.append(f"PUT {answer.status} {answer.text[:100]}")
                    got = dav("GET", "/dav/file")
                    self.reads[got.status] += 1
                    if got.status != 200 or got.body != CONTENT:
                        self.problems.append(f"GET {got.status}")
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # The process ended between the connection and the request: whoever sends it again succeeds.
                self.kept.pop(path, None)
                self.broken += 1
            except OSError as error:
                self.problems.append(repr(error))
            time.sleep(0.01)


def test_store_moves_under_load_and_back(empty_database: str, start: Start, tmp_path: Path) -> None:
    """To PostgreSQL, where the running server follows; then to a file, where it follows too."""
    server = start()
    with server.dav() as dav:
        assert put(dav, "file", CONTENT) == 201
        etag = dav("GET", "/dav/file").etag
    with Load(server) as load:
        until(lambda: load.writes[201] > 5, what="the load")
        told = json.loads(server.holdfast("migrate", "database", "--to", empty_database, "--json", seconds=120).stdout)
        assert told["rows"] > 0
        # Two workers, and the scheduler, which opens the database twice.
        until(lambda: server.stderr.count("the database has moved") >= 4, seconds=60, what="the new processes")
        mark = load.writes[204]
        until(lambda: load.writes[204] > mark + 20, what="writes at the new place")
    assert not load.problems
    assert load.broken <= 3
    assert set(load.reads) == {200}
    assert set(load.writes) <= {201, 204, 503}
    with server.dav() as dav:
        assert dav("GET", "/dav/file").etag == etag
        for path, content in load.kept.items():
            assert dav("GET", f"/dav/{path}").body == content
    server.settings["database_url"] = empty_database
    server.restart()
    back = tmp_path / "back" / "holdfast.db"
    with Load(server) as load:
        until(lambda: load.writes[204] > 5, what="the load")
        server.holdfast("migrate", "database", "--to", f"sqlite:///{back}", seconds=120)
        until(lambda: server.stderr.count(f"set database_url to sqlite:///{back}") >= 4, seconds=60, what="the return")
        mark = load.writes[204]
        until(lambda: load.writes[204] > mark + 20, what="writes at the last place")
    assert not load.problems
    assert load.broken <= 3
    with server.dav() as dav:
        assert dav("GET", "/dav/file").etag == etag
        for path, content in load.kept.items():
            assert dav("GET", f"/dav/{path}").body == content
    server.settings["database_url"] = f"sqlite:///{back}"


def test_command_says_what_is_wrong(start: Start, empty_database: str) -> None:
    """Before anything is changed."""
    server = start()
    for arguments, code, said in (
        ([], 2, "where to?"),
        (["--to", "mysql://x/y"], 2, "no database which Holdfast knows"),
        (["--to", f"sqlite:///{server.data}/other.db"], 2, "both are of one kind"),
        (["--to", "postgresql://nobody@127.0.0.1:1/none"], 2, "cannot be used"),
    ):
        done = server.holdfast("migrate", "database", *arguments, succeeds=False)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "nothing was under way" in server.holdfast("migrate", "database", "--abort").stdout
    with server.dav() as dav:
        assert put(dav, "file") == 201


@pytest.fixture
def empty_database(postgresql_template: PostgresqlTemplate) -> object:
    """The URL of a database without a table."""
    with postgresql_template.another() as url:
        yield url

"""The life of a server: first start, wrong settings, a worker that dies, an orderly stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.running import Server, children, runs, until
from tests.support.mounts import MIB, fill, tmpfs


def refused(server: Server, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """The one line of a ``serve`` that cannot start."""
    result = server.holdfast("serve", *arguments, succeeds=False, environment=environment)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def test_first_start_makes_all_and_prints_the_password_once(tmp_path: Path) -> None:
    """And says what to type on each system; nothing is written outside of the data folder."""
    server = Server(tmp_path)
    del server.settings["admin_password"]
    server.start()
    printed = server.stdout
    assert printed.count("password ") >= 1
    password = printed.split("password ")[1].split()[0]
    for system in ("Windows", "macOS", "Linux", "rclone", "net use", f"127.0.0.1:{server.port}/dav/"):
        assert system in printed
    with server.dav("admin", password) as dav:
        dav.ok("PUT", "/dav/file", b"x")
    server.restart()
    assert server.stdout.count(password) == 1
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in server.data.rglob("*"))
    assert list((tmp_path / "home").iterdir()) == []
    assert list((tmp_path / "cwd").iterdir()) == []
    server.finish()


def test_wrong_setting_is_one_line_that_names_it(tmp_path: Path) -> None:
    """Exit code 2, no traceback, nothing made."""
    server = Server(tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text("worker: 3\n")
    assert "workers" in refused(server, "--config", str(config))
    config.write_text("workers: many\n")
    assert "workers" in refused(server, "--config", str(config))
    assert "listen" in refused(server, "--listen", "nowhere")
    assert "durability" in refused(server, "--durability", "maybe")
    assert "workers" in refused(server, environment={"HOLDFAST_WORKERS": "0"})
    assert "HOLDFAST_WORKRS" in refused(server, environment={"HOLDFAST_WORKRS": "2"})
    assert "admin_password" in refused(server, "--listen", "127.0.0.1:0", environment={"HOLDFAST_ADMIN_PASSWORD": "x"})


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file where a folder should be; as an ordinary user it might be a folder of somebody else."""
    (tmp_path / "data").write_text("no folder")
    assert "data" in refused(Server(tmp_path))


def no_database(data: Path) -> None:
    """Nor a file that SQLite would take for an empty one."""
    (data / "holdfast.db").write_bytes(b"a letter, not a database\n" * 100)
    for path in data.glob("holdfast.db-*"):
        path.unlink()


def in_the_way(name: str, *, of_kind: str) -> Callable[[Path], None]:
    """Puts a file where a folder belongs, or the other way round."""

    def put(data: Path) -> None:
        path = data / name
        if of_kind == "file":
            shutil.rmtree(path)
            path.write_text("no folder")
        else:
            path.unlink()
            path.mkdir()

    return put


SPOILED = {
    "no database": (no_database, "the database is damaged"),
    "folder as database": (in_the_way("holdfast.db", of_kind="folder"), "unable to open"),
    "folder as the writers' lock": (in_the_way("holdfast.db-writers", of_kind="folder"), "Is a directory"),
    "folder as the server's lock": (in_the_way("server.lock", of_kind="folder"), "Is a directory"),
    "file as blobs": (in_the_way("blobs", of_kind="file"), "File exists"),
    "file as partial": (in_the_way("partial", of_kind="file"), "File exists"),
}


def test_data_folder_that_is_spoiled_is_named(start: Start) -> None:
    """One line, exit code 2, and nothing is lost: with the thing back in its place the server starts."""
    server = start()
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", b"kept")
    assert server.stop() == 0
    kept = server.scratch / "kept"
    shutil.copytree(server.data, kept)
    for case, (spoil, said) in SPOILED.items():
        spoil(server.data)
        problem = refused(server, "--listen", "127.0.0.1:0")
        assert "data: " in problem, case
        assert said in problem, case
        assert server.holdfast("user", "list", succeeds=False).returncode in (0, 2), case
        shutil.rmtree(server.data)
        shutil.copytree(kept, server.data)
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/file").body == b"kept"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three mebibytes, where this machine lets us mount one."""
    with tmpfs(tmp_path / "disk", 3 * MIB) as path:
        yield path


def without_reserve(small_disk: Path, tmp_path: Path) -> Server:
    """A server that has nothing but what is free there; test_full_disk.py has those with a reserve."""
    server = Server(tmp_path, settings={"data": small_disk / "data", "reserve": 0})
    server.data = small_disk / "data"
    return server


def test_start_on_a_full_disk_without_a_reserve_says_so(small_disk: Path, tmp_path: Path) -> None:
    """One line, exit code 2; with room it starts, and what was stored is there."""
    server = without_reserve(small_disk, tmp_path)
    server.start()
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", b"kept")
    assert server.stop() == 0
    fill(small_disk / "other things")
    assert "has no room; free some, then start" in refused(server, "--listen", "127.0.0.1:0")
    (small_disk / "other things").unlink()
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/file").body == b"kept"
    server.finish()


def test_start_on_a_disk_that_a_killed_upload_filled_makes_room(small_disk: Path, tmp_path: Path) -> None:
    """Nobody has to find out which file to remove."""
    server = without_reserve(small_disk, tmp_path)
    server.start()
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", b"kept")
    server.kill_all()
    # Else what SQLite left would be room enough.
    (server.data / "holdfast.db-shm").unlink()
    fill(server.data / "partial" / "1-0")
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/file").body == b"kept"
    server.finish()


def test_stop_on_a_full_disk_is_in_order(small_disk: Path, tmp_path: Path) -> None:
    """Exit code 0 and no traceback, though the end cannot be written down."""
    server = without_reserve(small_disk, tmp_path)
    server.start()
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", b"kept" * 50_000)
        fill(small_disk / "other things")
        # Until the log of the database has no room either.
        until(lambda: dav("PUT", "/dav/next", b"x" * 3000).status == 507, what="the end of all room")
        assert dav.ok("GET", "/dav/file").body == b"kept" * 50_000
    assert server.stop() == 0
    assert "Traceback" not in server.stderr
    assert "died" not in server.stderr
    (small_disk / "other things").unlink()
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/file").body == b"kept" * 50_000
    server.finish()


def test_second_server_on_folder_or_port_is_refused(start: Start, tmp_path: Path) -> None:
    """The first one does not notice."""
    first = start()
    assert "data" in refused(first, "--listen", "127.0.0.1:0")
    other = Server(tmp_path / "server-1", settings={"data": tmp_path / "elsewhere"})
    assert "listen" in refused(
        other, "--listen", f"127.0.0.1:{first.port}", environment={"HOLDFAST_DATA": str(tmp_path / "elsewhere")}
    )
    with first.dav() as dav:
        dav.ok("PUT", "/dav/file", b"x")


def test_database_newer_than_the_program_is_refused(start: Start) -> None:
    """It would be read wrongly."""
    server = start()
    assert server.stop() == 0
    with sqlite3.connect(server.data / "holdfast.db") as database:
        (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "newer" in refused(server)
    with sqlite3.connect(server.data / "holdfast.db") as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    server.start()


def test_dead_worker_is_back_within_two_seconds_and_nobody_is_refused(start: Start) -> None:
    """The others accept on the same socket meanwhile."""
    server = start(workers=2)
    assert server.process is not None
    supervisor = server.process.pid
    connections = server.connections_to_all()
    count = len(children(supervisor))
    victim = next(iter(connections))
    for dav in connections.values():
        dav.close()
    os.kill(victim, signal.SIGKILL)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: [status_of_a_new_connection(server) for _ in range(20)])
        until(lambda: victim not in children(supervisor) and len(children(supervisor)) == count, 2.0, "the restart")
        assert set(asked.result()) == {207}


def status_of_a_new_connection(server: Server) -> int:
    """Whichever worker accepts it."""
    with server.dav() as dav:
        return dav("PROPFIND", "/dav/", headers={"Depth": "0"}).status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_finishes_what_runs(start: Start, number: signal.Signals) -> None:
    """A slow PUT and a slow GET end whole; nothing new is accepted; exit code 0."""
    server = start(workers=1)
    assert server.process is not None
    content = os.urandom(8_000_000)
    with server.dav() as dav, dav.wire() as putting, dav.wire() as getting:
        dav.ok("PUT", "/dav/large", content)
        putting.send(dav.head("PUT", "/dav/slow", "Content-Length: 10", "Expect: 100-continue"))
        # The answer to Expect comes when the body is being read.
        assert putting.sock.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"
        putting.send(b"12345")
        getting.send(dav.head("GET", "/dav/large"))
        assert getting.sock.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        server.process.send_signal(number)
        until(lambda: not accepts(server.port), what="the end of accepting")
        with ThreadPoolExecutor(1) as pool:
            received = pool.submit(getting.answer)
            putting.send(b"67890")
            assert putting.answer().status == 100
            assert putting.answer().status == 201
            assert received.result().body == content
    assert server.process.wait(20) == 0
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/slow").body == b"1234567890"


def accepts(port: int) -> bool:
    """Whether anybody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 5.0).close()
    except ConnectionRefusedError:
        return False
    return True


def test_children_end_with_their_supervisor(start: Start) -> None:
    """A supervisor that is killed leaves no worker that holds the port."""
    server = start()
    assert server.process is not None
    pids = server.pids()
    os.kill(pids[0], signal.SIGKILL)
    server.process.wait(10)
    until(lambda: not any(map(runs, pids)), 10.0, "the end of the workers")
    server.start()


_NO_PROCESS_AT_FIRST = """
import errno, os, sys
from appliance.cli.main import main

real, refused = os.fork, []

def fork():
    if len(refused) < 2:
        refused.append(None)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real()

os.fork = fork
sys.exit(main(["serve", "--listen", "127.0.0.1:0", "--workers", "2"]))
"""


def test_process_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    """A machine that has no process left for a moment does not end the server."""
    server = Server(tmp_path)
    with open(tmp_path / "stderr", "ab") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", _NO_PROCESS_AT_FIRST], env=server.environment(), cwd=Path(__file__).parents[2],
            stdout=subprocess.DEVNULL, stderr=err,
        )  # fmt: skip
    try:
        until(lambda: len(children(process.pid)) == 3, what="the start of two workers and the scheduler")
        assert server.stderr.count("could not be started") == 2
    finally:
        process.terminate()
    assert process.wait(20) == 0
    assert "Traceback" not in server.stderr

"""Races over HTTP with the interleaving forced: what a request met at its beginning is not so when it ends."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.dav_client import Answer, Dav
from tests.server.holding import HeldPut, commits_held
from tests.server.listing import names, tree
from tests.server.locking import lock
from tests.server.running import HOLDFAST, PATIENCE_S, Server, children, runs, until

BODIES = {"inline": b"x" * 1000, "chunks": noise(300_000), "packs": noise(5_000_000)}
ROUNDS = 8

Meanwhile = Callable[[Dav, str], object]


def exchange(dav: Dav, folder: str) -> None:
    """Another folder takes the name."""
    dav.ok("MOVE", folder, headers={"Destination": folder + "-old"})
    dav.ok("MKCOL", folder)


def replace_by_a_file(dav: Dav, folder: str) -> None:
    """The folder is gone, and its name is a file's."""
    dav.ok("DELETE", folder)
    dav.ok("PUT", folder, b"a file")


# What happens to the folder, or in it, while half of a PUT to FOLDER/file is there; its answer, and what it becomes.
MEANWHILE: dict[str, tuple[Meanwhile, int]] = {
    "deleted": (lambda dav, folder: dav.ok("DELETE", folder), 409),
    "moved": (lambda dav, folder: dav.ok("MOVE", folder, headers={"Destination": folder + "-moved"}), 409),
    "exchanged": (exchange, 201),
    "replaced by a file": (replace_by_a_file, 409),
    "name becomes a folder": (lambda dav, folder: dav.ok("MKCOL", folder + "/file"), 405),
    "name is taken": (lambda dav, folder: dav.ok("PUT", folder + "/file", b"first"), 204),
    "name is locked": (lambda dav, folder: lock(dav, folder + "/file"), 423),
    "folder is locked": (lock, 423),
}


def trash_line(server: Server, path: str) -> list[str]:
    """What ``holdfast trash list`` says about a path, cell by cell from KIND to BYTES."""
    lines = server.holdfast("trash", "list", "--user", "admin").stdout.splitlines()
    (found,) = [line.split() for line in lines if line.endswith(f" {path.removeprefix('/dav')}")]
    return found[4:7]


@pytest.mark.parametrize("size", BODIES)
@pytest.mark.parametrize("what", MEANWHILE)
def test_put_meets_what_happened_while_its_body_streamed(dav: Dav, area: str, what: str, size: str) -> None:
    """Its path is resolved again, and its locks are asked again, when the body is there: never is it elsewhere."""
    meanwhile, status = MEANWHILE[what]
    body = BODIES[size]
    dav.ok("MKCOL", area + "d")
    with HeldPut(dav, area + "d/file", body) as put:
        meanwhile(dav, area + "d")
        after = tree(dav, area)
        answer = put.finish()
    assert answer.status == status, answer.text
    if status < 300:
        after["d/file"] = body
        assert dav.ok("GET", area + "d/file").etag == answer.etag
    assert tree(dav, area) == after


def test_put_into_a_folder_deleted_meanwhile_is_not_in_the_trash(server: Server, dav: Dav, area: str) -> None:
    """Neither there nor anywhere: the folder comes back as it was when it was deleted."""
    dav.ok("MKCOL", area + "d")
    with HeldPut(dav, area + "d/file", BODIES["packs"]) as put:
        dav.ok("DELETE", area + "d")
        assert put.finish().status == 409
    assert trash_line(server, area + "d") == ["folder", "0", "0"]


@pytest.mark.parametrize("at", [0, 1, 999_999])
def test_put_held_at_any_byte_is_seen_by_nobody(dav: Dav, area: str, at: int) -> None:
    """Neither in the listing nor by GET, however much of it is there."""
    with HeldPut(dav, area + "file", noise(1_000_000), at=at) as put:
        assert names(dav, area) == set()
        assert dav("GET", area + "file").status == 404
        assert put.finish().status == 201
    assert dav.ok("GET", area + "file").body == noise(1_000_000)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("condition", [{}, {"If-None-Match": "*"}])
def test_two_puts_to_one_name_in_both_orders(dav: Dav, area: str, first: int, condition: dict[str, str]) -> None:
    """Who ends last is current, the other one a version before it; with If-None-Match only who ends first passes."""
    bodies = [noise(400_000, seed=1), noise(400_000, seed=2)]
    path = area + "file"
    with (
        HeldPut(dav, path, bodies[0], headers=condition) as one,
        HeldPut(dav, path, bodies[1], headers=condition) as two,
    ):
        order = [one, two] if first == 0 else [two, one]
        assert order[0].finish().status == 201
        assert dav.ok("GET", path).body == bodies[first]
        assert order[1].finish().status == (412 if condition else 204)
    assert dav.ok("GET", path).body == bodies[first if condition else 1 - first]


def test_two_puts_with_one_if_match_the_first_to_end_wins(dav: Dav, area: str) -> None:
    """Though both conditions held when they began."""
    etag = dav.ok("PUT", area + "file", b"before").etag
    given = {"If-Match": etag}
    with (
        HeldPut(dav, area + "file", noise(9_000, seed=1), headers=given) as one,
        HeldPut(dav, area + "file", noise(9_000, seed=2), headers=given) as two,
    ):
        assert two.finish().status == 204
        assert one.finish().status == 412
    assert dav.ok("GET", area + "file").body == noise(9_000, seed=2)


def together(server: Server, *works: Callable[[Dav], Answer]) -> list[int]:
    """Statuses of requests of two workers, none of which commits before both are about to."""
    connections = list(server.connections_to_all().values())
    with ThreadPoolExecutor(len(works)) as pool:
        with commits_held(server, len(works)):
            asked = [pool.submit(work, dav) for work, dav in zip(works, connections, strict=True)]
        found = [each.result().status for each in asked]
    for dav in connections:
        dav.close()
    return found


def test_crossing_moves_make_no_circle(server: Server, dav: Dav, area: str) -> None:
    """a to b/x and b to a/x, from two workers, both about to commit: one passes, nothing is lost."""
    for number in range(ROUNDS):
        a, b = f"{area}a{number}", f"{area}b{number}"
        for folder in (a, b):
            dav.ok("MKCOL", folder)
            dav.ok("PUT", folder + "/file", folder.encode())
        statuses = together(
            server,
            lambda dav, a=a, b=b: dav("MOVE", a, headers={"Destination": b + "/x"}),  # type: ignore[misc]
            lambda dav, a=a, b=b: dav("MOVE", b, headers={"Destination": a + "/x"}),  # type: ignore[misc]
        )
        assert statuses.count(201) == 1
        assert set(statuses) <= {201, 404, 409}
        moved, other = (a, b) if statuses[0] == 201 else (b, a)
        assert tree(dav, other) == {"file": other.encode(), "x/": b"", "x/file": moved.encode()}
        assert dav("GET", moved).status == 404


def test_delete_and_the_end_of_a_put_at_once(server: Server, dav: Dav, area: str) -> None:
    """Whoever commits first: the file went with its folder, or was refused; never is it lost after a 201."""
    for number in range(ROUNDS):
        folder, body = f"{area}d{number}", noise(6_000, seed=number)
        dav.ok("MKCOL", folder)
        statuses = together(
            server,
            lambda dav, folder=folder: dav("DELETE", folder),  # type: ignore[misc]
            lambda dav, folder=folder, body=body: dav("PUT", folder + "/file", body),  # type: ignore[misc]
        )
        assert statuses in ([204, 201], [204, 409])
        stored = statuses[1] == 201
        assert trash_line(server, folder) == ["folder", str(int(stored)), str(len(body) * stored)]


def test_put_of_a_user_who_is_disabled_meanwhile(server: Server) -> None:
    """What was let in ends as it began; the next request is refused."""
    with server.add_user("disabled") as dav, HeldPut(dav, "/dav/file", BODIES["packs"]) as put:
        server.holdfast("user", "disable", "disabled")
        assert put.finish().status == 201
        assert dav("GET", "/dav/file").status == 401
        server.holdfast("user", "enable", "disabled")
        assert dav.ok("GET", "/dav/file").body == BODIES["packs"]


@pytest.mark.parametrize("size", BODIES)
def test_put_of_a_user_who_is_purged_meanwhile(server: Server, size: str) -> None:
    """It is refused, and nothing of the user comes back with it; a new user of the name begins with nothing."""
    name = f"purged-{size}"
    with server.add_user(name) as dav, HeldPut(dav, "/dav/file", BODIES[size]) as put:
        server.holdfast("user", "remove", name, "--purge")
        assert put.finish().status == 404
        assert name not in server.holdfast("user", "list").stdout
    with server.add_user(name) as dav:
        assert names(dav, "/dav/") == set()


def start_together(server: Server, count: int) -> list[subprocess.Popen[str]]:
    """So many servers on the folder of ``server``, at the same moment."""
    return [
        subprocess.Popen(
            [HOLDFAST, "serve", "--listen", "127.0.0.1:0", "--workers", "1"], env=server.environment(),
            cwd=server.scratch / "cwd", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )
        for _ in range(count)
    ]  # fmt: skip


def one_serves(server: Server, started: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """The one that does; each other has ended with 2 and one line."""
    until(lambda: sum(each.poll() is not None for each in started) == len(started) - 1, 2 * PATIENCE_S, "the refusal")
    for each in started:
        if each.returncode is not None:
            _, said = each.communicate()
            assert each.returncode == 2, said
            assert len(said.splitlines()) == 1, said
            assert "data" in said
    (serving,) = [each for each in started if each.returncode is None]
    assert serving.stdout is not None
    until(lambda: len(children(serving.pid)) == 2, what="the start")
    line = next(line for line in serving.stdout if line.startswith("Holdfast serves"))
    # Which the system has given it: somebody else's once it ends.
    server.port = int(line.rstrip().rstrip("/").rpartition(":")[2])
    return serving


@pytest.mark.parametrize("count", [2, 4])
def test_servers_started_together_on_one_folder_one_serves(tmp_path: Path, count: int) -> None:
    """On a folder that is not there yet, on one that is, and after a kill; what is stored stays."""
    server = Server(tmp_path)
    for number, how in enumerate((subprocess.Popen.terminate, subprocess.Popen.kill, subprocess.Popen.terminate)):
        started = start_together(server, count)
        try:
            serving = one_serves(server, started)
            with server.dav() as dav:
                assert len(names(dav, "/dav/")) == number
                dav.ok("PUT", f"/dav/{number}", b"stored")
        finally:
            for each in started:
                of_one = children(each.pid)
                how(each)
                each.communicate(timeout=PATIENCE_S)
                until(lambda of_one=of_one: not any(map(runs, of_one)), what="the end")  # type: ignore[misc]
        assert how is subprocess.Popen.kill or serving.returncode == 0
        server.port = 0
    server.start()
    with server.dav() as dav:
        assert names(dav, "/dav/") == {"0", "1", "2"}
    server.finish()


def test_server_on_a_folder_whose_server_is_about_to_end_is_refused_or_serves(start: Start) -> None:
    """Either is right; never do both serve, and never is the end unclean."""
    server = start(workers=1)
    assert server.process is not None
    old = server.process
    server.process.terminate()
    started = start_together(server, 1)[0]
    assert old.wait(PATIENCE_S) == 0
    until(lambda: started.poll() is not None or len(children(started.pid)) == 2, what="the start or the refusal")
    if started.poll() is None:
        started.terminate()
    _, said = started.communicate(timeout=PATIENCE_S)
    assert started.returncode in (0, 2), said
    server.start()

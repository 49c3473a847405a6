"""`holdfast backup` beside a running server, and a server on what was restored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.running import HOLDFAST, Server, until
from tests.server.syncing import XML, body, sync


def restored_beside(server: Server, backup: Path, name: str = "restored") -> Server:
    """A server, not yet started, on a data folder of its own, restored from the backup."""
    scratch = server.scratch / name
    scratch.mkdir()
    other = Server(scratch, workers=1)
    other.holdfast("restore-backup", str(backup))
    return other


def test_server_on_a_restored_store_has_the_files_and_lets_clients_begin_anew(start: Start) -> None:
    """Content, users and app passwords are there; ETags and sync tokens of before are worth nothing."""
    server = start()
    backup = server.scratch / "backup"
    server.add_user("anna").close()
    with server.dav() as dav:
        dav.ok("MKCOL", "/dav/docs")
        for number in range(3):
            dav.ok("PUT", f"/dav/docs/{number}", noise(70_000, seed=number))
        etag = dav.ok("GET", "/dav/docs/0").etag
        token = sync(dav, "/dav/docs/").token
        said = server.holdfast("backup", str(backup)).stdout
        assert said.startswith("snapshot 1 of ")
        dav.ok("PUT", "/dav/docs/later", b"not in the backup")
        dav.ok("DELETE", "/dav/docs/1")
    other = restored_beside(server, backup).start()
    with other.dav() as dav:
        for number in range(3):
            assert dav.ok("GET", f"/dav/docs/{number}").body == noise(70_000, seed=number)
        assert dav("GET", "/dav/docs/later").status == 404
        assert dav("GET", "/dav/docs/0", headers={"If-None-Match": etag}).status == 200
        assert dav("PUT", "/dav/docs/0", b"x", {"If-Match": etag}).status == 412
        refused = dav("REPORT", "/dav/docs/", body(token), XML)
        assert refused.status == 403
        assert b"valid-sync-token" in refused.body
        assert len(sync(dav, "/dav/docs/").entries) == 3
        dav.ok("PUT", "/dav/docs/0", noise(90_000, seed=9))
    with other.dav("anna") as anna:
        assert anna("PROPFIND", "/dav/", headers={"Depth": "0"}).status == 207
    other.finish()


def test_backups_while_clients_write_are_whole(start: Start) -> None:
    """Each one of a row of them, restored, is clean; and the server answered all the time."""
    server = start()
    backup = server.scratch / "backup"
    done, stored, problems = threading.Event(), [0] * 3, list[str]()

    def work(client: int) -> None:
        with server.dav() as dav:
            while not done.is_set():
                size = (100, 60_000, 900_000)[stored[client] % 3]
                answer = dav("PUT", f"/dav/{client}-{stored[client] % 10}", noise(size, seed=stored[client]))
                if answer.status not in (201, 204):
                    problems.append(f"{answer.status} {answer.text}")
                stored[client] += 1

    clients = [threading.Thread(target=work, args=(number,)) for number in range(len(stored))]
    for client in clients:
        client.start()
    told = []
    try:
        for number in range(1, 4):
            before = sum(stored)
            told.append(json.loads(server.holdfast("backup", str(backup), "--json").stdout))
            assert told[-1]["snapshot"] == number
            until(lambda before=before: sum(stored) > before + 10, what="more uploads")
    finally:
        done.set()
        for client in clients:
            client.join(60)
    assert problems == []
    assert [each["problems"] for each in told] == [[], [], []]
    (seqs,) = zip(*[[tree["seq"] for tree in each["trees"]] for each in told], strict=True)
    assert seqs[0] < seqs[1] < seqs[2]
    assert server.holdfast("check-backup", str(backup)).stdout.splitlines()[-1].startswith("clean; ")
    restored_beside(server, backup).finish()


def test_backup_that_is_killed_leaves_the_snapshot_before_and_is_made_good(start: Start) -> None:
    """kill -9 at some moment; the server goes on."""
    server = start(workers=1)
    backup = server.scratch / "backup"
    with server.dav() as dav:
        dav.ok("PUT", "/dav/first", noise(300_000, seed=1))
        server.holdfast("backup", str(backup))
        for number in range(8):
            dav.ok("PUT", f"/dav/{number}", noise(3_000_000, seed=10 + number))
        process = subprocess.Popen(
            [HOLDFAST, "backup", str(backup)], env=server.environment(), cwd=server.scratch / "cwd",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        packs = backup / "blobs" / "packs"
        until(lambda: sum(1 for _ in packs.glob("*/*")) > 3 or process.poll() is not None, what="the first blobs")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        told = json.loads(server.holdfast("check-backup", str(backup), "--json").stdout)
        assert [each["snapshot"] for each in told["snapshots"]] == [1]
        again = json.loads(server.holdfast("backup", str(backup), "--json").stdout)
        assert again["snapshot"] == 2
        assert again["copied_bytes"] < 24_000_000 - 6_000_000
        assert dav.ok("GET", "/dav/first").body == noise(300_000, seed=1)
    assert "clean" in server.holdfast("check-backup", str(backup)).stdout


def test_commands_say_in_one_line_what_is_wrong(start: Start) -> None:
    """1: not done or not whole; 2: put something right first."""
    server = start(workers=1)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", noise(300_000))
    backup = server.scratch / "backup"

    def refused(*arguments: str, code: int) -> str:
        result = server.holdfast(*arguments, succeeds=False)
        assert result.returncode == code, result.stderr
        assert code == 1 or result.stdout == ""
        return result.stderr or result.stdout

    assert "lie in each other" in refused("backup", str(server.data / "backup"), code=2)
    assert "the folder above does not exist" in refused("backup", str(server.scratch / "a" / "b"), code=2)
    assert "is no backup" in refused("check-backup", str(server.scratch / "home"), code=2)
    assert "is no number from 1" in refused("backup", str(backup), "--keep", "0", code=2)
    server.holdfast("backup", str(backup))
    assert "another server holds" in refused("restore-backup", str(backup), code=2)
    server.holdfast("user", "list")
    pack = max((backup / "blobs" / "packs").glob("*/*"), key=lambda path: path.stat().st_size)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    said = refused("check-backup", str(backup), code=1)
    assert f"problem: snapshot 1: packs/{pack.parent.name}/{pack.name} has 1 damaged chunks" in said
    healed = server.holdfast("backup", str(backup), "--verify").stdout
    assert healed.startswith(f"copied anew: packs/{pack.parent.name}/{pack.name} ")
    assert server.holdfast("check-backup", str(backup)).stdout.splitlines()[-1].startswith("clean; ")

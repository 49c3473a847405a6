"""The logs of a whole server: a line for each request of every worker, ids that lead to errors, and no secret."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.locking import lock
from tests.server.running import PASSWORD, Server, until


@pytest.fixture
def logging(start: Start, tmp_path: Path) -> Callable[..., Server]:
    """Starts a server with an access log and a log of its own, both in the test's folder; two workers."""
    folder = tmp_path / "logs"
    folder.mkdir()

    def begin(**settings: Any) -> Server:
        given = {"access_log": folder / "access", "log_file": folder / "server", **settings}
        return start(workers=2, settings=given)

    return begin


def text_of(server: Server, log: str) -> str:
    """All files of a log, also those put aside."""
    folder = server.scratch.parent / "logs"
    return "".join(path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.split(".")[0] == log)


def lines(server: Server) -> list[dict[str, Any]]:
    """The access log, without the requests by which the start is awaited."""
    found = [json.loads(line) for line in text_of(server, "access").splitlines()]
    return [line for line in found if line["path"] != "/readyz"]


def test_requests_of_every_worker_are_logged_with_user_and_device(logging: Callable[..., Server]) -> None:
    """Under ids that no two have, also after a restart."""
    server = logging()
    anna = server.add_user("anna")
    made = server.holdfast("app-password", "add", "laptop", "--user", "anna").stdout
    secret = re.search(r"\b[a-z2-7]{8}(?:-[a-z2-7]{8}){3}\b", made)
    assert secret
    for _ in range(2):
        for dav in server.connections_to_all().values():
            dav.close()
        with server.dav("anna", secret[0]) as laptop:
            laptop.ok("PUT", "/dav/a%20file", b"content")
        anna.ok("GET", "/dav/a%20file")
        anna.close()
        server.restart()
    until(lambda: len(lines(server)) >= 8)
    found = lines(server)
    assert len({line["id"] for line in found}) == len(found)
    assert len({line["id"][:8] for line in found}) >= 4, "two workers, started twice"
    put = next(line for line in found if line["method"] == "PUT")
    got = next(line for line in found if line["method"] == "GET")
    assert (put["user"], put["path"], put["status"], put["received"], put["sent"]) == ("anna", "/dav/a file", 201, 7, 0)
    assert isinstance(put["device"], int)
    assert (got["user"], got["device"], got["received"], got["sent"]) == ("anna", None, 0, 7)


def test_failure_is_found_in_both_logs_by_the_id_of_its_answer(logging: Callable[..., Server]) -> None:
    """What a user reports leads to what was wrong."""
    server = logging(inline_threshold=0)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", noise(100_000, 3))
        blobs = server.data / "blobs"
        blobs.rename(server.data / "away")
        answer = dav("GET", "/dav/file")
        not_ready = dav("GET", "/readyz")
        (server.data / "away").rename(blobs)
    assert (answer.status // 100, not_ready.status) == (5, 503)
    ident = answer.headers["x-request-id"]
    assert f"request {ident}: GET /dav/file: {answer.status}, " in text_of(server, "server")
    assert f"request {not_ready.headers['x-request-id']}: not ready: " in text_of(server, "server")
    until(lambda: any(line["id"] == ident for line in lines(server)))
    assert next(line for line in lines(server) if line["id"] == ident)["status"] == answer.status
    assert server.stderr == ""


def test_rotation_and_rename_and_hang_up_lose_no_line(logging: Callable[..., Server], tmp_path: Path) -> None:
    """Two workers rotate every few lines, while somebody else renames the file and sends SIGHUP to all."""
    server = logging(log_bytes=2000, log_files_kept=1000)
    folder = tmp_path / "logs"
    count = 400

    def ask(number: int) -> None:
        with server.dav() as dav:
            for step in range(count):
                dav.ok("PUT" if not step else "GET", f"/dav/{number}?step={step}", b"x" if not step else None)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    moved = turn = 0
    while any(thread.is_alive() for thread in threads):
        turn += 1
        if turn % 4 == 0:
            with contextlib.suppress(FileNotFoundError):
                (folder / "access").rename(folder / f"access.moved-{moved}")
                moved += 1
        for pid in server.pids():
            os.kill(pid, signal.SIGHUP)
        time.sleep(0.05)
    # What is still renamed cannot be read.
    assert server.stop() == 0
    assert len(lines(server)) == 4 * count
    assert Counter(line["path"] for line in lines(server)) == {f"/dav/{number}?step=***": count for number in range(4)}
    assert moved > 0
    assert (folder / "access.1").exists()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert "died" not in text_of(server, "server")


@pytest.mark.parametrize("form", ["json", "text"])
def test_access_log_goes_to_the_terminal_if_that_is_wanted(start: Start, form: str) -> None:
    """Beside the server's messages."""
    server = start(workers=2, settings={"access_log": "stderr", "access_log_format": form})
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", b"x")
    wanted = '"path":"/dav/file","status":201' if form == "json" else '"PUT /dav/file" 201 in 1 out 0'
    until(lambda: wanted in server.stderr)


def test_log_that_cannot_be_written_is_said_before_the_start(start: Start, tmp_path: Path) -> None:
    """In one line, at the terminal."""
    server = start(workers=1)
    for name in ("access_log", "log_file"):
        result = server.holdfast(
            "serve", succeeds=False, environment={f"HOLDFAST_{name.upper()}": str(tmp_path / "no" / "log")}
        )
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert result.stderr.startswith(f"holdfast: {name}: {tmp_path}/no/log cannot be written (No such file")


class Secrets:
    """Texts that may stand in no log, as they are and as they go over the wire."""

    def __init__(self) -> None:
        self.texts = {PASSWORD}

    def add(self, text: str) -> str:
        """The same text."""
        self.texts.add(text)
        return text

    def basic(self, user: str, password: str) -> str:
        """An Authorization header's value."""
        coded = base64.b64encode(f"{user}:{self.add(password)}".encode()).decode()
        return f"Basic {self.add(coded)}"


def misuse(server: Server, secrets: Secrets) -> None:
    """Heads that are none, with secrets in every place."""
    password = secrets.add("hunter2-in-a-head")
    basic = secrets.basic("admin", "hunter2-malformed")
    heads = [
        f"GET /dav/ HTTP/1.1\r\nHost: h\r\nAuthorization : {basic}\r\n\r\n",
        f"GET /dav/ HTTP/1.1\r\nHost: h\r\nAuthorization: {basic}\x01\r\n\r\n",
        f"GET /dav/ HTTP/3.0\r\nHost: h\r\nAuthorization: {basic}\r\n\r\n",
        f"GET http://admin:{password}@h/dav/ HTTP/1.1\r\nHost: h\r\n\r\n",
        f"{password} {basic}\r\n\r\n",
        f"GET /dav/{password}%zz HTTP/1.1\r\nHost: h\r\n\r\n",
        f"GET /dav/ HTTP/1.1\r\nHost: {password}@h\r\nAuthorization: {basic}\r\n\r\n",
        f"GET /dav/ HTTP/1.1\r\nHost: h\r\nAuthorization: {basic}\r\nX: {'x' * 70_000}\r\n\r\n",
        f"GET /s/{password} HTTP/1.1\r\nHost: h\r\nUser-Agent: a password={password}\r\n\r\n",
        f"GET /dav/x?{password} HTTP/1.1\r\nHost: h\r\n\r\n",
        f"GET /dav/x?signature={password} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {password}\r\n\r\n",
        f"PUT /dav/x HTTP/1.1\r\nHost: h\r\nAuthorization: {basic}\r\nContent-Length: 9\r\n\r\nab",
    ]
    for head in heads:
        with server.dav() as dav, dav.wire() as wire:
            wire.send(head)
            wire.sock.shutdown(1)
            wire.answer()


def sign_in(server: Server, secrets: Secrets) -> None:
    """With every kind of password, good, wrong, revoked and broken."""
    server.add_user("anna", password=secrets.add("hunter2-of-anna"))
    made = server.holdfast("app-password", "add", "laptop", "--user", "anna").stdout
    found = re.search(r"\b[a-z2-7]{8}(?:-[a-z2-7]{8}){3}\b", made)
    assert found
    good = [("anna", "hunter2-of-anna"), ("anna", secrets.add(found[0]))]
    wrong = [("anna", "hunter2-wrong"), ("hunter2-as-a-name", "x" * 20), ("anna", "")]
    secrets.add("hunter2-as-a-name")
    with server.dav() as dav:
        for (user, password), status in [*((each, 207) for each in good), *((each, 401) for each in wrong)]:
            header = {"Authorization": secrets.basic(user, password) if password else "Basic YTo="}
            assert dav("PROPFIND", "/dav/", headers={"Depth": "0", **header}, signed_in=False).status == status
        for broken in ("Basic hunter2-not-base64", "Digest username=hunter2-digest", "hunter2-alone"):
            secrets.add(broken.removeprefix("Basic "))
            assert dav("GET", "/dav/", headers={"Authorization": broken}, signed_in=False).status == 401


def use_locks(dav: Dav, secrets: Secrets) -> None:
    """Tokens in every header that takes one, right ones and wrong ones."""
    dav.ok("PUT", "/dav/locked", b"x")
    token = secrets.add(lock(dav, "/dav/locked"))
    secrets.add(token.rpartition(":")[2])
    other = secrets.add("urn:uuid:00000000-hunter2-0000-0000-000000000000")
    assert dav("PUT", "/dav/locked", b"y").status == 423
    assert dav("PUT", "/dav/locked", b"y", {"If": f"(<{other}>)"}).status in (412, 423)
    assert dav("PUT", "/dav/locked", b"y", {"If": f"(<{token}>)"}).status == 204
    assert dav("PUT", "/dav/locked", b"y", {"If": f"(<{token}> <{other}"}).status == 400
    assert dav("UNLOCK", "/dav/locked", headers={"Lock-Token": f"<{other}>"}).status == 409
    assert dav("UNLOCK", "/dav/locked", headers={"Lock-Token": other}).status == 409
    assert dav("GET", f"/dav/{token}").status == 404
    assert dav("UNLOCK", "/dav/locked", headers={"Lock-Token": f"<{token}>"}).status == 204


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_stands_in_any_log(logging: Callable[..., Server], form: str) -> None:
    """Whatever clients do with passwords and tokens; also at the level debug, and where requests fail."""
    server = logging(access_log_format=form, log_level="debug", inline_threshold=0)
    secrets = Secrets()
    sign_in(server, secrets)
    misuse(server, secrets)
    with server.dav() as dav:
        secrets.add(dav.authorization.partition(" ")[2])
        use_locks(dav, secrets)
        dav.ok("PUT", "/dav/file", noise(100_000, 4))
        blobs = server.data / "blobs"
        blobs.rename(server.data / "away")
        assert dav("GET", "/dav/file").status // 100 == 5
        (server.data / "away").rename(blobs)
    assert server.stop() == 0
    logged = text_of(server, "access") + text_of(server, "server") + server.stderr
    assert len(text_of(server, "access").splitlines()) > 30
    assert "request " in text_of(server, "server")
    assert {text for text in secrets.texts if text in logged} == set()

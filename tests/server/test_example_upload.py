"""The upload script that ships in examples/: it is killed, the server is killed, and the file is whole."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.running import ADMIN, PASSWORD, Server, until

SCRIPT = Path(__file__).parents[2] / "examples" / "upload.py"
MIB = 1_048_576
SLOWEST_COMPLETE_MS = 500
Start = Callable[..., Server]


def blocks(size: int) -> Iterator[bytes]:
    """Reproducible content, of which no two blocks are equal."""
    for number in range(-(-size // MIB)):
        yield hashlib.shake_128(number.to_bytes(8, "big")).digest(min(MIB, size - number * MIB))


def begin(server: Server, file: Path) -> subprocess.Popen[str]:
    """Start the script."""
    environment = {"UPLOAD_USER": ADMIN, "UPLOAD_PASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), server.origin, str(file)], env=environment, stdout=subprocess.PIPE, text=True
    )


def wait_for_percent(script: subprocess.Popen[str], percent: float) -> None:
    """Read what it draws until it is so far."""
    assert script.stdout is not None
    shown = ""
    while piece := script.stdout.read(60):
        shown += piece
        told = [float(each.split("]")[1].split("%")[0]) for each in shown.splitlines()[1:-1]]
        if told and told[-1] >= percent:
            return
    raise AssertionError(f"the script ended: {shown[-300:]}")


def draining(script: subprocess.Popen[str]) -> threading.Thread:
    """Go on reading, so that the script does not wait for who looks at it."""
    assert script.stdout is not None
    thread = threading.Thread(target=script.stdout.read, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "size", [100 * MIB + 7, pytest.param(10 * 1024 * MIB, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
def test_killed_script_and_killed_server_leave_a_whole_file(start: Start, tmp_path: Path, size: int) -> None:
    """Twice the script, once all of the server; completing takes a moment, and a PUT of the same adds nothing."""
    file, digest = tmp_path / "large.bin", hashlib.sha256()
    with file.open("wb") as target:
        for block in blocks(size):
            target.write(block)
            digest.update(block)
    server = start(settings={"access_log": "stderr"})
    for percent in (20, 45):
        with begin(server, file) as script:
            wait_for_percent(script, percent)
            script.send_signal(signal.SIGKILL)
    with begin(server, file) as script:
        wait_for_percent(script, 60)
        drained = draining(script)
        server.kill_all()
        server.start()
        assert script.wait(1800) == 0
        drained.join(30)
    assert not file.with_name("large.bin.upload").exists()
    with server.dav() as dav:
        found = dav.ok("GET", "/dav/large.bin") if size < 1024 * MIB else None
        if found is not None:
            assert hashlib.sha256(found.body).digest() == digest.digest()
        etag = dav.ok("HEAD", "/dav/large.bin").etag
        node_id = int(etag.strip('"').split("-")[1], 16)

        def told() -> str | None:
            sha256: str | None = json.loads(dav.ok("GET", f"/api/v1/files/{node_id}").body)["sha256"]
            return sha256

        if size < 1024 * MIB:
            assert told() is None
        until(lambda: told() == digest.hexdigest(), 60 + size / (20 * MIB), what="the checksum")
        assert dav.ok("HEAD", "/dav/large.bin").etag == etag
        until(lambda: bool(completing(server)), what="the log")
        assert max(completing(server)) < SLOWEST_COMPLETE_MS
        before = stored(server)
        assert dav("PUT", "/dav/same.bin", blocks(size)).status == 201
        assert stored(server) - before < size / 1000
    file.unlink()


def completing(server: Server) -> list[float]:
    """Milliseconds that each request took which completed the upload."""
    entries = [json.loads(line) for line in server.stderr.splitlines() if line.startswith('{"time"')]
    return [each["ms"] for each in entries if each["path"].endswith("/complete") and each["status"] == 200]


def stored(server: Server) -> int:
    """Bytes of all blobs."""
    time.sleep(1)
    return sum(path.stat().st_size for path in (server.data / "blobs").rglob("*") if path.is_file())

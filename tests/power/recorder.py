"""Runs servers and commands under one strace, and tells afterwards what they wrote, synced and answered, and when."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.power import trace
from tests.power.disk import Disk
from tests.power.trace import Call
from tests.server.dav_client import Dav
from tests.server.running import ADMIN, PASSWORD, PATIENCE_S, children, runs, until

_ANNOUNCED = re.compile(r"^Holdfast serves .* at http://127\.0\.0\.1:(\d+)/$", re.MULTILINE)
_CONNECTION = re.compile(r"<TCP:\[[^>]*->127\.0\.0\.1:(\d+)\]>")
_STRACE = ("strace", "-f", "-qq", "-yy", "-xx", "-s", str(1 << 28), "-e", "signal=none")


def require_strace() -> None:
    """Skip where calls cannot be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"strace cannot trace here: {tried.stderr.strip().splitlines()[-1:]}")


def _filters() -> list[str]:
    """Only the wanted calls stop a process, where strace and kernel can do that."""
    quick = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-e", "trace=fsync", "-o", os.devnull, "true"],
        capture_output=True,
        check=False,
    )
    # With the question mark, a call that this architecture does not have is no mistake.
    wanted = ",".join(f"?{name}" for name in (*trace.CHANGING, *trace.SYNCING, *trace.SENDING))
    return [*(["--seccomp-bpf"] if quick.returncode == 0 else []), "-e", f"trace={wanted}"]


class Recorder:
    """A shell under strace that starts what it is told to; everything lies below ``scratch``, the data in ``data``."""

    def __init__(self, scratch: Path, program: Sequence[str], *, durability: str, workers: int = 2) -> None:
        self.data = scratch / "data"
        self.port = 0
        self._scratch = scratch
        self._program = [*program]
        self._durability = durability
        self._workers = workers
        self._log = scratch / "trace"
        self._out = scratch / "stdout"
        self._server = 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        settings = {"DATA": self.data, "ADMIN_PASSWORD": PASSWORD, "DURABILITY": durability}
        command = [*_STRACE, *_filters(), "-o", str(self._log), "sh"]
        environment = {**kept, **{f"HOLDFAST_{name}": str(value) for name, value in settings.items()}}
        with open(scratch / "stderr", "wb") as errors:
            self._shell = subprocess.Popen(
                command, env=environment, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        """What is still there after a failure goes."""
        if self._shell.poll() is None:
            if self._server and runs(self._server):
                self.kill()
            self._shell.communicate(timeout=PATIENCE_S)

    def _tell(self, line: str) -> int:
        """Run a line of shell; it prints one number."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(line.encode() + b"\n")
        self._shell.stdin.flush()
        return int(self._shell.stdout.readline())

    def start(self) -> None:
        """A server; returns when it is ready."""
        offset = len(self._said())
        command = shlex.join(
            [*self._program, "serve", "--listen", f"127.0.0.1:{self.port}", "--workers", str(self._workers)]
        )
        self._server = self._tell(f"{command} </dev/null >>{shlex.quote(str(self._out))} & echo $!")
        until(lambda: self._announced(offset), what="the start")
        until(self._ready, what="readiness")

    def _said(self) -> str:
        return self._out.read_text(encoding="utf-8") if self._out.exists() else ""

    def _announced(self, offset: int) -> bool:
        assert runs(self._server), self.stderr
        found = _ANNOUNCED.search(self._said(), offset)
        self.port = int(found[1]) if found else self.port
        return found is not None

    def _ready(self) -> bool:
        with self.dav() as dav:
            return dav("GET", "/readyz").status == 200

    def dav(self) -> Dav:
        return Dav(self.port, ADMIN, PASSWORD, PATIENCE_S)

    def stop(self) -> None:
        """In order. The trace has a mark before, and one behind."""
        out = shlex.quote(str(self._out))
        orders = f"echo mark stopping >>{out}; kill -TERM {self._server}; wait {self._server}; CODE=$?"
        assert self._tell(f"{orders}; echo mark stopped >>{out}; echo $CODE") == 0, self.stderr

    def kill(self) -> None:
        """Every process of the server at once."""
        pids = [self._server, *children(self._server)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self._tell(f"wait {self._server}; echo $?")
        until(lambda: not any(map(runs, pids)), what="the processes' end")

    def add_user(self, name: str) -> None:
        """By the command, which answers by printing that it is done."""
        command = shlex.join([*self._program, "user", "add", name, "--password-stdin"])
        code = self._tell(f"echo {shlex.quote(PASSWORD)} | {command} >>{shlex.quote(str(self._out))}; echo $?")
        assert code == 0, self.stderr

    def run(self, *command: str) -> None:
        """Any other program."""
        assert self._tell(f"{shlex.join(command)} >&2; echo $?") == 0, self.stderr

    @property
    def stderr(self) -> str:
        return (self._scratch / "stderr").read_text(encoding="utf-8", errors="replace")

    def end(self, before: dict[str, bytes | None] | None = None) -> Recorded:
        """When all servers have stopped. ``before`` is what was below ``scratch`` at the beginning."""
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        assert self._shell.wait(PATIENCE_S) == 0
        assert self._shell.stdout is not None
        self._shell.stdout.close()
        assert "Traceback" not in self.stderr, self.stderr
        return Recorded(str(self._scratch), list(trace.read(self._log)), before)


class Recorded:
    """A trace, what it makes of a disk, and the moments at which somebody was told something."""

    def __init__(self, root: str, log: list[Call], before: dict[str, bytes | None] | None = None) -> None:
        self.root = root
        self.log = log
        self.before = before or {}
        # By the client's port: the moments at which its final answers began to leave.
        self.answers: dict[int, list[int]] = defaultdict(list)
        # By what was printed.
        self.printed: dict[str, list[int]] = defaultdict(list)
        self.end = 1 + max(each.ended for each in log if each.ended != trace.NEVER)
        for each in log:
            if each.name == "sendto":
                self._note_answer(each)
            elif each.name == "write" and each.result > 0:
                self._note_print(each)

    def _note_answer(self, call: Call) -> None:
        connection = _CONNECTION.search(call.arguments[0])
        if connection and call.data.startswith(b"HTTP/1.1 ") and not call.data.startswith(b"HTTP/1.1 1"):
            self.answers[int(connection[1])].append(call.begun)

    def _note_print(self, call: Call) -> None:
        if trace.descriptor(call.arguments[0]) == f"{self.root}/stdout":
            for line in call.data.decode().splitlines():
                self.printed[" ".join(line.split()[:2])].append(call.begun)

    def disk(self, forget: Sequence[str] = ()) -> Disk:
        """As it was written; syncs of paths in which one of ``forget`` is found are left out."""
        disk = Disk(self.root)
        disk.load(self.before)
        for call in self._calls():
            forgotten = (
                call.name in trace.SYNCING
                and call.arguments
                and any(re.search(pattern, trace.descriptor(call.arguments[0])) for pattern in forget)
            )
            if not forgotten:
                disk.apply(call)
        return disk

    def _calls(self) -> Iterator[Call]:
        own = (f"{self.root}/trace", f"{self.root}/stdout", f"{self.root}/stderr")
        for each in self.log:
            if each.opened not in own:
                named = trace.descriptor(each.arguments[0]) if "<" in each.arguments[0] else ""
                if named not in own:
                    yield each

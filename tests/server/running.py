"""A Holdfast server as a user runs it: `holdfast serve` as processes of its own, and the command line beside it."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from appliance import config
from appliance.stores import open_store
from appliance.upkeep.check import check
from tests.server.dav_client import Dav

HOLDFAST = str(Path(sysconfig.get_path("scripts")) / "holdfast")
ADMIN = "admin"
PASSWORD = "a password for tests"
# Generous, since other things may run on the machine; nothing waits for so long when all is well.
PATIENCE_S = 30.0
_ANNOUNCED = re.compile(r"^Holdfast serves .* at https?://127\.0\.0\.1:(\d+)/$", re.MULTILINE)


def free_ports(count: int) -> list[int]:
    """They are used later, so they are none of those that the system gives away meanwhile to whoever asks for any."""
    held: list[socket.socket] = []
    while len(held) < count:
        with suppress(OSError):
            held.append(socket.create_server(("127.0.0.1", 15_000 + secrets.randbelow(17_000))))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def until(condition: Callable[[], bool], seconds: float = PATIENCE_S, what: str = "it") -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


class Server:
    """A data folder with the processes over it; everything lies below ``scratch``.

    ``settings`` are given by environment, without their prefix. The port is the same after a restart. With
    ``trust`` the server speaks https, and clients connect with it.
    """

    def __init__(
        self,
        scratch: Path,
        *,
        workers: int = 2,
        durability: str = "safe",
        settings: Mapping[str, object] | None = None,
        trust: ssl.SSLContext | None = None,
        program: Sequence[str] = (HOLDFAST,),
    ) -> None:
        self.scratch = scratch
        self.data = scratch / "data"
        self.workers = workers
        self.durability = durability
        self.settings = {"admin_password": PASSWORD, **(settings or {})}
        self.trust = trust
        self._program = program
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        # What a test breaks on purpose may be reported; a traceback never.
        self.may_report_errors = False
        for name in ("home", "cwd"):
            (scratch / name).mkdir(exist_ok=True)

    def configure(self, **settings: object) -> None:
        """What the next start and the commands go by; None: as if it had never been set."""
        for name, value in settings.items():
            if value is None:
                self.settings.pop(name, None)
            else:
                self.settings[name] = value

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Returns when the server is ready."""
        # The same one after a restart, so one that nobody gets meanwhile.
        self.port = self.port or free_ports(1)[0]
        offset = len(self.stdout)
        with open(self.scratch / "stdout", "ab") as out, open(self.scratch / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [*self._program, "serve", "--listen", f"127.0.0.1:{self.port}", "--workers", str(self.workers),
                 "--durability", self.durability],
                env=self.environment(), cwd=self.scratch / "cwd", stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        until(lambda: self._announced(offset), what="the start")
        until(self._ready, what="readiness")
        return self

    def _announced(self, offset: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (
            f"the server ended at its start with {self.process.returncode}: {self.stderr}"
        )
        found = _ANNOUNCED.search(self.stdout, offset)
        self.port = int(found[1]) if found else self.port
        return found is not None

    def _ready(self) -> bool:
        with self.dav() as dav:
            return dav("GET", "/readyz").status == 200

    def stop(self, seconds: float = PATIENCE_S) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def kill_all(self) -> None:
        """SIGKILL for the supervisor and every child at once; returns when all are gone."""
        assert self.process is not None
        pids = self.pids()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        until(lambda: not any(map(runs, pids)), what="the processes' end")

    def restart(self) -> None:
        """In order, on the same port."""
        assert self.stop() == 0
        self.start()

    def finish(self) -> None:
        """What has to hold at the end of every test: an orderly stop, a clean store, nothing reported."""
        if self.process is not None and self.process.poll() is None:
            assert self.stop() == 0, self.stderr
        self._require_clean()
        assert "Traceback" not in self.stderr, self.stderr
        assert self.may_report_errors or " ERROR " not in self.stderr, self.stderr

    def _require_clean(self) -> None:
        small = sum(path.stat().st_size for path in self.data.rglob("*") if path.is_file()) < 200_000_000
        settings = config.load(None, self.environment(), {})
        is_mounted = self.data.stat().st_dev != self.scratch.stat().st_dev
        if settings.blobs_folder is not None and not is_mounted:
            # What the command does, without the start of a program, which would be most of its time.
            database, blobs = open_store(settings)
            with closing(database):
                assert check(database, blobs, read_data=small).findings == []
            return
        report = self.holdfast("check", *(["--read-data"] if small else []), succeeds=False, seconds=600)
        assert report.returncode == 0, report.stdout + report.stderr
        assert report.stdout.endswith("clean\n"), report.stdout + report.stderr

    # -- what it says -------------------------------------------------------------------------------------------------

    @property
    def stdout(self) -> str:
        """Of all starts together."""
        return _text(self.scratch / "stdout")

    @property
    def stderr(self) -> str:
        """Of all starts together."""
        return _text(self.scratch / "stderr")

    # -- clients ------------------------------------------------------------------------------------------------------

    def turns(self) -> list[Server]:
        """Whom a client asks, one after the other and again: this one."""
        return [self]

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'http' if self.trust is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where the files are, with a slash at its end."""
        return f"{self.origin}/dav/"

    def dav(
        self, user: str = ADMIN, password: str = PASSWORD, timeout: float = PATIENCE_S, source: str | None = None
    ) -> Dav:
        """A connection of its own, signed in as the administrator unless told otherwise."""
        return Dav(self.port, user, password, timeout, self.trust, source)

    def environment(self) -> dict[str, str]:
        """Of the server and the commands: nothing of the machine's own settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        given = {f"HOLDFAST_{name.upper()}": str(value) for name, value in self.settings.items()}
        return {**kept, "HOME": str(self.scratch / "home"), "HOLDFAST_DATA": str(self.data), **given}

    def holdfast(
        self,
        *arguments: str,
        typed: str = "",
        succeeds: bool = True,
        environment: Mapping[str, str] | None = None,
        seconds: float = 2 * PATIENCE_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command beside the server; ``typed`` is its standard input."""
        result = subprocess.run(
            [HOLDFAST, *arguments], env={**self.environment(), **(environment or {})}, cwd=self.scratch / "cwd",
            input=typed, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert not succeeds or result.returncode == 0, result.stderr
        assert "Traceback" not in result.stderr, result.stderr
        return result

    def add_user(self, name: str, *options: str, password: str = PASSWORD) -> Dav:
        """A new user, and a connection signed in as that user."""
        self.holdfast("user", "add", name, "--password-stdin", *options, typed=f"{password}\n")
        return self.dav(name, password)

    # -- processes ----------------------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """The supervisor and its children."""
        assert self.process is not None
        return [self.process.pid, *children(self.process.pid)]

    def worker_of(self, sock: socket.socket) -> int:
        """The process that accepted a connection, and has answered on it."""
        inode = _accepted_inode(self.port, sock.getsockname()[1])
        for pid in self.pids()[1:]:
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                # Some are closed meanwhile.
                with suppress(FileNotFoundError):
                    if os.readlink(descriptor) == f"socket:[{inode}]":
                        return pid
        raise AssertionError("no process of the server holds the connection")

    def connections_to_all(self, user: str = ADMIN, password: str = PASSWORD) -> dict[int, Dav]:
        """A connection to each worker that has answered a request of this user; by process."""
        found: dict[int, Dav] = {}
        surplus = []
        while len(found) < self.workers:
            assert len(surplus) < 400, f"only {len(found)} of {self.workers} workers ever answer"
            dav = self.dav(user, password)
            assert dav("PROPFIND", "/dav/", headers={"Depth": "0"}).status == 207
            pid = self.worker_of(dav.socket)
            if pid in found:
                surplus.append(dav)
            else:
                found[pid] = dav
        for dav in surplus:
            dav.close()
        return found


def children(pid: int) -> list[int]:
    """The direct children of a process that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            state, parent = _stat(int(entry.name))
            if parent == pid and state != "Z":
                found.append(int(entry.name))
    return sorted(found)


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    return _stat(pid)[0] not in ("", "Z")


def _stat(pid: int) -> tuple[str, int]:
    """State and parent; an empty state if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "", 0
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


def _accepted_inode(server_port: int, client_port: int) -> str:
    """The server's end of a connection on loopback."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        ports = [int(address.rpartition(":")[2], 16) for address in fields[1:3]]
        if ports == [server_port, client_port]:
            return fields[9]
    raise AssertionError("the connection is not known to the kernel")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

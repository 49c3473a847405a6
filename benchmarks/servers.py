"""Server processes on 127.0.0.1: started with a folder and a port of their own, stopped by their pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.failures import NotAvailable, WrongAnswer
from benchmarks.wire import Answer, Connection, Endpoint

HOST = "127.0.0.1"
USER = "bench"
PASSWORD = "bench-password-1"

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Place:
    """Where a server lives: ``folder`` is its own, and everybody may enter it; ``files`` is what it serves."""

    folder: Path
    port: int

    @property
    def files(self) -> Path:
        return self.folder / "files"

    def make(self) -> None:
        for folder in (self.folder, self.files):
            folder.mkdir()
            folder.chmod(0o755)


class Ports:
    """Free ports, counted upwards."""

    def __init__(self, first: int) -> None:
        self._next = first

    def take(self) -> int:
        """A port that nobody listens on."""
        while True:
            port, self._next = self._next, self._next + 1
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    continue
                return port


@dataclass
class Server:
    """A running server; a context, stopped at its end. ``label`` names program, version and what was configured."""

    name: str
    label: str
    endpoint: Endpoint
    process: subprocess.Popen[bytes]
    log: Path = field(repr=False)
    # Monotonic; and the seconds from then until it was ready, where that is asked for.
    started_at: float = field(default_factory=time.monotonic)
    ready_s: float = 0.0

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self) -> None:
        """Until it accepts connections.

        Raises:
            NotAvailable: it ended, or it does not listen in time.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            if self.process.poll() is not None:
                raise NotAvailable(f"{self.name} ended at its start: {self._last_words()}")
            try:
                socket.create_connection((self.endpoint.host, self.endpoint.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise NotAvailable(f"{self.name} did not listen within {_PATIENCE_S:.0f} s") from None
                time.sleep(0.005)

    def stop(self) -> None:
        """In order; what does not end is killed, with all of its session."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(45)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def _last_words(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return text.splitlines()[-1] if text else f"exit code {self.process.returncode}, no message"


def launch(
    name: str,
    label: str,
    place: Place,
    command: Sequence[str],
    *,
    prefix: str = "",
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Start a server without waiting for it."""
    log = place.folder / "log"
    started_at = time.monotonic()
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command,
            cwd=place.folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Server(name, label, Endpoint(HOST, place.port, prefix, USER, PASSWORD), process, log, started_at)


def try_get(endpoint: Endpoint, target: str) -> Answer | None:
    """A GET outside of the endpoint's prefix; None if no answer comes."""
    try:
        with Connection(endpoint._replace(prefix="")) as connection:
            return connection.request("GET", target)
    except WrongAnswer:
        return None

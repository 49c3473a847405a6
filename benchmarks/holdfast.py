"""Holdfast as a user runs it: `holdfast serve` with its defaults, over a data folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.failures import NotAvailable
from benchmarks.servers import HOST, PASSWORD, USER, Place, Server, launch, try_get

_PATIENCE_S = 120.0


def program() -> list[str]:
    """The installed command, or the module where there is none."""
    script = Path(sysconfig.get_path("scripts")) / "holdfast"
    return [str(script)] if script.exists() else [sys.executable, "-m", "appliance.cli.main"]


def version() -> str:
    """Of the program, without its name."""
    done = subprocess.run([*program(), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().removeprefix("holdfast ")


def start(
    place: Place,
    *,
    durability: str = "fast",
    data: Path | None = None,
    workers: int | None = None,
    command: Sequence[str] = (),
    name: str = "holdfast",
    settings: Mapping[str, str] | None = None,
) -> Server:
    """Start it and wait until it is ready. ``data``: an existing data folder instead of a new one.

    ``workers``, ``command`` (in place of `holdfast`) and ``settings`` (variables): to measure Holdfast alone.
    """
    label = f"Holdfast {version()}, durability {durability}"
    arguments = ["serve", "--listen", f"{HOST}:{place.port}", "--durability", durability]
    if workers is not None:
        arguments += ["--workers", str(workers)]
    environment = {
        "HOLDFAST_DATA": str(data or place.folder / "data"),
        "HOLDFAST_ADMIN_USER": USER,
        "HOLDFAST_ADMIN_PASSWORD": PASSWORD,
        "HOLDFAST_CONFIG": "",
        **(settings or {}),
    }
    if command:
        # A server runs in a folder of its own, where this package would not be found.
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    server = launch(name, label, place, [*(command or program()), *arguments], prefix="/dav", environment=environment)
    try:
        until_ready(server)
    except BaseException:
        # Also Ctrl-C: nobody else knows of the server yet.
        server.stop()
        raise
    return server


def until_ready(server: Server) -> None:
    """Wait until /readyz answers 200, and note how long that took since the start.

    Raises:
        NotAvailable: it ended, or is not ready in time.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        server.wait()
        answer = try_get(server.endpoint, "readyz")
        if answer is not None and answer.status == 200:
            server.ready_s = time.monotonic() - server.started_at
            return
        if time.monotonic() > deadline:
            raise NotAvailable(f"{server.name} was not ready within {_PATIENCE_S:.0f} s")
        time.sleep(0.005)


def command_line(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `holdfast` command over a data folder."""
    return subprocess.run(
        [*program(), *arguments],
        env={"HOLDFAST_DATA": str(data), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

"""A desktop session without a desktop: a D-Bus of its own, for programs that talk to services over it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.server.programs import find
from tests.server.running import PATIENCE_S, runs, until

_SESSION = ("DBUS_", "DISPLAY", "WAYLAND_", "XDG_", "KDE", "QT_", "GIO_", "GVFS_")


class Desktop:
    """Runs programs in a session of their own, and ends what services these have started."""

    def __enter__(self) -> Desktop:
        # Short, since sockets are made below it, whose paths are limited to 107 bytes.
        self.home = Path(tempfile.mkdtemp(prefix="holdfast-"))
        for name in ("run", ".config", "tmp"):
            (self.home / name).mkdir(mode=0o700)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_SESSION)}
        self._environment = {
            **kept,
            "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home / "run"), "TMPDIR": str(self.home / "tmp"),
            "LC_ALL": "C.UTF-8", "QT_QPA_PLATFORM": "offscreen",
            "GIO_USE_VOLUME_MONITOR": "unix", "GVFS_DISABLE_FUSE": "1",
        }  # fmt: skip
        program = find("dbus-daemon")
        assert program is not None
        self._bus = subprocess.Popen(
            [program, "--session", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self._environment,
        )  # fmt: skip
        assert self._bus.stdout is not None
        self._environment["DBUS_SESSION_BUS_ADDRESS"] = self._bus.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._bus.stdout is not None
        self._bus.stdout.close()
        self._bus.terminate()
        self._bus.wait(PATIENCE_S)
        left = self._services()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(AssertionError):
                until(lambda: not any(map(runs, left)), 5, "the services' end")
        shutil.rmtree(self.home, ignore_errors=True)

    def _services(self) -> list[int]:
        """Processes that run with this session's own folder in their environment."""
        mark = f"XDG_RUNTIME_DIR={self.home / 'run'}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def __call__(self, *command: str, typed: bytes = b"", succeeds: bool = True, seconds: float = PATIENCE_S) -> bytes:
        """What a program prints; it has to succeed, or has to fail."""
        result = subprocess.run(
            command,
            input=typed,
            capture_output=True,
            env=self._environment,
            cwd=self.home,
            timeout=seconds,
            check=False,
        )
        assert (result.returncode == 0) == succeeds, (command, result.returncode, result.stdout, result.stderr)
        return result.stdout

"""A private PostgreSQL server for one test process, from the programs that the distribution installs.

It has a folder and a socket of its own, so that any number of them run side by side; under pytest-xdist each worker
starts its own when the first test wants it. ``HOLDFAST_TEST_POSTGRESQL`` names a server to be used instead: a URL of
a database on it, of a role that may create databases.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "HOLDFAST_TEST_POSTGRESQL"

_PREFIX = "holdfast-postgresql-"

# Its data need to survive nothing.
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "deadlock_timeout": "100ms",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class NotInstalled(Exception):
    """There is no server to test with; the text says why."""


@contextmanager
def server() -> Iterator[str]:
    """The URL of the maintenance database of a running server; a private one ends with the context.

    Raises:
        NotInstalled: PostgreSQL, or the user that it has to run as, is not there.
    """
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    with private_server() as private:
        yield private.url


@contextmanager
def private_server(**options: str) -> Iterator[PrivateServer]:
    """One that nobody else uses, so that it can be stopped; ``options`` are settings of its own.

    Raises:
        NotInstalled: as above.
    """
    programs = _programs()
    user = _user()
    _stop_abandoned(programs, user)
    with _started(programs, user, _OPTIONS | options) as private:
        yield private


@contextmanager
def replica(of: PrivateServer) -> Iterator[PrivateServer]:
    """A standby that follows another server and answers reads."""
    with _started(_programs(), _user(), _OPTIONS, of=of) as private:
        yield private


@contextmanager
def _started(
    programs: Path, user: str | None, options: dict[str, str], *, of: PrivateServer | None = None
) -> Iterator[PrivateServer]:
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        private = PrivateServer(programs, user, folder, options, of=of)
        private.start()
        try:
            yield private
        finally:
            private.wake()
            private.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PrivateServer:
    """Comes and goes; its data stay, whatever was stopped in the middle."""

    def __init__(
        self,
        programs: Path,
        user: str | None,
        folder: Path,
        options: dict[str, str],
        *,
        of: PrivateServer | None = None,
    ) -> None:
        self._options = options
        self._programs = programs
        self._user = user
        self._folder = folder
        self._data = folder / "data"
        self._runs = False
        self._asleep: list[int] = []
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        if of is not None:
            copy = ("-h", of._folder, "-U", "postgres", "-c", "fast", "-R", "--no-sync")
            _run(user, programs / "pg_basebackup", "-D", self._data, *copy)
            return
        how = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", *_order(programs))
        _run(user, programs / "initdb", "-D", self._data, *how)

    def start(self) -> None:
        """Returns when it answers."""
        options = " ".join(f"-c {name}='{value}'" for name, value in self._options.items())
        self._control("-l", self._folder / "log", "-o", f"{options} -k {self._folder}", "start")
        self._runs = True

    def stop(self, mode: str) -> None:
        """``fast``: sessions are told and end; ``immediate``: all processes end at once."""
        if self._runs:
            self._runs = False
            self._control("-m", mode, "stop")

    def sleep(self) -> None:
        """All its processes stop where they are; the kernel goes on to take what is sent to them."""
        main = int((self._data / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
        os.kill(main, signal.SIGSTOP)
        self._asleep = [main, *children(main)]
        for pid in self._asleep:
            os.kill(pid, signal.SIGSTOP)

    def wake(self) -> None:
        """They go on."""
        for pid in self._asleep:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._asleep = []

    def _control(self, *arguments: str | Path) -> None:
        _run(self._user, self._programs / "pg_ctl", "-D", self._data, "-w", "-s", *arguments)


def children(pid: int) -> list[int]:
    """Of a process, those that it started itself."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(number) for number in listed.split()]


def _stop_abandoned(programs: Path, user: str | None) -> None:
    """Stop the servers of test processes that were killed; the number of the process is in the folder's name."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not number.isdigit() or _runs(int(number)) or not os.access(folder, os.W_OK):
            continue
        try:
            _run(user, programs / "pg_ctl", "-D", folder / "data", "-w", "-s", "-m", "immediate", "stop")
        except RuntimeError:
            pass  # it does not run any more
        shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _programs() -> Path:
    """The folder of the newest version's programs."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not folders:
        raise NotInstalled(f"PostgreSQL is not installed (Debian: postgresql), and {VARIABLE} names no server")
    return max(folders, key=lambda path: float(path.parent.name))


def _user() -> str | None:
    """Whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError as error:
        raise NotInstalled("PostgreSQL does not run as root, and there is no user postgres") from error


def _order(programs: Path) -> list[str]:
    """Text in the order of a language, as on most servers: what relies on the order of bytes is found here."""
    described = subprocess.run([programs / "initdb", "--help"], capture_output=True, text=True, check=True).stdout
    icu = ["--locale-provider=icu", "--icu-locale=und"] if "--icu-locale" in described else []
    return ["--locale=C", *icu]


def _run(user: str | None, *command: str | Path) -> None:
    # The server inherits the output; a pipe would stay open for as long as it lives.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [str(part) for part in command],
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            check=False,
        )
        output.seek(0)
        if done.returncode != 0:
            raise RuntimeError(f"{Path(command[0]).name} failed: {output.read().decode(errors='replace')}")

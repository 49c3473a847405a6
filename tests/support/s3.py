"""S3 servers for tests: real ones, started when the first test wants one, each with a port and a folder of its own.

MinIO and versitygw are built by ``dev.py`` into the user's cache folder; rclone counts if it can serve S3; where
neither MinIO nor versitygw is there, moto's server stands in. ``HOLDFAST_TEST_S3`` names a store to be used besides, as
``blobs_url`` does, with its keys in ``HOLDFAST_TEST_S3_ACCESS_KEY`` and ``HOLDFAST_TEST_S3_SECRET_KEY`` (or the
variables of AWS).
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import urllib3
from minio import Minio
from minio.error import MinioException, ServerError

from appliance.backends.s3 import Again, S3Backend, once
from appliance.backends.s3_client import Limits
from appliance.backends.s3_place import Credentials, Place, parse_place, read_credentials
from appliance.backends.s3_presign import Presigner

VARIABLE = "HOLDFAST_TEST_S3"
BUCKET = "holdfast-tests"
CREDENTIALS = Credentials("holdfast-tests", "not-a-secret-of-anybody")
REGION = "us-east-1"
DOMAIN = "s3.test"
"""Hosts below it are buckets, to MinIO."""

KMS_KEY = "holdfast-key"
_READY_WITHIN = 60.0


def tools() -> Path:
    """Where dev.py puts the servers that it builds."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "holdfast-tests" / "bin"


@functools.cache
def program(name: str) -> str | None:
    """The path of a server's program."""
    found = [path for path in (shutil.which(name), shutil.which(name, path=tools())) if path is not None]
    return next((path for path in found if name != "rclone" or _serves_s3(path)), None)


def _serves_s3(rclone: str) -> bool:
    command = [rclone, "serve", "s3", "--help"]
    told = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).stdout
    # Older ones know `serve` and take the s3 for something to ignore: only its own flags tell.
    return b"--force-path-style" in told


@functools.cache
def absent() -> dict[str, str]:
    """The servers that there are no tests with here, and why."""
    reasons = {}
    for name in ("minio", "versitygw"):
        if program(name) is None:
            reasons[name] = f"{name} is not built (python3 dev.py setup does it where there is Go)"
    if program("rclone") is None:
        reasons["rclone"] = "rclone is not installed, or its version cannot serve S3 (1.65 and newer can)"
    if not {"minio", "versitygw"} <= set(reasons):
        reasons["moto"] = "moto only stands in where no real server is"
    elif importlib.util.find_spec("moto") is None:
        reasons["moto"] = "moto[server] is not installed"
    if not os.environ.get(VARIABLE):
        reasons["given"] = f"{VARIABLE} names no store"
    return reasons


LIMITS = {
    "rclone": {
        "test_delete_removes_and_may_be_repeated": "rclone fails to delete a name that is a folder of others",
        "test_threads_do_not_disturb_each_other": "rclone fails while others empty the folder of a name",
        "test_full_store_is_storage_full": "rclone does not tell a full disk from other failures",
        "test_bytes_that_change_on_the_way_to_the_store_are_not_stored": "rclone compares no SHA-256 (use TLS)",
    },
    "moto": {
        "test_wrong_key_is_told_by_every_call": "moto looks at no keys",
        "test_url_gives_its_range_and_no_other_byte": "moto looks at no keys",
        "test_url_expires": "moto looks at no keys",
    },
}
"""What a server is known not to do, by the names of tests; docs/s3.md tells it too."""

NAMES = ("minio", "versitygw", "rclone", "moto", "given")


def present() -> list[str]:
    """The servers to test with."""
    return [name for name in NAMES if name not in absent()]


class Server:
    """One that is given; those that are started derive from it."""

    def __init__(self, name: str, place: Place, credentials: Credentials) -> None:
        self.name = name
        self.place = place
        self.credentials = credentials

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def backend(
        self,
        prefix: str = "",
        *,
        limits: Limits | None = None,
        again: Again = once,
        scratch: Path | None = None,
        presigns: bool = False,
    ) -> S3Backend:
        """An empty one, below a prefix that nobody else has. ``presigns``: it gives URLs."""
        place = self.place._replace(prefix=f"{self.place.prefix}{prefix or secrets.token_hex(6)}/")
        presigner = Presigner(place, self.credentials) if presigns else None
        return S3Backend(place, self.credentials, limits=limits, again=again, scratch=scratch, presigner=presigner)

    def client(self) -> Minio:
        """Another client of the store, without repetitions."""
        return Minio(
            self.place.host,
            access_key=self.credentials.access_key,
            secret_key=self.credentials.secret_key,
            secure=self.place.secure,
            region=self.place.region,
            http_client=urllib3.PoolManager(timeout=20.0, retries=False),
        )


class Running(Server):
    """A server that this process started, below ``folder``."""

    def __init__(
        self, name: str, folder: Path, *, variables: Mapping[str, str] | None = None, tls: Path | None = None
    ) -> None:
        """``tls`` (MinIO): the folder of its certificate and key."""
        self.folder = folder
        self.port = _free_port()
        self._tls = tls
        self._variables = dict(variables or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()
        endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        super().__init__(name, Place(BUCKET, endpoint=endpoint, region=REGION), CREDENTIALS)

    def __enter__(self) -> Self:
        self.start()
        self.make_bucket()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def make_bucket(self) -> None:
        """As soon as it answers, to strangers as well: MinIO knows nobody but its owner for a moment."""
        self._until(self._make_bucket)
        self._until(self._knows_strangers)

    def start(self) -> None:
        """Start it, again after ``kill``, with the same port and folder; it may not answer yet."""
        self.folder.mkdir(exist_ok=True)
        with self._changing:
            self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command, variables = _COMMANDS[self.name](self)
        # A server must not outlive tests that are killed. It dies with the thread that started it.
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            return subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder.parent,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder.parent), **variables, **self._variables},
            )

    def ready(self) -> None:
        """Return when it answers."""
        self._until(lambda: self.client().bucket_exists(BUCKET))

    def kill(self) -> None:
        """As a power cut does: at once, and nothing is tidied up."""
        with self._changing:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None

    def suspend(self) -> None:
        """It keeps its connections and answers none; returns when each of its threads stands still."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        while tasks.is_dir() and any(_state(task) not in "TtZX" for task in tasks.iterdir()):
            time.sleep(0.01)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _make_bucket(self) -> bool:
        self.client().make_bucket(BUCKET)
        return True

    def _knows_strangers(self) -> bool:
        stranger = Server(self.name, self.place, Credentials("a-stranger", "not-a-secret-of-anybody"))
        try:
            stranger.client().bucket_exists(BUCKET)
        except ServerError:
            return False
        except MinioException:
            pass
        return True

    def _until(self, works: Callable[[], bool]) -> None:
        until = time.monotonic() + _READY_WITHIN
        while True:
            assert self._process is not None
            assert self._process.poll() is None, f"{self.name} ended: {self._log()}"
            try:
                if works():
                    return
            except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
                assert time.monotonic() < until, f"{self.name} does not answer ({error}): {self._log()}"
            time.sleep(0.05)

    def _log(self) -> str:
        return (self.folder.parent / f"{self.folder.name}.log").read_text(errors="replace")[-2000:]

    @property
    def tls_folder(self) -> Path | None:
        return self._tls


def _minio(server: Running) -> tuple[list[str], dict[str, str]]:
    key = base64.b64encode(bytes(range(32))).decode()
    variables = {
        "MINIO_ROOT_USER": CREDENTIALS.access_key,
        "MINIO_ROOT_PASSWORD": CREDENTIALS.secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_DOMAIN": DOMAIN,
        "MINIO_KMS_SECRET_KEY": f"{KMS_KEY}:{key}",
    }
    command = [str(program("minio")), "server", str(server.folder), "--address", f"127.0.0.1:{server.port}", "--quiet"]
    return command + (["--certs-dir", str(server.tls_folder)] if server.tls_folder else []), variables


def _versitygw(server: Running) -> tuple[list[str], dict[str, str]]:
    variables = {"ROOT_ACCESS_KEY": CREDENTIALS.access_key, "ROOT_SECRET_KEY": CREDENTIALS.secret_key}
    address = f"127.0.0.1:{server.port}"
    return [str(program("versitygw")), "--port", address, "posix", str(server.folder)], variables


def _rclone(server: Running) -> tuple[list[str], dict[str, str]]:
    keys = f"{CREDENTIALS.access_key},{CREDENTIALS.secret_key}"
    address = f"127.0.0.1:{server.port}"
    return [str(program("rclone")), "serve", "s3", str(server.folder), "--addr", address, "--auth-key", keys], {}


def _moto(server: Running) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(server.port)], {}


_COMMANDS = {"minio": _minio, "versitygw": _versitygw, "rclone": _rclone, "moto": _moto}


def server(name: str, folder: Path) -> Server:
    """The server of this name; to be entered before it is used."""
    if name != "given":
        return Running(name, folder / "objects")
    own = {
        variable.removeprefix(f"{VARIABLE}_").join(("HOLDFAST_S3_", "")): value
        for variable, value in os.environ.items()
        if variable.startswith(f"{VARIABLE}_")
    }
    return Server(name, parse_place(os.environ[VARIABLE]), read_credentials({**os.environ, **own}))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _state(task: Path) -> str:
    """One letter, as proc_pid_stat(5) has them; the name before it may hold anything."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]

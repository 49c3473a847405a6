"""A first start that is killed: the next one makes the store whole, whatever was there by then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import config
from appliance.accounts import passwords
from appliance.chunks import identity
from appliance.db.sql import Sql
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import prepare_store
from appliance.stores import open_store
from appliance.upkeep.check import check

POINTS = 12

# Ends itself before the step of the given number (0: never): a call that changes a file or the database.
_PROGRAM = """
import os, signal, sys
from appliance import config
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import prepare_store

FILES = {"mkdir", "open", "flock", "rename", "fsync", "fdatasync", "write", "chmod", "unlink"}
ROWS = {"connect", "execute", "executemany", "commit", "close"}
last = int(sys.argv[1])
steps = 0

def watch(frame, event, call):
    global steps
    if event != "c_call":
        return
    of = getattr(call, "__self__", None)
    of_files = getattr(call, "__module__", None) in ("posix", "fcntl") and call.__name__ in FILES
    of_rows = "sqlite3" in (type(of).__module__, getattr(call, "__module__", None)) and call.__name__ in ROWS
    if of_files or of_rows:
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

os.umask(0o077)
settings = config.load(None, os.environ, {})
sys.setprofile(watch)
hold_folder(settings.data)
prepare_store(settings, tell=lambda message: print(message, flush=True))
sys.setprofile(None)
print(steps, file=sys.stderr)
"""


def first_start(data: Path, last: int) -> subprocess.CompletedProcess[str]:
    """Prepare a store in a process of its own, up to a step."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    # Compiled modules that are written or not would be counted.
    environment = {**kept, "HOLDFAST_DATA": str(data), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(last)],
        env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many there are in a whole first start."""
    result = first_start(tmp_path_factory.mktemp("whole") / "data", 0)
    assert result.returncode == 0, result.stderr
    return int(result.stderr)


@pytest.fixture
def umask() -> Iterator[None]:
    """The one that the command sets."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def require_whole_after(data: Path, step: int) -> None:
    """Kill before the step, start again, and look at everything."""
    killed = first_start(data, step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    told = [killed.stdout]
    settings = config.load(None, {"HOLDFAST_DATA": str(data)}, {})
    claim = hold_folder(data)
    try:
        prepare_store(settings, tell=told.append)
        database, backend = open_store(settings)
        assert check(database, backend, read_data=True).findings == []
        assert len(identity.recognize(database, backend).store_id) == 32
        with database.read() as session:
            ((name, password_hash),) = session.rows(Sql('SELECT name, password_hash FROM "user"'))
        database.close()
    finally:
        os.close(claim)
    assert name == "admin"
    # The last one that was told is the one that was set.
    password = "".join(told).rpartition("password ")[2].split()[0]
    assert passwords.verify(password, password_hash)
    assert data.stat().st_mode & 0o777 == 0o700
    assert list((data / "partial").iterdir()) == []


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("point", range(POINTS))
def test_first_start_that_is_killed_is_made_whole_by_the_next(tmp_path: Path, steps: int, point: int) -> None:
    """One store, one administrator with a password that was told, no finding; points all over the start."""
    assert steps > 40
    require_whole_after(tmp_path / "data", 1 + point * (steps - 1) // (POINTS - 1))


@pytest.mark.soak
@pytest.mark.usefixtures("umask")
def test_first_start_that_is_killed_at_any_step_is_made_whole(tmp_path: Path, steps: int) -> None:
    """The same at every one of them."""
    for step in range(1, steps + 1):
        require_whole_after(tmp_path / str(step), step)

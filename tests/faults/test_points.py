"""The points themselves: named once, cheap when off, and not to be armed by mistake."""

from __future__ import annotations

import ast
import errno
import os
import sqlite3
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import config, faults
from appliance.config import testing
from appliance.errors import ConfigError
from appliance.faults import POINTS, Fault, Trap

ROOT = Path(__file__).parents[2]
ALLOWED = {"HOLDFAST_TEST_FAULTS": "allowed"}


def points_in_the_code() -> Iterator[str]:
    """What is passed to ``faults.point``, from every source of the product."""
    for package in ("appliance", "providers", "admin_ui"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "faults.point":
                    (name,) = node.args
                    assert isinstance(name, ast.Constant), path
                    yield str(name.value)


def test_points_of_the_code_are_those_that_are_listed() -> None:
    """A point that no list names would be broken by nobody."""
    assert set(points_in_the_code()) == set(POINTS)


def test_points_of_the_page_are_those_that_are_listed() -> None:
    """With who fails there, in the same order."""
    fails = {"the system": "system", "SQLite": "database", "memory": "memory"}
    lines = (ROOT / "docs" / "design" / "faults.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    assert [(name.strip("`"), fails[who]) for name, who, _ in rows] == list(POINTS.items())


def test_point_that_is_not_armed_costs_next_to_nothing() -> None:
    """In nanoseconds: about 30 on an idle machine."""
    took = min(timeit.repeat("point('blob.sync')", "from appliance.faults import point", repeat=40, number=5_000))
    print(f"{took / 5_000 * 1e9:.0f} ns a call")
    assert took / 5_000 < 200e-9


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("blob.sync:1", Fault("blob.sync", 1, "EIO")),
        (" *:60000:kill ", Fault("*", 60_000, "kill")),
        ("commit.commit:3:ENOSPC", Fault("commit.commit", 3, "ENOSPC")),
    ],
)
def test_fault_is_read_as_it_is_written(text: str, fault: Fault) -> None:
    """A name, a number, and what happens."""
    assert Fault.parse(text) == fault
    assert config.fault({**ALLOWED, "HOLDFAST_FAULT": text}) == fault


@pytest.mark.parametrize(
    "text", ["blob", "blob.sync", "blob.sync:", "blob.sync:0", "*:60001", "*:1:stop", "*:x", "nothing:1", "*:-1"]
)
def test_fault_that_is_none_is_refused_in_one_line(text: str) -> None:
    """With the variable and what is wrong."""
    with pytest.raises(ConfigError) as caught:
        config.fault({**ALLOWED, "HOLDFAST_FAULT": text})
    assert str(caught.value).startswith("HOLDFAST_FAULT: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("allowed", [{}, {"HOLDFAST_TEST_FAULTS": "yes"}])
def test_fault_that_nobody_allowed_is_no_setting(allowed: dict[str, str]) -> None:
    """A stray variable keeps a server from starting, as any unknown setting does; it never arms it."""
    environ = {**allowed, "HOLDFAST_FAULT": "*:1:kill"}
    assert config.fault(environ) is None
    with pytest.raises(ConfigError, match="HOLDFAST_FAULT: there is no such setting"):
        config.load(None, environ, {})


def test_fault_outside_of_a_checkout_is_never_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed program has no fault tests beside it."""
    environ = {**ALLOWED, "HOLDFAST_FAULT": "*:1:kill"}
    config.load(None, environ, {})
    monkeypatch.setattr(testing, "_CHECKOUT", tmp_path)
    assert config.fault(environ) is None
    with pytest.raises(ConfigError, match="there is no such setting"):
        config.load(None, environ, {})


def passes(trap: Trap, *names: str) -> list[str]:
    """The names at which something was raised."""
    failed = []
    with faults.hooked(trap):
        for name in names:
            try:
                faults.point(name)
            except (OSError, MemoryError, sqlite3.Error):
                failed.append(name)
    return failed


def test_trap_lets_the_passage_that_it_names_fail_once() -> None:
    """The second of its point, whatever else is passed; nothing after it."""
    trap = Trap(Fault("blob.sync", 2, "EIO"))
    assert passes(trap, "blob.sync", "blob.open", "blob.open") == []
    assert passes(trap, "blob.sync", "blob.sync", "blob.sync") == ["blob.sync"]
    assert trap.fired_at == "blob.sync"
    trap.close()


def test_trap_for_any_point_counts_all() -> None:
    """Over all names."""
    trap = Trap(Fault("*", 3, "EIO"))
    assert passes(trap, "blob.open", "blob.sync", "pack.begin", "blob.open") == ["pack.begin"]
    trap.close()


def test_trap_counts_over_forked_processes() -> None:
    """The second passage fails wherever it is, and does not fail again in whoever comes after."""
    trap = Trap(Fault("blob.open", 2, "EIO"))
    codes = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            os._exit(len(passes(trap, "blob.open")))
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    assert codes == [0, 1, 0]
    trap.close()


def test_error_of_a_point_is_the_one_that_would_be_raised_there() -> None:
    """So that it is handled as the real one."""
    full = faults.error_at("blob.write", "ENOSPC")
    assert isinstance(full, OSError)
    assert full.errno == errno.ENOSPC
    broken = faults.error_at("sql.statement", "EIO")
    assert isinstance(broken, sqlite3.OperationalError)
    assert broken.sqlite_errorcode == sqlite3.SQLITE_IOERR
    assert isinstance(faults.error_at("chunk.hash", "EIO"), MemoryError)

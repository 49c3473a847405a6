"""The comparison itself, as small as it gets: Holdfast alone, two workloads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compare import known_peers
from benchmarks.peers import PEERS
from benchmarks.suite import BY_NAME, chosen

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_compare_of_holdfast_alone_measures_and_reports(tmp_path: Path) -> None:
    """Figures, cost, a report, and every process gone at the end."""
    target = tmp_path / "results.json"
    done = bench(
        "compare", "--quick", "--peers", "none", "--only", "put_small_c1,get_large", "--json", str(target),
        "--scratch", str(tmp_path), "--port", "18380",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| PUT of 4096 bytes, new file each, one connection | requests/s |" in done.stdout
    found = json.loads(target.read_text(encoding="utf-8"))
    assert set(found["values"]["holdfast"]) == {"put_small_c1", "get_large"}
    assert all(len(runs) == 1 and runs[0] > 0 for runs in found["values"]["holdfast"].values())
    assert all(cost["peak_mib"] > 10 for costs in found["costs"]["holdfast"].values() for cost in costs)
    # Servers' folders are gone, and with them the servers: they hold them until their end.
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_bench_called_wrongly_says_what_there_is() -> None:
    """One line, no traceback."""
    for arguments in (["compare", "--only", "nonsense"], ["compare", "--peers", "nginx"], ["profile", "nonsense"]):
        done = bench(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("benchmarks: no ")
        assert "Traceback" not in done.stderr


def test_chosen_workloads_keep_the_suites_order() -> None:
    """Whatever order they were asked for in."""
    assert [each.name for each in chosen({"mkcol", "put_large"}, ())] == ["put_large", "mkcol"]
    assert [each.name for each in chosen((), set(BY_NAME) - {"get_range"})] == ["get_range"]


def test_peers_are_chosen_by_name() -> None:
    """And none is a choice."""
    assert known_peers("rclone,apache") == ["rclone", "apache"]
    assert known_peers("none") == []
    assert known_peers(",".join(PEERS)) == list(PEERS)
    with pytest.raises(ValueError, match="nginx"):
        known_peers("nginx")

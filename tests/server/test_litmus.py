"""litmus, the WebDAV conformance suites that Debian packages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.programs import needs
from tests.server.running import ADMIN, PASSWORD

SUITES = ["basic", "copymove", "props", "locks", "http"]
_SUMMARY = re.compile(r"<- summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed")


@needs("litmus")
@pytest.mark.parametrize("workers", [1, 4])
def test_litmus_passes_whatever_the_number_of_workers(start: Start, tmp_path: Path, workers: int) -> None:
    """All suites run, each test of them passes, and none ends with a warning."""
    server = start(workers=workers)
    command = ["litmus", "-k", server.url, ADMIN, PASSWORD]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    require_all_passed(result.stdout)


def require_all_passed(told: str) -> None:
    """All suites ran, each test of them passed, and none ended with a warning."""
    summaries = {suite: (int(run), int(passed)) for suite, run, passed, _ in _SUMMARY.findall(told)}
    assert list(summaries) == SUITES, told
    assert all(run == passed > 0 for run, passed in summaries.values()), told
    assert "FAIL" not in told, told
    assert "WARNING" not in told, told

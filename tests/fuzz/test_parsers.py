"""Every parser of what a stranger sends: it refuses clearly, or takes what makes sense."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.changes import changed
from tests.fuzz.targets import TARGETS, Target

FOUND = Path(__file__).parent / "found"
"""Inputs that once broke a parser, a folder for each target."""

_MOST_S = 0.5


def inputs(name: str, target: Target, count: int) -> Iterator[bytes]:
    """What was found before, what clients send, and ``count`` neighbours of both."""
    known = [path.read_bytes() for path in sorted((FOUND / name).glob("*"))]
    known += target.seeds
    yield from known
    chance = random.Random(name)
    for _ in range(count):
        yield changed(chance.choice(known), chance)


@pytest.mark.parametrize("name", TARGETS)
def test_parser_refuses_clearly_or_takes_what_makes_sense(name: str) -> None:
    """Also soon: no input of a few hundred bytes takes long."""
    target = TARGETS[name]
    for data in inputs(name, target, 1500):
        began = time.thread_time()
        target.check(data)
        assert time.thread_time() - began < _MOST_S, data


@pytest.mark.soak
@pytest.mark.parametrize("name", TARGETS)
def test_parser_guided_by_its_coverage(name: str, tmp_path: Path) -> None:
    """A minute each, and more with HOLDFAST_TEST_FUZZ_SECONDS: what it finds is kept in ``found``."""
    pytest.importorskip("atheris", reason="coverage-guided fuzzing needs atheris")
    seconds = int(os.environ.get("HOLDFAST_TEST_FUZZ_SECONDS", "60"))
    program = [sys.executable, "-m", "tests.fuzz.guided", name, str(tmp_path), str(seconds)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120 + 2 * seconds)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "Done " in done.stderr

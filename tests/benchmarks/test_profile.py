"""The profiler: what it charges to whom, and how that is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.profiling import render
from benchmarks.steps import REQUEST

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys, threading, time
from pathlib import Path
from benchmarks.profiled import ON, Sampler
from benchmarks.steps import StepClock

control = Path(sys.argv[1])
Sampler(control, StepClock()).start()
(control / ON).touch()
time.sleep(0.2)
end = time.monotonic() + 0.8

def computes():
    while time.monotonic() < end:
        sum(range(1000))

def waits():
    time.sleep(0.8)

threads = [threading.Thread(target=each) for each in (computes, waits)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
(control / ON).unlink()
while not list(control.glob("*.json")):
    time.sleep(0.01)
"""


def test_sampler_charges_those_who_compute(tmp_path: Path) -> None:
    """A thread that waits costs nothing, however often it is seen."""
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, check=True, timeout=60)
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    charged = {"computes": 0, "waits": 0}
    for stack, ns in found["stacks"]:
        for name in charged:
            charged[name] += ns if f"__main__:{name}" in stack else 0
    assert charged["computes"] > 20 * charged["waits"]
    assert charged["computes"] > 0.5 * found["cpu_ns"]


def test_profile_divides_by_the_requests_that_were_answered() -> None:
    """Figures are for one request; steps that were not taken are left out."""
    text = render("t", "c", {
        "cpu_ns": 4_000_000,
        "stacks": [[["a:outer", "a:inner"], 3_000_000], [["a:outer"], 1_000_000]],
        "steps": {REQUEST: [[500_000, 700_000], [100_000, 300_000]], "signed in": [[], []]},
    })  # fmt: skip
    assert "2 requests, 0.00 s of processor time, 2,000 us a request" in text
    lines = [line.split() for line in text.splitlines()]
    assert [*REQUEST.split(), "2", "600.0", "200.0", "200.0"] in lines
    assert "signed in" not in text
    assert next(line for line in lines if line[-1:] == ["a:inner"])[:3] == ["75.0", "%", "1,500.0"]
    assert [line for line in lines if line[-1:] == ["a:outer"]][-1][:3] == ["100.0", "%", "2,000.0"]

"""The measurement: every workload on every server, run by run, interleaved."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.failures import WrongAnswer
from benchmarks.figures import show
from benchmarks.processes import Meter
from benchmarks.results import Results
from benchmarks.site import Site
from benchmarks.workloads import Taken, Workload

T = TypeVar("T")

_REST_S = 0.05
_LARGE_FILES_AT_ONCE = 2
_BLOCK = 1_048_576


def say(text: str) -> None:
    """Progress, for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def measure(
    sites: Sequence[Site],
    workloads: Sequence[Workload],
    results: Results,
    scratch: Path,
    after_run: Callable[[], None],
) -> None:
    """Fill ``results`` with ``results.runs`` runs. A server that gives a wrong answer fails in that workload alone.

    ``scratch`` is a folder on the disk of the servers' files.
    """
    for run in range(results.runs):
        if run:
            sites[0].payload.refresh()
        down = {site.name: reason for site in sites if (reason := _failure(partial(site.begin_run, run)))}
        for number, workload in enumerate(workloads):
            for site in turned(sites, run + number):
                if site.name in down:
                    results.add_failure(site.name, workload.name, down[site.name])
                else:
                    _measure_one(site, workload, results, scratch, f"run {run + 1} of {results.runs}")
        for site in sites:
            _failure(site.end_run)
        after_run()
    for site in sites:
        _failure(site.end)


def _failure(step: Callable[[], None]) -> str:
    """Why it failed; empty if it did not. A server that is gone must not end the measurement of the others."""
    try:
        step()
    except WrongAnswer as error:
        return str(error)
    except OSError as error:
        return f"{type(error).__name__} {error}"
    return ""


def turned(those: Sequence[T], by: int) -> list[T]:
    """Another one begins each time, so that nobody is always measured first."""
    start = by % len(those)
    return [*those[start:], *those[:start]]


def _measure_one(site: Site, workload: Workload, results: Results, scratch: Path, where: str) -> None:
    taken: Taken | None = None
    meter = Meter(site.pid, every_s=0.1 if workload.large else 0.5)

    def run() -> None:
        nonlocal taken
        workload.prepare(site)
        _rest(workload, site.payload.size, scratch)
        with meter:
            taken = workload.run(site)
        taken.check()

    reason = _failure(run)
    if reason or taken is None:
        results.add_failure(site.name, workload.name, reason)
        say(f"{where}  {workload.name:22} {site.name:14} failed: {reason}")
        return
    cost = meter.cost
    results.add(site.name, workload.name, taken.value, cost, taken.details)
    say(
        f"{where}  {workload.name:22} {site.name:14} {show(taken.value):>8} {workload.unit:10} "
        f"cpu {cost.cpu_s:.2f} s, peak {cost.peak_mib:.0f} MiB, steal {cost.steal_percent:.0f} %"
    )


def _rest(workload: Workload, large_bytes: int, scratch: Path) -> None:
    """What earlier workloads left to be written shall not be paid by the next server, nor memory that is not there."""
    if workload.writes:
        os.sync()
    time.sleep(_REST_S)
    if workload.writes and workload.large:
        _touch_page_cache(scratch / "touched", _LARGE_FILES_AT_ONCE * large_bytes)


def _touch_page_cache(path: Path, size: int) -> None:
    """Let the kernel have that much free memory for files which a virtual machine's host has really given to it.

    A guest reports free memory to its host, which takes it away, and the first write into it is ten times slower. Who
    deletes files gets its own pages back, who keeps them gets such ones.
    """
    block = os.urandom(_BLOCK)
    with path.open("wb", buffering=0) as file:
        for _ in range(0, size, _BLOCK):
            file.write(block)
    path.unlink()

"""`profile`: one worker of Holdfast under a workload; where its time goes, and how long each step takes."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import holdfast
from benchmarks.compare import temporary_folder
from benchmarks.failures import NotAvailable
from benchmarks.figures import show
from benchmarks.payload import MIB, Payload
from benchmarks.processes import family
from benchmarks.profiled import ON, result_file
from benchmarks.servers import Place, Ports
from benchmarks.site import Site, Sizes
from benchmarks.steps import REQUEST, STEPS
from benchmarks.workloads import Workload

_PATIENCE_S = 20.0
_SETTLE_S = 0.3
_SELF_LINES = 25
_WITH_LINES = 35


def profile(workload: Workload, sizes: Sizes, *, durability: str, first_port: int, scratch: Path | None) -> str:
    """Run the workload once to warm up and once under the profiler; the report as text.

    Raises:
        WrongAnswer: the server answers wrongly.
        NotAvailable: it does not start, or no profile came.
    """
    with temporary_folder(scratch) as within:
        control = within / "control"
        control.mkdir()
        place = Place(within / "holdfast", Ports(first_port).take())
        place.make()
        command = [sys.executable, "-m", "benchmarks.profiled", str(control)]
        with holdfast.start(place, durability=durability, workers=1, command=command) as server:
            payload = Payload(sizes.large_mib * MIB)
            site = Site("holdfast", server.endpoint, server.pid, sizes, payload)
            _run(site, workload, 0, None)
            value = _run(site, workload, 1, control / ON)
            payload.close()
            found = _busiest(control, server.pid)
            speed = f"{show(value)} {workload.unit}"
    return render(f"{workload.name}: {workload.heading(sizes)}", f"{speed}, durability {durability}", found)


def _run(site: Site, workload: Workload, number: int, on: Path | None) -> float:
    """What the workload measured; profiled while the file ``on`` is there."""
    site.begin_run(number)
    workload.prepare(site)
    if on is not None:
        on.touch()
        time.sleep(_SETTLE_S)
    try:
        taken = workload.run(site)
    finally:
        if on is not None:
            on.unlink()
    taken.check()
    return taken.value


def _busiest(control: Path, pid: int) -> dict[str, Any]:
    """The result of the process that used most: the worker."""
    children = [each for each in family(pid) if each != pid]
    deadline = time.monotonic() + _PATIENCE_S
    while not all(result_file(control, each).exists() for each in children):
        if time.monotonic() > deadline:
            raise NotAvailable("the server's processes wrote no profile")
        time.sleep(0.05)
    results = [json.loads(result_file(control, each).read_text(encoding="utf-8")) for each in children]
    found: dict[str, Any] = max(results, key=lambda result: int(result["cpu_ns"]))
    return found


def render(title: str, circumstances: str, found: dict[str, Any]) -> str:
    """The report: steps, then functions by their own time, then functions with all that they call."""
    requests = max(1, len(found["steps"].get(REQUEST, [[], []])[0]))
    alone: Counter[str] = Counter()
    together: Counter[str] = Counter()
    for stack, ns in found["stacks"]:
        alone[stack[-1]] += ns
        for function in set(stack):
            together[function] += ns
    total = max(1, sum(alone.values()))
    cpu_us = found["cpu_ns"] / 1000
    lines = [
        title,
        "",
        (
            f"{circumstances}; one worker, {requests:,} requests, {cpu_us / 1e6:.2f} s of processor time, "
            f"{cpu_us / requests:,.0f} us a request (without the profiler's own)"
        ),
        "",
        *_steps(found["steps"], requests),
        "",
        "processor time by function, without what it calls",
        *_functions(alone.most_common(_SELF_LINES), total, requests),
        "",
        "processor time by function, with what it calls",
        *_functions(together.most_common(_WITH_LINES), total, requests),
        "",
    ]
    return "\n".join(lines)


def _steps(steps: dict[str, list[list[int]]], requests: int) -> Iterable[str]:
    yield "steps, in microseconds of the clock; own: without the steps within it"
    yield f"  {'':38} {'calls':>8} {'median':>9} {'own':>9} {'own, a request':>15}"
    for step in STEPS:
        whole, own = steps.get(step.name, [[], []])
        if whole:
            yield (
                f"  {step.name:38} {len(whole):>8,} {statistics.median(whole) / 1000:>9,.1f} "
                f"{statistics.median(own) / 1000:>9,.1f} {sum(own) / 1000 / requests:>15,.1f}"
            )


def _functions(found: Iterable[tuple[str, int]], total: int, requests: int) -> Iterable[str]:
    for function, ns in found:
        yield f"  {100 * ns / total:5.1f} % {ns / 1000 / requests:>10,.1f} us a request  {function}"

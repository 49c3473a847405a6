"""`sizes`: what the history of a series takes in Holdfast, restic and borg, version by version."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import history_peers
from benchmarks.compare import temporary_folder
from benchmarks.failures import NotAvailable, WrongAnswer
from benchmarks.folder_parts import parts_of, size_of
from benchmarks.history import Store, WorkTree, steps
from benchmarks.history_holdfast import Holdfast
from benchmarks.measure import say
from benchmarks.results import machine
from benchmarks.series import Extent, Series
from benchmarks.servers import Ports
from benchmarks.sizes import HOLDFAST, Measured, Sizes


@dataclass(frozen=True)
class Plan:
    """What is to be measured. ``cache`` keeps downloads, ``scratch`` holds what is there while it runs."""

    series: Sequence[Series]
    peers: Sequence[str]
    scale: float
    settle_s: float
    verify: bool
    cache: Path | None
    scratch: Path | None
    first_port: int
    # Written after each series.
    json: Path | None


def measure_sizes(plan: Plan) -> Sizes:
    """Series by series. What cannot be had, a peer or a series, is said and left out.

    Raises:
        NotAvailable: Holdfast does not start.
    """
    have, missing = history_peers.available(plan.peers)
    for name, reason in missing.items():
        say(f"without {name}: {reason}")
    sizes = Sizes(time.strftime("%Y-%m-%d", time.gmtime()), plan.scale, plan.verify, machine(), missing=missing)
    with ExitStack() as closing:
        if plan.cache is not None:
            plan.cache.mkdir(parents=True, exist_ok=True)
        cache = plan.cache.resolve() if plan.cache is not None else closing.enter_context(temporary_folder())
        scratch = closing.enter_context(temporary_folder(plan.scratch))
        ports = Ports(plan.first_port)
        for series in plan.series:
            folder = scratch / series.name
            folder.mkdir()
            try:
                with _stores(plan, have, folder, ports.take()) as stores:
                    sizes.labels |= {store.name: store.label for store in stores}
                    sizes.series[series.name] = _measure(plan, series, Extent(plan.scale, cache), stores, folder)
            except _Unmade as reason:
                say(f"without {series.name}: {reason}")
                sizes.missing[series.name] = str(reason)
            shutil.rmtree(folder)
            if plan.json is not None:
                sizes.save(plan.json)
    return sizes


class _Unmade(Exception):
    """A series that cannot be made on this machine. The text says why."""


@contextmanager
def _stores(plan: Plan, peers: Sequence[str], folder: Path, port: int) -> Iterator[list[Store]]:
    """New and empty ones; what runs of them is stopped at the end."""
    stores: list[Store] = []
    try:
        stores.append(Holdfast(folder / HOLDFAST, port, settle_s=plan.settle_s))
        stores += [history_peers.PEERS[name].open(folder / name) for name in peers]
        yield stores
    finally:
        for store in stores:
            store.abandon()


def _measure(plan: Plan, series: Series, extent: Extent, stores: Sequence[Store], folder: Path) -> Measured:
    measured = Measured(series.title, series.excepted)
    tree = WorkTree(folder / "tree")
    try:
        for step in steps(series.versions(extent)):
            tree.become(step)
            measured.versions += 1
            measured.files = len(step.digests)
            measured.input_bytes += step.size
            measured.changed_bytes += sum(map(len, step.changed.values()))
            for store in stores:
                with _part_of(measured, store):
                    store.push(step, tree.folder)
            say(f"{series.name}: version {step.number}, {len(step.changed)} of {len(step.digests)} files changed")
    except NotAvailable as reason:
        raise _Unmade(str(reason)) from reason
    for store in stores:
        with _part_of(measured, store):
            _weigh(store, measured)
            if plan.verify:
                store.verify()
        say(f"{series.name}: {store.name} {measured.stored.get(store.name, 0):,} bytes")
    return measured


def _weigh(store: Store, measured: Measured) -> None:
    folder = store.rest()
    measured.stored[store.name], measured.blocks[store.name] = size_of(folder)
    if store.name == HOLDFAST:
        measured.parts = parts_of(folder)


@contextmanager
def _part_of(measured: Measured, store: Store) -> Iterator[None]:
    """What goes wrong is noted, and what it leaves has no size."""
    began = time.monotonic()
    try:
        yield
    except WrongAnswer as reason:
        say(f"{store.name}: {reason}")
        measured.failed.setdefault(store.name, str(reason))
    if store.name in measured.failed:
        measured.stored.pop(store.name, None)
        measured.blocks.pop(store.name, None)
    seconds = measured.seconds.get(store.name, 0.0) + time.monotonic() - began
    measured.seconds[store.name] = round(seconds, 1)

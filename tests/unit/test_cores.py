"""Cores: a worker's threads stay on its own while they answer small requests, and roam for what takes long."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import cores
from appliance.chunks.group import GROUP
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from tests.support.content import keep, noise, read
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one core")

ALL = os.sched_getaffinity(0)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test settles does not outlive it."""
    monkeypatch.setattr(cores, "_home", set())
    monkeypatch.setattr(cores, "_all", set())


@pytest.fixture
def settled(nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a worker whose core is the last one."""
    # Whatever cores this machine has.
    monkeypatch.setattr(cores, "_CPUS", tmp_path)
    monkeypatch.setattr(cores, "_FIRST", 0.0)
    cores.settle(len(ALL) - 1)


def seen(work: Callable[[], None]) -> set[int]:
    """Where a new thread may run that has done this."""

    def run(_: int) -> set[int]:
        work()
        return os.sched_getaffinity(0)

    return in_threads(1, run)[0]


def test_thread_stays_on_its_core_until_it_roams(settled: None) -> None:
    """As often as it likes, and each for itself."""

    def again() -> None:
        cores.stay()
        cores.roam()
        cores.stay()

    assert seen(cores.stay) == seen(again) == cores._home
    assert seen(cores.roam) == seen(lambda: (cores.stay(), cores.roam())) == ALL  # type: ignore[func-returns-value]
    assert os.sched_getaffinity(0) == ALL


def test_process_that_has_no_core_roams() -> None:
    """Commands, the scheduler, and all where there is one core."""
    assert seen(cores.stay) == seen(cores.roam) == ALL


@on_sqlite
def test_what_is_large_roams(settled: None, store: ChunkStore, database: Database) -> None:
    """In both directions; and whoever helps, though a thread that stays has started them."""
    content = noise(5 * GROUP)
    large = keep(store, database, content)

    def help_out() -> None:
        cores.stay()
        for pool in (store._ingestor.pool, store._reader._pool):
            assert pool.submit(os.sched_getaffinity, 0).result() == ALL

    def small() -> None:
        cores.stay()
        read(store, keep(store, database, noise(100)), 0, 100)

    def put() -> None:
        cores.stay()
        keep(store, database, content)

    def get() -> None:
        cores.stay()
        assert read(store, large, 0, len(content)) == content

    assert seen(help_out) == seen(small) == cores._home
    assert seen(put) == seen(get) == ALL


def test_core_that_was_taken_away_hurts_nobody(settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's cores may become others while the server runs."""
    monkeypatch.setattr(cores, "_home", {100_000})
    assert seen(cores.stay) == ALL


def machine(folder: Path, monkeypatch: pytest.MonkeyPatch, *told: dict[str, str]) -> None:
    """What the kernel tells of each core, from 0, in files as those below /sys."""
    for core, files in enumerate(told):
        for name, text in files.items():
            path = folder / f"cpu{core}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
    monkeypatch.setattr(cores, "_CPUS", folder)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(len(told))))


def homes(count: int) -> list[int]:
    """Those of so many processes; none where they have none."""
    found = []
    for number in range(count):
        cores.settle(number)
        found += cores._home
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("first", [0.0, 0.3, 0.99])
def test_processes_take_all_cores_before_they_share(
    nowhere: None, count: int, first: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that may be used, whichever these are, beginning anywhere."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8, 13})
    monkeypatch.setattr(cores, "_FIRST", first)
    found = homes(count)
    assert found[0] == [3, 5, 8, 13][int(first * 4)]
    assert set(found) <= {3, 5, 8, 13}
    assert max(Counter(found).values()) == -(-count // 4)


@pytest.mark.parametrize("siblings", [["0,2", "1,3", "0,2", "1,3"], ["0-1", "0-1", "2-3", "2-3"]])
@pytest.mark.parametrize("first", [0.0, 0.3, 0.6, 0.99])
def test_hyper_threads_of_one_core_are_shared_last(
    nowhere: None, tmp_path: Path, siblings: list[str], first: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the machine numbers them."""
    machine(tmp_path, monkeypatch, *({"topology/thread_siblings_list": text} for text in siblings))
    monkeypatch.setattr(cores, "_FIRST", first)
    assert len({siblings[core] for core in homes(2)}) == 2
    assert sorted(homes(4)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("what", "values", "alike"),
    [
        ("cpu_capacity", ["446", "446", "1024", "1024"], False),
        ("cpu_capacity", ["1024"] * 4, True),
        ("cpufreq/cpuinfo_max_freq", ["5100000", "5100000", "3900000", "3900000"], False),
        ("cpufreq/cpuinfo_max_freq", ["5700000", "5500000", "5500000", "5400000"], True),
        ("cpufreq/cpuinfo_max_freq", ["unknown"] * 4, True),
    ],
)
def test_where_some_cores_are_slow_the_kernel_chooses(
    nowhere: None, tmp_path: Path, what: str, values: list[str], alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's only connection shall not be kept on one of these."""
    machine(tmp_path, monkeypatch, *({what: value} for value in values))
    assert len(homes(4)) == (4 if alike else 0)


def test_one_core_is_nobodys(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to choose."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    cores.settle(1)
    assert cores._home == set()

"""Cores: a worker's threads stay on its own while they answer small requests, and roam for what takes long."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import cores
from appliance.accounts import passwords
from appliance.chunks.group import GROUP
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from tests.server.running import until
from tests.support.content import keep, noise, read
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one core")

ALL = os.sched_getaffinity(0)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test settles does not outlive it."""
    monkeypatch.setattr(cores, "_home", set())


@pytest.fixture
def settled(nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a worker whose core is the last one."""
    # Whatever cores this machine has.
    monkeypatch.setattr(cores, "_CPUS", tmp_path)
    cores.settle(len(ALL) - 1, len(ALL))


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

    # Before anything else has begun their threads.
    assert seen(help_out) == seen(small) == cores._home
    large = keep(store, database, content)
    assert seen(put) == seen(get) == ALL


def test_password_hashes_roam(settled: None) -> None:
    """Each takes a hundred times as long as a small request."""
    hashed: list[str] = []

    def hash_one() -> None:
        cores.stay()
        hashed.append(passwords.hash_password("correct horse"))

    def verify_one() -> None:
        cores.stay()
        assert passwords.verify("correct horse", hashed[0])

    assert seen(hash_one) == seen(verify_one) == ALL


@on_sqlite
def test_checkpoints_roam(settled: None, database: Database) -> None:
    """Though a thread that stays has begun them."""

    def commit() -> None:
        cores.stay()
        database.write(lambda session: None)

    assert seen(commit) == cores._home
    ids = [thread.native_id for thread in threading.enumerate() if thread.name == "checkpoints"]
    assert ids
    until(lambda: all(os.sched_getaffinity(native_id) == ALL for native_id in ids if native_id), 5, what="roaming")


def test_cores_may_change_while_it_runs(settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's, or by `taskset`: what the first thread may use is what there is."""
    few = {min(ALL)}
    monkeypatch.setattr(cores, "_usable", lambda: few)
    assert seen(cores.stay) == seen(cores.roam) == few


def test_refusing_system_hurts_nobody(settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do cores that went in this moment."""
    monkeypatch.setattr(cores, "_usable", lambda: {100_000})
    assert seen(cores.stay) == seen(cores.roam) == ALL


def machine(folder: Path, monkeypatch: pytest.MonkeyPatch, *told: dict[str, str]) -> None:
    """What the kernel tells of each core, from 0, in files as those below /sys."""
    for core, files in enumerate(told):
        for name, text in files.items():
            path = folder / f"cpu{core}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
    monkeypatch.setattr(cores, "_CPUS", folder)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(len(told))))


def homes(workers: int) -> list[int]:
    """Those of so many; none where they have none."""
    found = []
    for number in range(workers):
        cores._home.clear()
        cores.settle(number, workers)
        found += cores._home
    return found


@pytest.mark.parametrize("workers", range(1, 13))
def test_all_cores_have_as_many_workers(nowhere: None, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that may be used, whichever these are; or there are more of some than of others, and all roam."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8, 13})
    assert Counter(homes(workers)) == (dict.fromkeys((3, 5, 8, 13), workers // 4) if workers % 4 == 0 else {})


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
    cores.settle(1, 2)
    assert cores._home == set()

"""Each worker of a running server answers small requests on a core of its own; nothing else is kept there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance import cores
from tests.server.conftest import Start
from tests.server.running import children

EVERY = frozenset(os.sched_getaffinity(0))


def masks(pid: int) -> list[frozenset[int]]:
    """Where each thread of a process may run, that of the first one first."""
    tasks = sorted(int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir())
    return [frozenset(os.sched_getaffinity(task)) for task in tasks]


@pytest.mark.skipif(
    len(EVERY) < 2 or not cores._are_alike(set(EVERY)), reason="this machine has one core, or slow ones"
)
def test_workers_answer_on_cores_of_their_own(start: Start) -> None:
    """Threads that answered something stay; the others, and the scheduler's, roam."""
    server = start(workers=2)
    assert server.process is not None
    for pid, dav in server.connections_to_all().items():
        dav.ok("PUT", f"/dav/{pid}", b"x")
        dav.close()
    found = [masks(pid) for pid in children(server.process.pid)]
    homes = [{mask for mask in each if mask != EVERY} for each in found]
    assert sorted(map(len, homes)) == [0, 1, 1]
    assert len(set().union(*homes)) == 2
    assert all(len(mask) == 1 for each in homes for mask in each)
    assert all(each[0] == EVERY for each in found)

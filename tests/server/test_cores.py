"""Each worker of a running server answers small requests on a core of its own; nothing else is kept there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from appliance import cores
from tests.server.conftest import Start
from tests.server.running import children

EVERY = frozenset(os.sched_getaffinity(0))


def kept(pid: int) -> list[tuple[int, int]]:
    """Each thread of a process that is kept on one core, by its id, and the core."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # It may end in this moment.
        with suppress(OSError):
            mask = os.sched_getaffinity(int(task.name))
            if mask != EVERY:
                (core,) = mask
                found.append((int(task.name), core))
    return found


@pytest.mark.skipif(
    not 1 < len(EVERY) <= 8 or not cores._are_alike(sorted(EVERY)),
    reason="this machine has one core, many, or slow ones",
)
def test_workers_answer_on_cores_of_their_own(start: Start) -> None:
    """Threads that answered stay, each worker's on another one; its first thread does not, nor any of the scheduler."""
    server = start(workers=len(EVERY))
    assert server.process is not None
    for pid, dav in server.connections_to_all().items():
        dav.ok("PUT", f"/dav/{pid}", b"x")
        dav.close()
    pids = children(server.process.pid)
    found = [{core for task, core in kept(pid) if task != pid} for pid in pids]
    assert sorted(map(len, found)) == [0, *[1] * len(EVERY)]
    assert set().union(*found) == EVERY
    assert all(os.sched_getaffinity(pid) == EVERY for pid in pids)

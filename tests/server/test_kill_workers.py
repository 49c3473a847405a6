"""kill -9 of one worker after the other while clients go on: nothing acknowledged is lost, and nobody is refused."""

from __future__ import annotations

import statistics

import pytest

from tests.server.conftest import Start
from tests.server.memory import MB
from tests.server.mixed_load import Load, require_clean, require_stored

WORKERS = 4
MINUTE = 60


def test_workers_killed_again_and_again_lose_nothing_acknowledged(start: Start) -> None:
    """Eight clients of everything: whole answers or reset connections, never a server error, never a lost write."""
    server = start(workers=WORKERS)
    load = Load(server, seconds=20, kill_every=2)
    assert server.stop() == 0
    require_stored(server, load.stored)
    assert load.kills >= 5
    assert load.resets, "no kill hit a request: the test did not test it"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_workers_killed_for_ten_minutes_lose_nothing_and_memory_is_flat(start: Start) -> None:
    """The same, and in the last minute all processes together take what they took in the second one."""
    server = start(workers=WORKERS)
    load = Load(server, seconds=10 * MINUTE, kill_every=5)
    assert server.stop() == 0
    require_stored(server, load.stored)
    require_clean(server)
    second, last = statistics.fmean(load.memory[MINUTE : 2 * MINUTE]), statistics.fmean(load.memory[-MINUTE:])
    print(
        f"{load.kills} workers killed; {len(load.stored)} PUTs acknowledged, all there; "
        f"{sum(load.answers.values())} answers {dict(sorted(load.answers.items()))}; "
        f"resets {dict(load.resets)}; memory {second / MB:.0f} MB in the second minute, {last / MB:.0f} MB in the last"
    )
    assert abs(last / second - 1) < 0.15

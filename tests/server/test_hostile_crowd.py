"""Clients at work beside a crowd that means harm: nobody notices it, nothing is lost."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from tests.server.content import noise
from tests.server.hostile import KINDS, LARGE, OF_EACH, Hostile
from tests.server.memory import MB
from tests.server.mixed_load import Load, require_clean, require_stored
from tests.server.nodes import make_server
from tests.server.running import Server
from tests.support.certificates import Certified

MINUTE = 60
# A server's deadline for heads is what ends slow ones: none of them may hold a thread until then.
SETTINGS = {"header_seconds": 5, "body_stall_seconds": 20}


def started(scratch: Path, certified: Certified | None, workers: int) -> Server:
    """With a file that everybody may ask for."""
    (scratch / "server").mkdir()
    settings = {**SETTINGS, **(certified.settings if certified else {})}
    trust = certified.client() if certified else None
    server = make_server(scratch / "server", workers=workers, settings=settings, trust=trust).start()
    with server.dav() as dav:
        dav.ok("PUT", LARGE, noise(16_000_000, 1))
    return server


def authority(certified: Certified | None) -> str | None:
    """What those of the crowd trust who speak TLS in earnest."""
    return str(certified.files.root) if certified else None


def require_all_came(hostile: Hostile) -> None:
    """Each kind held all of its connections, and came back where it was cut off."""
    assert set(hostile.times) == {kind.__name__ for kind in KINDS}
    assert all(times >= OF_EACH for times in hostile.times.values()), hostile.times


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_hostile_crowd_hinders_nobody(tmp_path: Path, tls: bool) -> None:
    """No request fails, none waits, though all come from one address."""
    certified = Certified.make(tmp_path) if tls else None
    server = started(tmp_path, certified, workers=2)
    with Hostile(server, authority(certified)) as hostile:
        time.sleep(2)
        load = Load(server, seconds=12, kill_every=0)
    assert not load.resets, "clients were cut off"
    assert sum(load.answers.values()) > 200
    assert load.slowest < 5.0, f"a request took {load.slowest:.1f} s"
    require_all_came(hostile)
    assert server.stop() == 0
    require_stored(server, load.stored)
    server.finish()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_ten_minutes_of_a_hostile_crowd_and_of_killed_workers(tmp_path: Path, tls: bool) -> None:
    """As without the crowd: nothing acknowledged is lost, and memory stays what it was."""
    certified = Certified.make(tmp_path) if tls else None
    server = started(tmp_path, certified, workers=4)
    with Hostile(server, authority(certified)) as hostile:
        load = Load(server, seconds=10 * MINUTE, kill_every=5)
    assert server.stop() == 0
    require_stored(server, load.stored)
    require_clean(server)
    server.finish()
    require_all_came(hostile)
    second, last = statistics.fmean(load.memory[MINUTE : 2 * MINUTE]), statistics.fmean(load.memory[-MINUTE:])
    print(
        f"{load.kills} workers killed; {len(load.stored)} PUTs acknowledged, all there; "
        f"{sum(load.answers.values())} answers, the slowest after {load.slowest:.1f} s; resets {dict(load.resets)}; "
        f"hostile connections {hostile.times}; "
        f"memory {second / MB:.0f} MB in the second minute, {last / MB:.0f} MB in the last"
    )
    assert abs(last / second - 1) < 0.15

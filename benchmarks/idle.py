"""`idle`: what a server costs that nobody uses, and how soon it answers after a start."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import holdfast
from benchmarks.compare import temporary_folder
from benchmarks.measure import say
from benchmarks.processes import cpu_seconds, pss_mib
from benchmarks.servers import Place, Ports

MOST_CPU_S = 0.6
"""All processes together, in a minute."""

READY_WITHIN_S = 2.0

_SETTLE_S = 3.0
_MINUTE = 60.0


@dataclass(frozen=True)
class Idle:
    """Seconds until /readyz after the first start (None: the store was there) and the next; CPU seconds a minute."""

    first_s: float | None
    again_s: float
    cpu_s_a_minute: float
    memory_mib: float

    @property
    def holds(self) -> bool:
        return self.cpu_s_a_minute < MOST_CPU_S and max(self.first_s or 0, self.again_s) <= READY_WITHIN_S

    def __str__(self) -> str:
        first = "" if self.first_s is None else f"{self.first_s:.2f} s until ready after the first start\n"
        return (
            f"{first}{self.again_s:.2f} s until ready after a start on an existing store (at most {READY_WITHIN_S:g})\n"
            f"{self.cpu_s_a_minute:.2f} CPU seconds in an idle minute (less than {MOST_CPU_S:g})\n"
            f"{self.memory_mib:.0f} MiB proportional set size of all processes"
        )


def measure_idle(*, seconds: float, durability: str, data: Path | None, first_port: int, scratch: Path | None) -> Idle:
    """Start, stop, start again and wait. ``data``: an existing store instead of a new one."""
    with temporary_folder(scratch) as within:
        place = Place(within / "holdfast", Ports(first_port).take())
        place.make()
        first_s = None
        if data is None:
            with holdfast.start(place, durability=durability) as server:
                first_s = server.ready_s
        with holdfast.start(place, durability=durability, data=data) as server:
            time.sleep(min(_SETTLE_S, seconds))
            say(f"waiting {seconds:.0f} s")
            before = cpu_seconds(server.pid)
            time.sleep(seconds)
            used = cpu_seconds(server.pid) - before
            return Idle(first_s, server.ready_s, used * _MINUTE / seconds, pss_mib(server.pid))

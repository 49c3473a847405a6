"""What a server costs: processor time and memory of a process and all below it, from /proc."""

from __future__ import annotations

import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system) of a server, its largest proportional set size in MiB, and how much of the
    machine's time other guests of the host took meanwhile.
    """

    cpu_s: float
    peak_mib: float
    steal_percent: float

    def as_json(self) -> dict[str, float]:
        return asdict(self)


def family(pid: int) -> list[int]:
    """The process and everything it started that still runs."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += children.get(each, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Of the family, children that have ended included; in steps of a kernel tick (10 ms)."""
    ticks = 0
    for each in family(pid):
        fields = _stat(each)
        ticks += sum(map(int, fields[11:15])) if fields else 0
    return ticks / _TICKS


def pss_mib(pid: int) -> float:
    """Proportional set size of the family: what is shared is counted once."""
    total = 0
    for each in family(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
    return total / _MIB


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _machine() -> tuple[int, int]:
    """Ticks that the host gave to others, and all ticks."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return fields[7], sum(fields)


class Meter:
    """Measures the cost of what happens within its context; ``cost`` is there afterwards.

    Memory is looked at when it begins, when it ends, and ``every_s`` in between: each look stops the process's own
    memory management for about a millisecond.
    """

    def __init__(self, pid: int, *, every_s: float) -> None:
        self._pid = pid
        self._every_s = every_s
        self._stop = threading.Event()
        self._peak = 0.0
        self.cost = Cost(0, 0, 0)

    def __enter__(self) -> Meter:
        self._look()
        self._machine = _machine()
        self._cpu_s = cpu_seconds(self._pid)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        cpu_s = cpu_seconds(self._pid) - self._cpu_s
        stolen, total = (after - before for after, before in zip(_machine(), self._machine, strict=True))
        self._stop.set()
        self._thread.join()
        self._look()
        self.cost = Cost(round(cpu_s, 2), round(self._peak, 1), round(100 * stolen / max(1, total), 1))

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, pss_mib(self._pid))

"""What processes hold in memory, as the kernel counts it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

MB = 1_000_000


def _sum(pids: Iterable[int], file: str, field: str) -> int:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/{file}").read_text(encoding="ascii").splitlines()
        except OSError:
            continue  # ended meanwhile
        total += next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)
    return total


def resident(pids: Iterable[int]) -> int:
    """Bytes; what processes share counts once for each."""
    return _sum(pids, "status", "VmRSS")


def proportional(pids: Iterable[int]) -> int:
    """Bytes; what processes share is divided among them, so that the sum is what they take together."""
    return _sum(pids, "smaps_rollup", "Pss")


class Growth:
    """The most that ``measure`` rises within a ``with`` block, over what it is at its beginning; in bytes."""

    def __init__(self, measure: Callable[[], int], every_s: float = 0.05) -> None:
        self._measure = measure
        self._every_s = every_s
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._run, daemon=True)
        self.most = 0
        self._before = 0

    def __enter__(self) -> Growth:
        self._before = self._measure()
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._done.set()
        self._watch.join()
        self._look()

    def _run(self) -> None:
        while not self._done.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        self.most = max(self.most, self._measure() - self._before)

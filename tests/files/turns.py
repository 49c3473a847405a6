"""Threads that take turns at fault points, in an order that a test chooses: interleavings that can be repeated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from appliance import faults

Choose = Callable[[Sequence[str]], str]
"""Who goes on, of those who can."""

# No transaction and no mutex is held there.
STOPS = frozenset(
    {
        "receive.begun",
        "chunk.cut",
        "chunk.lookup",
        "chunk.compress",
        "pack.stored",
        "receive.done",
        "read.content",
        "read.batch",
        "prune.raised",
        "prune.marked",
        "prune.unnamed",
        "prune.counted",
        "prune.forgotten",
        "prune.dropped",
        "prune.removed",
        "prune.released",
        "prune.undone",
        "repack.copied",
        "repack.moved",
        "sweep.declared",
        "sweep.cleared",
    }
)
# Who does not come to a point within this time waits for somebody who has stopped at one.
_WAITS_S = 0.05
_PATIENCE_S = 30.0


class Turns:
    """Runs actors, one at a time; each goes from one point to the next when it is chosen."""

    def __init__(self, actors: Mapping[str, Callable[[], object]], choose: Choose) -> None:
        self._choose = choose
        self._go = {name: threading.Semaphore(0) for name in actors}
        self._stopped = {name: threading.Event() for name in actors}
        self._names: dict[int, str] = {}
        self._over: set[str] = set()
        self._errors: list[BaseException] = []
        self.trace: list[str] = []
        self._threads = [
            threading.Thread(target=self._act, args=(name, work), name=f"turn {name}", daemon=True)
            for name, work in actors.items()
        ]

    def run(self) -> None:
        """Until all have come to their ends; raises what one of them raised."""
        with faults.hooked(self.stop):
            for thread in self._threads:
                thread.start()
            waiting: set[str] = set()
            while len(self._over) < len(self._threads):
                self._step(waiting)
            for thread in self._threads:
                thread.join(_PATIENCE_S)
        if self._errors:
            raise self._errors[0]

    def stop(self, point: str) -> None:
        """Of those threads that are actors: wait for the next turn."""
        name = self._names.get(threading.get_ident())
        if name is not None and point in STOPS:
            self.trace.append(f"{name}:{point}")
            self._stopped[name].set()
            assert self._go[name].acquire(timeout=_PATIENCE_S), f"{name} had no turn; {self.trace}"

    def _step(self, waiting: set[str]) -> None:
        for name in [name for name in waiting if self._stopped[name].is_set()]:
            waiting.remove(name)
        ready = [name for name in self._go if name not in self._over and name not in waiting]
        if not ready:
            # Whoever is waited for has gone on meanwhile.
            self._wait_for_any(waiting)
            return
        name = self._choose(ready)
        self._stopped[name].clear()
        self._go[name].release()
        if not self._stopped[name].wait(_WAITS_S):
            waiting.add(name)

    def _wait_for_any(self, waiting: set[str]) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not any(self._stopped[name].is_set() for name in waiting):
            assert time.monotonic() < until, f"nobody goes on; {self.trace}"
            time.sleep(0.002)

    def _act(self, name: str, work: Callable[[], object]) -> None:
        self._names[threading.get_ident()] = name
        try:
            assert self._go[name].acquire(timeout=_PATIENCE_S)
            work()
        except BaseException as error:  # noqa: BLE001 (raised again by who waits for all)
            self._errors.append(error)
        finally:
            self._over.add(name)
            self._stopped[name].set()

"""`python -m benchmarks.profiled CONTROL ARGUMENTS`: `holdfast ARGUMENTS`, whose processes can be profiled.

While the file ``on`` is in the folder CONTROL, a thread in each process looks at all others every few milliseconds and
charges the processor time that each has used since then to the stack that it is in. When the file goes, the result is
written beside it. The kernel counts the time, so a thread that waits costs nothing, and one that computes without the
interpreter lock is seen like any other.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from appliance.cli.main import main
from benchmarks.steps import StepClock

ON = "on"

_EVERY_S = 0.002
# How soon a thread that computes gives the interpreter lock to this one. With the usual 5 ms, it would mostly be seen
# where it gives the lock up by itself: in system calls.
_SWITCH_S = 0.00001
# A thread that stands where it stood is asked for its time only so often.
_SEEN_BEFORE = 25
_LOOK_S = 0.02
_DEEPEST = 60


def result_file(control: Path, pid: int) -> Path:
    """Where a process writes."""
    return control / f"{pid}.json"


class Sampler:
    """Runs in a thread of its own for the life of a process."""

    def __init__(self, control: Path, clock: StepClock) -> None:
        self._control = control
        self._clock = clock
        self._used: dict[int, int] = {}
        # By thread: its frame and instruction at the last look, and for how many looks it has not moved.
        self._stood: dict[int, tuple[int, int, int]] = {}
        self._stacks: Counter[tuple[str, ...]] = Counter()

    def start(self) -> None:
        threading.Thread(target=self._run, name="profiler", daemon=True).start()

    def _run(self) -> None:
        on = self._control / ON
        while True:
            if not on.exists():
                time.sleep(_LOOK_S)
                continue
            switch_s = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_S)
            self._stood.clear()
            self._look()
            self._stacks.clear()
            self._clock.clear()
            began, mine = time.process_time_ns(), time.thread_time_ns()
            while on.exists():
                for _ in range(_SEEN_BEFORE):
                    time.sleep(_EVERY_S)
                    self._look()
            used = time.process_time_ns() - began - (time.thread_time_ns() - mine)
            sys.setswitchinterval(switch_s)
            self._write(used)

    def _look(self) -> None:
        frames = sys._current_frames()
        me = threading.get_ident()
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or thread.ident == me or thread.native_id is None or self._stands(thread.native_id, frame):
                continue
            used = _cpu_ns(thread.native_id)
            before = self._used.get(thread.native_id, 0)
            self._used[thread.native_id] = used
            if used > before:
                self._stacks[_stack(frame)] += used - before

    def _stands(self, native_id: int, frame: FrameType) -> bool:
        """Whether the thread most probably waits, and need not be looked at now."""
        number, instruction, looks = self._stood.get(native_id, (0, 0, 0))
        if (id(frame), frame.f_lasti) != (number, instruction):
            looks = 0
        self._stood[native_id] = id(frame), frame.f_lasti, looks + 1
        return looks % _SEEN_BEFORE > 1

    def _write(self, cpu_ns: int) -> None:
        found = {
            "cpu_ns": cpu_ns,
            "stacks": [[list(stack), ns] for stack, ns in self._stacks.most_common()],
            "steps": {name: [list(times.whole), list(times.own)] for name, times in self._clock.times.items()},
        }
        target = result_file(self._control, os.getpid())
        partial = target.with_suffix(".partial")
        partial.write_text(json.dumps(found), encoding="utf-8")
        partial.replace(target)


def _cpu_ns(native_id: int) -> int:
    """Processor time of a thread of this process so far."""
    try:
        with open(f"/proc/self/task/{native_id}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    """Functions from the outermost to the innermost."""
    found: list[str] = []
    while frame is not None and len(found) < _DEEPEST:
        code = frame.f_code
        module = frame.f_globals.get("__name__", "?")
        if module != "benchmarks.steps":
            found.append(f"{module}:{code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(found))


def run(control: Path, arguments: list[str]) -> int:
    """Install the clock, then be `holdfast`."""
    clock = StepClock()
    for name in clock.install():
        print(f"no such step: {name}", file=sys.stderr)
    os.register_at_fork(after_in_child=lambda: Sampler(control, clock).start())
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))

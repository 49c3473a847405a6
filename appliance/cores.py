"""The core that a worker process answers small requests on.

Python runs one thread of a process at a time, so threads that hand it over to each other gain nothing from a second
core; but to wake one there costs several times what it costs on the same core, most of all on a virtual machine, whose
host has to be asked. Where there is a worker for each core, the threads of each stay on one. What takes long beside
Python roams.

It is about speed alone. Which cores may be used is up to whoever starts the server (`taskset`, a container's cpuset),
or changes it while it runs: the process's first thread never stays, and what may be used is what that one may use.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path


class _Here(threading.local):
    stays = False


_here = _Here()
_CPUS = Path("/sys/devices/system/cpu")
# Of this process: where its threads stay, if anywhere.
_home: set[int] = set()


def settle(number: int, workers: int) -> None:
    """The threads of this process, the worker ``number`` of so many, from 0, will stay on a core.

    To be called while there is one thread. Nothing comes of it where there is one core, or no say in it; where not all
    cores would have as many workers; and where some cores are slower than others, since only the kernel sees which ones
    are free.
    """
    if not hasattr(os, "sched_getaffinity"):
        return
    usable = sorted(_usable())
    if len(usable) > 1 and workers % len(usable) == 0 and _are_alike(usable):
        _home.add(usable[number % len(usable)])


def _usable() -> set[int]:
    return os.sched_getaffinity(os.getpid())


def _are_alike(usable: list[int]) -> bool:
    return all(_spans_little(what, usable) for what in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"))


def _spans_little(what: str, usable: list[int]) -> bool:
    values = [int(text) for core in usable if (text := _told(core, what)).isdigit()]
    # Of cores of one kind some may be a little faster.
    return not values or min(values) > 0.9 * max(values)


def _told(core: int, what: str) -> str:
    try:
        return (_CPUS / f"cpu{core}" / what).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def stay() -> None:
    """Run on this process's core from now on, with the threads that this one starts."""
    if _home and not _here.stays:
        _here.stays = True
        usable = _usable()
        _run_on(_home & usable or usable)


def roam() -> None:
    """Run on any core from now on, with the threads that this one starts. For what takes long beside Python."""
    if _home:
        _here.stays = False
        _run_on(_usable())


def _run_on(cores: set[int]) -> None:
    # They may be taken away meanwhile; then it runs where it can.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores)

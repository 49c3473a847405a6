"""The core that a worker process answers small requests on.

Python runs one thread of a process at a time, so threads that hand it over to each other gain nothing from a second
core; but to wake one there costs several times what it costs on the same core, most of all on a virtual machine, whose
host has to be asked. There is a worker for each core: the threads of each stay on one. What takes long beside Python,
as hashing and reading ahead do, roams.

It is about speed alone. Which cores may be used is up to whoever starts the server (`taskset`, a container's cpuset).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import threading
from pathlib import Path


class _Here(threading.local):
    stays = False


_here = _Here()
_CPUS = Path("/sys/devices/system/cpu")
# Servers that share a machine shall not share its first cores. Processes that are forked of one have the same.
_FIRST = random.random()
# Of this process: where its threads stay, if anywhere, and where they roam.
_home: set[int] = set()
_all: set[int] = set()


def settle(number: int) -> None:
    """The threads of this process will stay on a core: those of each ``number``, from 0, on another one.

    To be called while there is one thread. Nothing comes of it where there is one core, or no say in it; and where some
    cores are slower than others, since only the kernel sees which ones are free.
    """
    global _home, _all
    if not hasattr(os, "sched_getaffinity"):
        return
    usable = os.sched_getaffinity(0)
    if len(usable) > 1 and _are_alike(usable):
        # What two cores have in common, as hyper-threads have nearly all, is shared last.
        ordered = sorted(usable, key=lambda core: (_is_second(core), core))
        _home, _all = {ordered[(int(_FIRST * len(ordered)) + number) % len(ordered)]}, usable


def _are_alike(usable: set[int]) -> bool:
    return all(_spans_little(what, usable) for what in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"))


def _spans_little(what: str, usable: set[int]) -> bool:
    values = [int(text) for core in usable if (text := _told(core, what)).isdigit()]
    # Of cores of one kind some may be a little faster.
    return not values or min(values) > 0.9 * max(values)


def _is_second(core: int) -> bool:
    first = re.match(r"\d+", _told(core, "topology/thread_siblings_list"))
    return first is not None and int(first[0]) != core


def _told(core: int, what: str) -> str:
    try:
        return (_CPUS / f"cpu{core}" / what).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def stay() -> None:
    """Run on this process's core from now on, with the threads that this one starts."""
    if _home and not _here.stays:
        _here.stays = True
        _run_on(_home)


def roam() -> None:
    """Run on any core from now on, with the threads that this one starts. For what takes long beside Python."""
    if _home:
        _here.stays = False
        _run_on(_all)


def _run_on(cores: set[int]) -> None:
    # They may have been taken away meanwhile; then it runs where it can.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores)

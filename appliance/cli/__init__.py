"""The command line: a module a group of commands. Exit codes: 0 done, 1 not done, 2 put something right first (the
arguments too), 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from types import TracebackType


def _say_nothing_of_interrupts(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    if not isinstance(error.__cause__, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    # One that came while a class was made: Python makes a RuntimeError of it, and would end with 1.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


# This package is the first that is loaded of the program, and the rest takes a second in which people press Ctrl-C.
sys.excepthook = _say_nothing_of_interrupts

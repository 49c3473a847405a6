"""The command line: a module a group of commands. Exit codes: 0 done, 1 not done, 2 put something right first (the
arguments too), 130 interrupted.
"""

from __future__ import annotations

import sys
from types import TracebackType


def _say_nothing_of_interrupts(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


# This package is the first that is loaded of the program, and the rest takes a second in which people press Ctrl-C.
sys.excepthook = _say_nothing_of_interrupts

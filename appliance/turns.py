"""Turns of the threads that answer requests which only look: one computes at a time.

Python runs one thread at a time in any case. But those that compute side by side hand the interpreter over whenever one
of them calls what lets go of it, as each statement of SQLite does, and each handing over wakes a thread. So such a
request takes the turn when it begins, and lets go of it where it may have to wait: for its client, the disk, a lock or
another server. Then it goes on without.

It is about speed alone: nobody relies on being the only one, and nobody waits for long.
"""

from __future__ import annotations

import os
import threading

PATIENCE_S = 0.005
"""So long a request waits for its turn; as long as Python lets a thread go on that calls nothing."""


class _Mine(threading.local):
    is_it = False


_mine = _Mine()
_turn = threading.Lock()
# Somebody has waited in vain: whoever has the turn does something that takes long, and others need not wait for it.
_is_long = False


def take() -> None:
    """Wait for the turn, if that is not for long. For who has none."""
    global _is_long  # noqa: PLW0603 (of the process, as Python's own lock is)
    _mine.is_it = _turn.acquire(timeout=0 if _is_long else PATIENCE_S)
    _is_long = not _mine.is_it


def let_go() -> None:
    """Let the next one compute; also if this thread has no turn."""
    if _mine.is_it:
        _mine.is_it = False
        _turn.release()


def _forget() -> None:
    """A forked process has none of the threads."""
    global _turn, _mine, _is_long
    _turn, _mine, _is_long = threading.Lock(), _Mine(), False


os.register_at_fork(after_in_child=_forget)

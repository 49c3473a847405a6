"""A thread in which XML is parsed, and which ends now and then.

libxml2 keeps every name that a thread has ever parsed until that thread ends, and threads that answer requests never
end: a client could fill the memory with names.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_BYTES_OF_A_THREAD = 2 * 1024 * 1024

_mutex = threading.Lock()
_thread: ThreadPoolExecutor | None = None
_left = 0


def _forget() -> None:
    """A forked process has neither the thread nor whoever held the lock."""
    global _mutex, _thread
    _mutex, _thread = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)


def parsed_apart(size: int, parse: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What ``parse`` returns or raises, about ``size`` bytes of XML. Its result must hold nothing of the parser's."""
    global _thread, _left  # noqa: PLW0603 (the one thread of the process, and what it has to do still)
    with _mutex:
        if _thread is None or _left <= 0:
            if _thread is not None:
                # What it has begun is finished still.
                _thread.shutdown(wait=False)
            _thread, _left = ThreadPoolExecutor(1, thread_name_prefix="xml"), _BYTES_OF_A_THREAD
        _left -= size
        outcome = _thread.submit(parse, *args, **options)
    return outcome.result()

"""What the child processes of a server have in common."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from appliance.errors import HoldfastError, ReadOnly

_log = logging.getLogger(__name__)

# Of glibc's malloc.h.
_M_ARENA_MAX = -8
_HEAPS = 2


def share_heaps() -> None:
    """Let the threads of this process and its children share two heaps, where the C library is glibc.

    By default there are eight a processor, and each keeps some megabytes of what passed through its threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _HEAPS)


def raise_descriptors() -> None:
    """Let this process and its children hold as many connections as the machine allows, not as shells do by default."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some platforms call the limit infinite and refuse to set it.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def has_terminal() -> bool:
    """Whether a terminal controls this process; none does any more once its window is closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def on_hangup(work: Callable[[], object]) -> None:
    """Do ``work`` in a thread at each SIGHUP. For children made by ``fork``."""

    def loop() -> None:
        while True:
            signal.sigwait({signal.SIGHUP})
            try:
                work()
            except Exception:  # noqa: BLE001 - whatever it was, the next one may succeed
                _log.exception("SIGHUP had no effect")

    threading.Thread(target=loop, name="hangup", daemon=True).start()


class StopSignal:
    """Set by SIGTERM, and when the supervisor is gone: no child outlives it. For children made by ``fork``."""

    def __init__(self, supervisor_pipe: int) -> None:
        """``supervisor_pipe`` is the reading end of a pipe that only the supervisor can write."""
        self._event = threading.Event()
        # Ctrl-C and the end of a terminal reach the whole process group; the supervisor decides.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        threading.Thread(target=self._take, name="stop signal", daemon=True).start()
        threading.Thread(target=self._watch, args=(supervisor_pipe,), name="supervisor watch", daemon=True).start()

    def _take(self) -> None:
        # No handler: Python runs those in the main thread, which does not wake for one that arrived just before it
        # began to wait for a lock.
        signal.sigwait({signal.SIGTERM})
        self._event.set()

    def _watch(self, pipe: int) -> None:
        os.read(pipe, 1)
        self._event.set()

    def is_set(self) -> bool:
        """Whether this process has been told to end."""
        return self._event.is_set()

    def set(self) -> None:
        """End this process as if it was told to. The supervisor starts another one."""
        self._event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is set, after at most this time."""
        return self._event.wait(seconds)


def fork(run: Callable[[], None], *, name: str) -> int:
    """Run a function in a child process, and return its pid. The child ends with the function, 1 on an exception.

    SIGTERM is blocked in the child and waits for its ``StopSignal``, however early it comes; so is SIGHUP, which is for
    ``on_hangup`` and else for nobody.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGHUP})
        run()
        status = 0
    except HoldfastError as error:
        _log.error("%s ended: %s", name, error)
    except BaseException:  # noqa: BLE001 - nothing of a child may reach the supervisor's own code
        _log.exception("%s ended", name)
    finally:
        logging.shutdown()
        sys.stderr.flush()
        # Without the interpreter's own end: threads that are stuck with a client must not hold it up.
        os._exit(status)


def repeat(stop: threading.Event, seconds: float, work: Callable[[], None], *, name: str) -> threading.Thread:
    """Do ``work`` every so many seconds in a thread until ``stop``; an exception is logged, and the next turn comes."""

    def loop() -> None:
        while not stop.wait(seconds):
            try:
                work()
            except ReadOnly as error:
                _log.debug("%s waits: %s", name, error)
            except HoldfastError as error:
                _log.warning("%s failed and will be tried again: %s", name, error)
            except Exception:  # noqa: BLE001 - whatever it was, the next turn may succeed
                _log.exception("%s failed", name)

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    return thread

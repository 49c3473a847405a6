"""The main process: holds the data folder and the port, starts the others, and starts them anew when they die."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from appliance import faults
from appliance.config import Settings
from appliance.roster import Roster
from appliance.serve.background import run_scheduler
from appliance.serve.folder import hold_folder
from appliance.serve.guessing import guess_key_of
from appliance.serve.listening import listen
from appliance.serve.prepare import finish_store, prepare_store
from appliance.serve.process import fork, has_terminal, raise_descriptors, share_heaps
from appliance.serve.renewal import Renewal, certificate_of
from appliance.serve.worker import run_worker
from providers.http.balance import Tally

_log = logging.getLogger(__name__)

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP}
# A child that dies right after its start is started again this much later: soon enough for who waits, and
# no busy loop where it cannot start at all.
_SOON_S = 1.0
# Beyond what running requests are given, before a child that does not end is killed.
_PATIENCE_S = 10.0


@dataclass(slots=True)
class _Child:
    name: str
    run: Callable[[], None]
    # 0 while it does not run; then it is started at ``due``. Both times are monotonic.
    pid: int = 0
    started: float = 0.0
    due: float = 0.0


def serve(settings: Settings, *, tell: Callable[[str], None], announce: Callable[[str, int], None]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. SIGHUP lets the certificate's files be read anew.

    ``tell`` says things to the person at the terminal, ``announce(host, port)`` once that the server answers.

    Raises:
        Fatal: something has to be put right first.
    """
    share_heaps()
    raise_descriptors()
    shown = certificate_of(settings)
    # Whoever ignores it (nohup) wants to outlive the terminal.
    ends_with_terminal = has_terminal() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    # Kept open for the life of this process and of every child: it is the claim on the folder.
    claim = hold_folder(settings.data)
    listener = listen(settings)
    prepare_store(settings, tell=tell)
    faults.point("start.prepared")
    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def child(run: Callable[[], None]) -> None:
        os.close(writing)
        run()

    tally = Tally(settings.workers)
    roster = Roster([*(f"worker {number + 1}" for number in range(settings.workers)), "scheduler"])
    guess_key = guess_key_of(settings)

    def worker(number: int) -> None:
        load = tally.load(number)
        run_worker(settings, listener, load, reading, roster=roster, number=number, guess_key=guess_key, shown=shown)

    children = [
        _Child(f"worker {number + 1}", partial(child, partial(worker, number))) for number in range(settings.workers)
    ]

    def scheduler() -> None:
        listener.close()
        run_scheduler(settings, reading, roster)

    children.append(_Child("scheduler", partial(child, scheduler)))
    # What was loaded so far is shared by all children as long as nobody writes to it; the collector would.
    gc.collect()
    gc.freeze()
    for each in children:
        _start(each)
    host, port = listener.getsockname()[:2]
    faults.point("start.announce")
    announce(host, port)
    _watch(children, Renewal(shown), ends_with_terminal=ends_with_terminal)
    # The last copy but the workers': nobody shall wait in a queue that is no longer served.
    listener.close()
    clean = _stop(children, settings.drain_seconds + settings.shutdown_seconds + _PATIENCE_S)
    faults.point("stop.children")
    if clean:
        finish_store(settings)
    os.close(claim)
    return 0


def _start(child: _Child) -> None:
    child.started = time.monotonic()
    try:
        faults.point("start.fork")
        child.pid = fork(child.run, name=child.name)
    except OSError as error:
        _log.error("%s could not be started: %s", child.name, error)
        child.due = child.started + _SOON_S


def _watch(children: list[_Child], renewal: Renewal, *, ends_with_terminal: bool) -> None:
    """Start dead children anew, and tell workers of new certificates, until a signal says stop."""
    while True:
        waits = [child.due - time.monotonic() for child in children if not child.pid]
        if renewal.wait_s is not None:
            waits.append(renewal.wait_s)
        taken = signal.sigtimedwait(_SIGNALS, max(min(waits), 0.0)) if waits else signal.sigwaitinfo(_SIGNALS)
        number = 0 if taken is None else taken.si_signo
        if number in (signal.SIGTERM, signal.SIGINT):
            return
        if number == signal.SIGHUP and ends_with_terminal and not has_terminal():
            return
        if renewal.look(asked=number == signal.SIGHUP):
            for child in children:
                if child.pid:
                    _kill(child.pid, signal.SIGHUP)
        while (pid := _reap()) is not None:
            _note_death(pid, children)
        for child in children:
            if not child.pid and child.due <= time.monotonic():
                _start(child)


def _note_death(pid: int, children: list[_Child]) -> None:
    for child in children:
        if child.pid == pid:
            _log.warning("%s (process %d) died and is started anew", child.name, pid)
            now = time.monotonic()
            child.pid, child.due = 0, now if now - child.started >= _SOON_S else now + _SOON_S


def _stop(children: list[_Child], seconds: float) -> bool:
    """End all children; whether each of them ended in order."""
    alive = {child.pid for child in children if child.pid}
    for pid in alive:
        _kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    clean = True
    while alive:
        ended = _wait_any(deadline)
        if ended is None:
            for each in alive:
                _kill(each, signal.SIGKILL)
            deadline = time.monotonic() + _PATIENCE_S
            clean = False
            continue
        clean = clean and ended[1] == 0
        alive.discard(ended[0])
    return clean


def _wait_any(deadline: float) -> tuple[int, int] | None:
    """(process, status) of a child that has ended, None if none has by then."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            return pid, status
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        signal.sigtimedwait({signal.SIGCHLD}, min(left, 1.0))


def _reap() -> int | None:
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return pid or None


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass

"""A worker: answers requests until it is told to stop."""

from __future__ import annotations

import logging
import socket
import threading

from appliance import faults
from appliance.accounts.throttle import FLUSH_EVERY_S
from appliance.app import build_wsgi, open_appliance
from appliance.chunks.writers import RENEW_S
from appliance.config import Settings
from appliance.serve.process import StopSignal, on_hangup, repeat
from appliance.tls.shown import ShownCertificate
from providers.http.balance import Load
from providers.http.limits import Limits
from providers.http.server import HttpServer

_log = logging.getLogger(__name__)


def run_worker(
    settings: Settings,
    listener: socket.socket,
    load: Load,
    supervisor_pipe: int,
    *,
    guess_key: bytes,
    shown: ShownCertificate | None,
) -> None:
    """The life of a worker process. After SIGTERM running requests have ``shutdown_seconds`` to finish; at SIGHUP the
    certificate's files are read anew.
    """
    stop = StopSignal(supervisor_pipe)
    if shown is not None:
        on_hangup(shown.renew)
    faults.point("worker.begun")
    appliance = open_appliance(settings, guess_key=guess_key)
    server = HttpServer(
        build_wsgi(appliance),
        listener,
        threads=settings.threads,
        limits=Limits(
            header_bytes=settings.max_header_size,
            header_seconds=settings.header_seconds,
            idle_seconds=settings.idle_seconds,
            body_stall_seconds=settings.body_stall_seconds,
            hsts_seconds=settings.hsts_seconds,
        ),
        load=load,
        tls=None if shown is None else lambda: shown.context,
        on_error=lambda message: _log.error("%s", message),
    )
    faults.point("worker.ready")
    done = threading.Event()
    repeat(done, RENEW_S, appliance.chunks.writers.renew, name="writer lease")
    repeat(done, FLUSH_EVERY_S, appliance.sign_in.flush, name="failed sign-ins")
    threading.Thread(target=server.serve, name="accept", daemon=True).start()
    stop.wait()
    if not server.stop(settings.shutdown_seconds):
        _log.warning("requests were cut off: they took longer than shutdown_seconds (%d)", settings.shutdown_seconds)
    done.set()
    appliance.close()

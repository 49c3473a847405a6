"""A worker: answers requests until it is told to stop."""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path

from appliance import cores, faults
from appliance.accounts.throttle import FLUSH_EVERY_S
from appliance.app import open_appliance
from appliance.audit import downloads
from appliance.chunks.writers import RENEW_S
from appliance.config import Settings
from appliance.logs.file import LogFile
from appliance.roster import BEAT_S, Roster
from appliance.serve.process import StopSignal, on_hangup, repeat
from appliance.serve.whereabouts import follow_moves
from appliance.tls.shown import ShownCertificate
from appliance.web import build_wsgi
from providers.front.forwarded import stands_for_many
from providers.http.access import AccessLog, json_line, text_line, write_stderr
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
    roster: Roster,
    number: int,
    guess_key: bytes,
    shown: ShownCertificate | None,
) -> None:
    """The life of a worker process, whose seat in the roster is ``number``.

    After SIGTERM it answers for ``drain_seconds`` more; then running requests have ``shutdown_seconds`` to finish. At
    SIGHUP the certificate's files are read anew.
    """
    cores.settle(number, settings.workers)
    stop = StopSignal(supervisor_pipe)
    if shown is not None:
        on_hangup(shown.renew)
    faults.point("worker.begun")
    access = _access_log(settings)
    appliance = open_appliance(settings, guess_key=guess_key, for_requests=True)
    server = HttpServer(
        build_wsgi(appliance, roster, is_leaving=stop.is_set),
        listener,
        threads=settings.threads,
        limits=Limits(
            header_bytes=settings.max_header_size,
            header_seconds=settings.header_seconds,
            idle_seconds=settings.idle_seconds,
            body_stall_seconds=settings.body_stall_seconds,
            hsts_seconds=settings.hsts_seconds,
            connections_per_address=settings.connections_per_address,
        ),
        load=load,
        tls=None if shown is None else lambda: shown.context,
        on_error=lambda message: _log.error("%s", message),
        access=access,
        exempt=lambda share: stands_for_many(share, settings.trusted_proxies),
    )
    faults.point("worker.ready")
    done = threading.Event()
    repeat(done, RENEW_S, appliance.chunks.writers.renew, name="writer lease")
    repeat(done, FLUSH_EVERY_S, appliance.sign_in.flush, name="failed sign-ins")
    repeat(done, downloads.FLUSH_EVERY_S, appliance.downloads.flush, name="downloads")
    repeat(done, BEAT_S, roster.seat(number).beat, name="sign of life")
    follow_moves(appliance.database, appliance.chunks.writers, stop, done)
    threading.Thread(target=server.serve, name="accept", daemon=True).start()
    stop.wait()
    if settings.drain_seconds:
        server.drain()
        time.sleep(settings.drain_seconds)
    if not server.stop(settings.shutdown_seconds):
        _log.warning("requests were cut off: they took longer than shutdown_seconds (%d)", settings.shutdown_seconds)
    done.set()
    if access is not None:
        access.close()
    appliance.close()


def access_file(settings: Settings) -> LogFile | None:
    """The file of the access log, if it goes to one."""
    if not isinstance(settings.access_log, Path):
        return None
    return LogFile(settings.access_log, most_bytes=settings.log_bytes, kept=settings.log_files_kept)


def _access_log(settings: Settings) -> AccessLog | None:
    if settings.access_log == "off":
        return None
    file = access_file(settings)
    return AccessLog(
        write_stderr if file is None else file.write,
        json_line if settings.access_log_format == "json" else text_line,
        tell=lambda message: _log.warning("%s", message),
    )

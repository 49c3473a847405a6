"""The HTTP server of one process."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
import traceback as traceback_module
from collections.abc import Callable

from cheroot.server import HTTPServer

from providers.http.access import AccessLog
from providers.http.balance import Load, Tally
from providers.http.connection import Connection
from providers.http.environ import server_environ
from providers.http.limits import Limits
from providers.http.manager import Connections
from providers.http.pace import Pace
from providers.http.service import App, Service
from providers.http.workers import Workers

_POLL_SECONDS = 0.005


class HttpServer(HTTPServer):
    """Serves a WSGI application on a socket that is bound and listens already.

    Several forked processes may share the socket, each with a server of its own that was made, or at least only used,
    after the fork; their loads make them take as many connections each. An application may answer with memoryviews,
    which are sent without being copied.

    With ``tls`` it speaks https, each connection with the context that ``tls`` gives when it is accepted.
    """

    ConnectionClass = Connection

    def __init__(
        self,
        app: App,
        listener: socket.socket,
        *,
        threads: int,
        limits: Limits,
        load: Load | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        server_name: str = "Holdfast",
        on_error: Callable[[str], None] | None = None,
        access: AccessLog | None = None,
        exempt: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``exempt`` tells of an address, or of an IPv6 network, that it may have any number of connections."""
        host, port = listener.getsockname()[:2]
        super().__init__((host, port), gateway=None, server_name=server_name)
        self.software = server_name
        self.socket = listener
        self.requests = Workers(self, threads)
        self.service = Service(
            app,
            limits,
            server_name,
            waiting=self.requests.queue.waiting,
            load=load or Tally(1).load(0),
            on_error=on_error,
            access=access,
            exempt=exempt,
        )
        self.service.environ = server_environ(server_name, host, port, scheme="http" if tls is None else "https")
        self._tls = tls
        self._loop: threading.Thread | None = None

    @property
    def busy(self) -> int:
        """How many requests are being answered; not those that wait for their answer."""
        return len(self.service.running)

    @property
    def pending(self) -> int:
        """How many requests wait for an answer that comes later."""
        return len(self._connections.pending)

    # Replaces HTTPServer.prepare, which binds a socket of its own and lets accept() block.
    def prepare(self) -> None:
        """Start the workers; connections are accepted from here on."""
        # Two processes wake for one connection, and accept() must not hold the one that comes second.
        self.socket.setblocking(False)
        self.service.opened()
        pace = Pace(
            self.service.running,
            threads=self.requests.min,
            idle=self.requests.queue.idle,
            waiting=self.requests.queue.waiting,
        )
        self._connections = Connections(self, self.service, self.requests.put, pace, self._tls)
        self.requests.start()
        self.ready = True

    # Replaces HTTPServer.serve: the selector has a thread of its own, so that a signal handler, which runs in the main
    # thread, can call stop() and wait for it. The thread for connections beyond the queue's bound has no use: the queue
    # has none.
    def serve(self) -> None:
        """Blocks until ``stop``."""
        if not self.ready and not self.service.closing:
            self.prepare()
        self._loop = threading.Thread(target=self._select, name="http-selector", daemon=True)
        self._loop.start()
        self._loop.join()

    def drain(self) -> None:
        """Each answer from now on ends its connection, so that a balancer keeps none; new ones are still accepted."""
        self.service.draining = True

    # Replaces HTTPServer.stop, which connects to its own address (another process may accept that), closes running
    # requests after their time and then waits for them for ever.
    def stop(self, grace_s: float = 30.0) -> bool:  # type: ignore[override]
        """Answer what is running, at most for ``grace_s``; close what is idle; accept no more.

        True if all was answered. May be called by any thread but the workers and the selector's, also in a signal
        handler; the process may end itself after it.
        """
        self.service.draining = self.service.closing = True
        deadline = time.monotonic() + grace_s
        if not self.ready:
            return not self.busy
        self.ready = False
        self._connections.stop()
        self.socket.close()
        self._connections.close()
        self.service.linger.hurry()
        done: bool = self.requests.finish(deadline)
        while len(self.service.linger) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self.service.linger.close()
        return done

    # Replaces HTTPServer.put_conn: after stop() nothing is watched any more.
    def put_conn(self, conn: Connection) -> None:
        """Take a connection back from a worker. Never raises."""
        if self.ready:
            self._connections.put(conn)
        elif conn.pending is not None:
            conn.abandon()
        else:
            conn.close()

    # Replaces HTTPServer.error_log, which writes to stderr, and what is no error too.
    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        if level >= logging.WARNING:
            self.service.report(msg + (f"\n{traceback_module.format_exc()}" if traceback else ""))

    def _select(self) -> None:
        while self.ready and not self.service.closing:
            try:
                self._connections.run(self.expiration_interval)
            except Exception:  # noqa: BLE001 - without this loop nobody is served
                self.error_log("the selector's loop failed", level=logging.ERROR, traceback=True)
                time.sleep(_POLL_SECONDS)

"""What all connections of one server share."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from types import TracebackType
from typing import Any, TypeAlias

from providers.http.access import AccessLog
from providers.http.addresses import Addresses
from providers.http.balance import Load
from providers.http.limits import Limits
from providers.http.linger import Linger

# WSGI (PEP 3333). The answer's blocks may be memoryviews as well.
Environ: TypeAlias = dict[str, Any]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
StartResponse: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[Any]]


class Service:
    """The application, the limits, and the little state that workers share. Every method may be called by any thread.

    ``running`` holds the connections whose request is being answered: adding to a set is atomic, adding to a counter
    is not. ``waiting`` tells how many connections wait for a worker. ``load`` knows all of this process's connections,
    ``addresses`` whose they are. ``draining``: it will be stopped soon, and no
    connection shall be kept. ``closing``: it is being stopped.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        name: str,
        *,
        waiting: Callable[[], int],
        load: Load,
        on_error: Callable[[str], None] | None,
        access: AccessLog | None = None,
        exempt: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.app = app
        self.limits = limits
        self.name = name
        self.waiting = waiting
        self.load = load
        self.draining = False
        self.closing = False
        self.running: set[Any] = set()
        self.access = access
        self.addresses: Addresses[Any] = Addresses(limits.connections_per_address, exempt)
        self.linger = Linger(limits)
        self.environ: Environ = {}
        # RFC 6797: whoever has been here over https once comes that way only, for so long.
        seconds = limits.hsts_seconds
        self.hsts = f"Strict-Transport-Security: max-age={seconds}\r\n" if seconds else ""
        self._on_error = on_error
        self._stamp = (0, "")
        self._ids = itertools.count(1)
        self._id_prefix = ""

    def opened(self) -> None:
        """To be called in the process that serves: request ids of forked processes must differ."""
        self._id_prefix = os.urandom(4).hex()

    def request_id(self) -> str:
        """Unique among all processes and runs, for practical purposes; 16 characters."""
        return f"{self._id_prefix}{next(self._ids):08x}"

    def opened_connection(self, connection: Any) -> None:
        """Count it."""
        self.load.add(connection)
        self.addresses.add(connection)

    def closed_connection(self, connection: Any) -> None:
        """Also if it was closed before."""
        self.load.drop(connection)
        self.addresses.drop(connection)

    def stamp(self) -> str:
        """The Date and Server lines, made once a second."""
        now = int(time.time())
        second, lines = self._stamp
        if second != now:
            lines = f"Date: {formatdate(now, usegmt=True)}\r\nServer: {self.name}\r\n"
            self._stamp = (now, lines)
        return lines

    def report(self, message: str) -> None:
        """An error of ours (never a peer's), for the person who runs the server."""
        if self._on_error is not None:
            self._on_error(message)
        else:
            sys.stderr.write(f"{message}\n")

"""The `minio` client of one process, with connections and time that are bounded."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import urllib3
from minio.sse import Sse
from urllib3.response import BaseHTTPResponse

from appliance.backends.base import REMOTE
from appliance.backends.gather import Room
from appliance.backends.s3_place import Credentials, Place
from appliance.backends.s3_sums import SummingMinio, compares
from appliance.errors import BackendError

# The time limit of a connection is for each piece of a body that is sent, and not for 32 MiB over a slow line.
_PIECE = 262_144
# What a store may have refused for reasons of the moment.
_ASKS_AGAIN_S = 600


class Limits(NamedTuple):
    """What one process may use."""

    connections: int = 16
    connect_s: float = 10.0
    """To connect, and to send a piece of 256 KiB."""
    read_s: float = 30.0
    """Between two pieces of an answer; also how long a request waits for a free connection."""
    memory_bytes: int = (REMOTE.uploads + 1) * REMOTE.read_size
    """For blocks that wait until their blob is whole: the packs of one stream, with the one that is being filled."""


class Client:
    """One process's. Any thread."""

    def __init__(self, place: Place, credentials: Credentials, limits: Limits, room: Room) -> None:
        self.room = room
        self._place = place
        self._limits = limits
        self._free = threading.BoundedSemaphore(limits.connections)
        self._minio = SummingMinio(
            place.host,
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            session_token=credentials.session_token or None,
            secure=place.secure,
            region=place.region,
            http_client=_Pool(
                maxsize=limits.connections,
                timeout=urllib3.Timeout(connect=limits.connect_s, read=limits.read_s),
                # Who repeats, and for how long, is decided in one place (`retrying`).
                retries=False,
            ),
        )
        if place.style == "virtual":
            self._minio.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        else:
            self._minio.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
        self._compares: bool | None = None
        self._asks_from = -math.inf

    def compares(self, **named: Any) -> bool:
        """Whether the store refuses a body with the CRC-32C of another; asked once, if it has an answer.

        ``named``: for ``put_object``.
        """
        if self._compares is None and time.monotonic() >= self._asks_from:
            self._asks_from = time.monotonic() + _ASKS_AGAIN_S
            # Two threads that ask at the same time get the same answer.
            self._compares = compares(self._minio, self._place.bucket, self._place.prefix, **named)
        return self._compares is True

    @contextmanager
    def connected(self, key: str) -> Iterator[SummingMinio]:
        """The client, for one request."""
        if not self._free.acquire(timeout=self._limits.read_s):
            reason = f"all {self._limits.connections} connections to {self._place.store} were busy for too long"
            raise BackendError(key=key, reason=reason, temporary=True)
        try:
            yield self._minio
        finally:
            self._free.release()


class _Pool(urllib3.PoolManager):
    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **named: Any
    ) -> BaseHTTPResponse:
        body = named.get("body")
        if isinstance(body, bytes) and len(body) > _PIECE:
            named["body"] = _pieces(body)
        return super().urlopen(method, url, redirect=False, **named)


def _pieces(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), _PIECE):
        yield view[start : start + _PIECE]


class Encryption(Sse):
    """The headers that ask the store to encrypt."""

    def __init__(self, place: Place) -> None:
        self._headers = {"X-Amz-Server-Side-Encryption": place.sse}
        if place.sse_key:
            self._headers["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = place.sse_key

    def headers(self) -> dict[str, str]:
        return dict(self._headers)

    def tls_required(self) -> bool:
        return False

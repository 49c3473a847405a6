"""A small HTTP client: whole requests over a kept connection, and connections whose every byte the test decides."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.http.harness import Client as Wire

__all__ = ["Answer", "Dav", "Wire"]


class Answer(NamedTuple):
    """Names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        """As in the header, with quotes."""
        return self.headers["etag"]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Dav:
    """A connection to the server, opened at need, with Basic credentials on each request; over TLS with ``trust``.

    ``source`` is an address of this machine to come from.
    """

    def __init__(
        self,
        port: int,
        user: str,
        password: str,
        timeout: float,
        trust: ssl.SSLContext | None = None,
        source: str | None = None,
    ) -> None:
        self.port = port
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        bound = None if source is None else (source, 0)
        self._connection = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=timeout, source_address=bound)
            if trust is None
            else http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, source_address=bound, context=trust)
        )
        self._timeout = timeout

    def __enter__(self) -> Dav:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The next request opens a new connection."""
        self._connection.close()

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        signed_in: bool = True,
    ) -> Answer:
        """A request and its answer. ``path`` is sent as it stands; a body that is no bytes goes out chunked."""
        sent = {"Authorization": self.authorization} if signed_in else {}
        chunked = body is not None and not isinstance(body, bytes)
        sent |= {"Transfer-Encoding": "chunked"} if chunked else {}
        self._connection.request(method, path, body, {**sent, **(headers or {})}, encode_chunked=chunked)
        response = self._connection.getresponse()
        fields: dict[str, str] = {}
        for name, value in response.getheaders():
            # RFC 9110 §5.3: several fields of a name are one list.
            fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
        try:
            return Answer(response.status, fields, response.read())
        finally:
            response.close()

    def ok(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request that has to succeed."""
        answer = self(method, path, body, headers)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.text}"
        return answer

    @property
    def socket(self) -> socket.socket:
        """Of the connection that is open now."""
        found: socket.socket | None = self._connection.sock
        assert found is not None, "the connection is closed"
        return found

    def wire(self, timeout: float | None = None) -> Wire:
        """A new connection without any help."""
        return Wire(socket.create_connection(("127.0.0.1", self.port), timeout or self._timeout))

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """A request's head with credentials, ready to be sent over a wire."""
        fields = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: {self.authorization}", *lines]
        return "\r\n".join([*fields, "", ""]).encode("latin-1")

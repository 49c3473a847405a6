"""A GET as any program makes it, without credentials."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit


def fetch(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> tuple[int, bytes]:
    """Status and body. Nothing is sent but what is given, ``Host``, and what http.client always sends."""
    parts = urlsplit(url)
    assert parts.scheme == "http"
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()

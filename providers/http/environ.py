"""WSGI environments (PEP 3333), built by copying a template."""

from __future__ import annotations

import sys
from urllib.parse import unquote_to_bytes

from providers.http.body import Body
from providers.http.head import Head
from providers.http.service import Environ

PRINCIPAL = "holdfast.principal"
"""Where a face leaves who has signed in (``appliance.principal.Principal``), for the access log."""


def server_environ(name: str, host: str, port: int, *, scheme: str) -> Environ:
    """What is the same for all requests to a server that listens on ``host`` and ``port``."""
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_SOFTWARE": name,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def connection_environ(template: Environ, address: str, port: int) -> Environ:
    """What is the same for all requests of a connection. An IPv4 peer of an IPv6 socket is shown as IPv4."""
    return {**template, "REMOTE_ADDR": address.removeprefix("::ffff:"), "REMOTE_PORT": str(port)}


def request_environ(template: Environ, head: Head, body: Body, request_id: str) -> Environ:
    """``PATH_INFO`` is the percent-decoded path as latin-1; ``holdfast.target`` the path as it was sent, so that an
    encoded slash can be told from a slash; ``holdfast.request_id`` is what a 5xx answer carries as X-Request-Id.
    """
    path = head.path
    return {
        **template,
        **head.fields,
        "REQUEST_METHOD": head.method,
        "REQUEST_URI": head.target,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if "%" in path else path,
        "QUERY_STRING": head.query,
        "SERVER_PROTOCOL": "HTTP/1.1" if head.minor else "HTTP/1.0",
        "wsgi.input": body,
        "holdfast.target": path,
        "holdfast.request_id": request_id,
    }

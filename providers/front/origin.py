"""Requests that a foreign web page makes with a visitor's credentials (cross-site request forgery)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

# These change nothing (RFC 9110 §9.2.1; PROPFIND: RFC 4918 §9.1).
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"))
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# A form can send these; "" is a request without a body.
_SIMPLE_TYPES = frozenset(("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"))
_FOREIGN_SITES = frozenset(("cross-site", "same-site"))


def is_foreign(environ: dict[str, Any], public_urls: Collection[str]) -> bool:
    """Whether another origin's page sent a request that would change something.

    Browsers tell; other clients send neither header. "same-site" is another port or subdomain: somebody else's. Which
    scheme a browser spoke cannot be told behind a proxy that ends TLS, so host and port decide.
    """
    if environ["REQUEST_METHOD"] in _SAFE:
        return False
    if environ.get("HTTP_SEC_FETCH_SITE", "").strip().lower() in _FOREIGN_SITES:
        return True
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return False
    asked = _origin_of(origin)
    scheme = asked.partition("://")[0]
    seen = _origin_of(f"{scheme}://{environ.get('HTTP_HOST', '')}")
    return scheme not in _DEFAULT_PORTS or asked not in (seen, *map(_origin_of, public_urls))


def is_guest(environ: dict[str, Any], guests: Collection[str]) -> bool:
    """Whether a request is of another origin that was invited, and cannot have been made with what a browser keeps.

    A browser asks before it lets a page send a method or a header of its own, and is told that it may not add
    credentials. Of what it sends without asking (Fetch §2.2: simple requests) nothing is taken.
    """
    origin = environ.get("HTTP_ORIGIN")
    if origin is None or not guests or not invites(guests, origin):
        return False
    media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    return environ["REQUEST_METHOD"] != "POST" or media_type not in _SIMPLE_TYPES or "HTTP_TUS_RESUMABLE" in environ


def invites(guests: Collection[str], origin: str) -> bool:
    """Whether one of these origins, or "*", is this one."""
    return "*" in guests or _origin_of(origin) in guests


def _origin_of(url: str) -> str:
    """Scheme, host and port in lower case, without the scheme's default port (RFC 6454 §6.2)."""
    try:
        parts = urlsplit(url.strip().lower())
    except ValueError:
        return "null"
    return f"{parts.scheme}://{parts.netloc.removesuffix(_DEFAULT_PORTS.get(parts.scheme, ''))}"

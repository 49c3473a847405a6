"""Requests that a foreign web page makes with a visitor's credentials (cross-site request forgery)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

# These change nothing (RFC 9110 §9.2.1; PROPFIND: RFC 4918 §9.1).
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"))
_FOREIGN_SITES = frozenset(("cross-site", "same-site"))


def is_foreign(environ: dict[str, Any], public_urls: Collection[str]) -> bool:
    """Whether another origin's page sent a request that would change something.

    Browsers tell; other clients send neither header. "same-site" is another port or subdomain: somebody else's.
    """
    if environ["REQUEST_METHOD"] in _SAFE:
        return False
    if environ.get("HTTP_SEC_FETCH_SITE", "").strip().lower() in _FOREIGN_SITES:
        return True
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return False
    own = {f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}".lower(), *map(_origin_of, public_urls)}
    return _origin_of(origin) not in own


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url.strip().lower())
    except ValueError:
        return "null"
    return f"{parts.scheme}://{parts.netloc}"

"""Pages of other web sites (CORS, Fetch §3.2): who may use the API from a browser, and never with what that keeps."""

from __future__ import annotations

from typing import Any

from providers.front.compression import vary
from providers.front.messages import Answer, Headers
from providers.front.origin import invites

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_EXPOSED = (
    "Content-Disposition, Content-Encoding, Content-Length, Content-Range, ETag, Location, RateLimit, "
    "RateLimit-Policy, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, "
    "Upload-Concat, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, WWW-Authenticate"
)
_MAX_AGE_S = 600
_HEADERS_MOST = 2000


def preflight(environ: dict[str, Any], origins: tuple[str, ...]) -> Answer | None:
    """The answer to a browser that asks what a page may do; None for every other request."""
    if environ["REQUEST_METHOD"] != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
        return None
    headers: Headers = [("Cache-Control", "no-store")]
    if _allowed(environ, origins):
        headers += [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Max-Age", str(_MAX_AGE_S)),
        ]
        # Which ones matter is known by whoever reads them: what is not known has no effect.
        asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        if asked and len(asked) <= _HEADERS_MOST:
            headers.append(("Access-Control-Allow-Headers", asked))
    return Answer(204, headers, [])


def shared(environ: dict[str, Any], origins: tuple[str, ...], headers: Headers) -> Headers:
    """The headers of an answer, with what lets pages of these origins read it."""
    if not origins:
        return headers
    if "*" in origins:
        allowed: str | None = "*"
    else:
        # Caches in front must not give one site what was meant for another.
        headers = vary(headers, "Origin")
        allowed = environ["HTTP_ORIGIN"] if _allowed(environ, origins) else None
    if allowed is None:
        return headers
    return [*headers, ("Access-Control-Allow-Origin", allowed), ("Access-Control-Expose-Headers", _EXPOSED)]


def _allowed(environ: dict[str, Any], origins: tuple[str, ...]) -> bool:
    return "HTTP_ORIGIN" in environ and bool(origins) and invites(origins, environ["HTTP_ORIGIN"])

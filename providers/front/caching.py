"""What caches may do with an answer whose face does not say (RFC 9111 §5.2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from providers.front.messages import Headers

_REFUSED = "4", "5"


def never_silent(environ: dict[str, Any], start_response: Callable[..., Any]) -> Callable[..., Any]:
    """WSGI's start_response, with which an error is kept by nobody, and what somebody with credentials gets is kept
    by nobody else. A cache may guess else how long a 404 holds (RFC 9111 §4.2.2).
    """

    def start(status: str, headers: Headers, *more: Any) -> Any:
        if not any(name == "Cache-Control" for name, _ in headers):
            if status.startswith(_REFUSED):
                headers = [*headers, ("Cache-Control", "no-store")]
            elif "HTTP_AUTHORIZATION" in environ or "HTTP_COOKIE" in environ:
                headers = [*headers, ("Cache-Control", "private, no-cache")]
        return start_response(status, headers, *more)

    return start

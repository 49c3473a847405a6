"""What a method answers."""

from __future__ import annotations

from http import HTTPStatus

from providers.dav import xml_out
from providers.front.messages import Answer, Headers, text

__all__ = ["empty", "text", "xml"]


def empty(status: int, headers: Headers | None = None) -> Answer:
    """No body. RFC 9110 §8.6: 204 says so by itself, and must not carry a length."""
    length = [] if status == HTTPStatus.NO_CONTENT else [("Content-Length", "0")]
    return Answer(status, [*(headers or []), *length], [])


def xml(status: int, body: bytes, headers: Headers | None = None) -> Answer:
    """A document."""
    told = [("Content-Type", xml_out.CONTENT_TYPE), ("Content-Length", str(len(body)))]
    return Answer(status, [*(headers or []), *told], [body])

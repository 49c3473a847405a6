"""What a method answers."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from appliance.backends.base import Buffer
from providers.dav import xml_out

Headers = list[tuple[str, str]]

_REASONS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Answer(NamedTuple):
    """Status, headers and body. ``blocks`` without a Content-Length among the headers are sent chunked."""

    status: int
    headers: Headers
    blocks: Iterable[Buffer]

    @property
    def status_line(self) -> str:
        return _REASONS[self.status]


def empty(status: int, headers: Headers | None = None) -> Answer:
    """No body. RFC 9110 §8.6: 204 says so by itself, and must not carry a length."""
    length = [] if status == HTTPStatus.NO_CONTENT else [("Content-Length", "0")]
    return Answer(status, [*(headers or []), *length], [])


def text(status: int, message: str, headers: Headers | None = None) -> Answer:
    """A line for a person."""
    body = f"{message}\n".encode("utf-8", "replace")
    return Answer(
        status,
        [
            *(headers or []),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Length", str(len(body))),
        ],
        [body],
    )


def xml(status: int, body: bytes, headers: Headers | None = None) -> Answer:
    """A document."""
    return Answer(
        status, [*(headers or []), ("Content-Type", xml_out.CONTENT_TYPE), ("Content-Length", str(len(body)))], [body]
    )

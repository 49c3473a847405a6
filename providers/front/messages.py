"""Requests' bodies and answers, as every protocol face has them."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from appliance.backends.base import Buffer

Headers = list[tuple[str, str]]

# 460 is of tus.
_REASONS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus} | {460: "460 Checksum Mismatch"}


class Body(Protocol):
    """``wsgi.input``: ``length`` is what the client announced, None for a chunked body."""

    @property
    def length(self) -> int | None: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def readinto(self, buffer: memoryview, /) -> int: ...


class Answer(NamedTuple):
    """Status, headers and body. ``blocks`` without a Content-Length among the headers are sent chunked."""

    status: int
    headers: Headers
    blocks: Iterable[Buffer]

    @property
    def status_line(self) -> str:
        return _REASONS[self.status]


def is_coded(environ: dict[str, Any]) -> bool:
    """Whether the bytes of a body are other ones than those that are to be stored (Content-Encoding)."""
    coding: str = environ.get("HTTP_CONTENT_ENCODING", "")
    return coding.strip().lower() not in ("", "identity")


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

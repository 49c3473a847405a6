"""What the API answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from appliance.backends.base import Buffer

Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    """Status, headers and body."""

    status: int
    headers: Headers
    blocks: Iterable[Buffer]

    @property
    def status_line(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def document(
    status: int, body: Mapping[str, Any], headers: Headers | None = None, *, media_type: str = "application/json"
) -> Answer:
    """JSON; nobody keeps it without asking again."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Answer(
        status,
        [
            *(headers or []),
            ("Content-Type", media_type),
            ("Cache-Control", "no-store" if status >= 400 else "private, no-cache"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Length", str(len(data))),
        ],
        [data],
    )


def nothing(headers: Headers | None = None) -> Answer:
    """204."""
    return Answer(HTTPStatus.NO_CONTENT, headers or [], [])

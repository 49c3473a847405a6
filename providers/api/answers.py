"""What the API answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from providers.front.messages import Answer, Headers


def document(
    status: int,
    body: Mapping[str, Any],
    headers: Headers | None = None,
    *,
    media_type: str = "application/json",
    secret: bool = False,
) -> Answer:
    """JSON; nobody keeps it without asking again, and nobody at all if it holds something ``secret``."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Answer(
        status,
        [
            *(headers or []),
            ("Content-Type", media_type),
            ("Cache-Control", "no-store" if secret or status >= 400 else "private, no-cache"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Length", str(len(data))),
        ],
        [data],
    )


def nothing(headers: Headers | None = None) -> Answer:
    """204."""
    return Answer(HTTPStatus.NO_CONTENT, headers or [], [])

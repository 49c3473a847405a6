"""A client of the API: documents in and out, whose form is looked at on the way."""

from __future__ import annotations

import json
from typing import Any

from tests.server.dav_client import Answer, Dav


def ask(dav: Dav, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """A request with a JSON body, or bytes; status and what the answer says."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    answer = dav(method, path, body, sent)
    return answer.status, told(answer)


def told(answer: Answer) -> Any:
    """Every answer is a document, or empty."""
    if answer.status == 204:
        assert answer.body == b""
        return None
    kind = "application/problem+json" if answer.status >= 400 else "application/json"
    assert answer.headers["content-type"] == kind
    document = json.loads(answer.body)
    if answer.status >= 400:
        assert document["status"] == answer.status
        assert document["type"].startswith("urn:holdfast:problem:")
        assert document["title"]
        assert document["detail"]
        assert answer.headers["cache-control"] == "no-store"
    return document


def path_of(url: str) -> str:
    """What to ask the connection for."""
    return "/" + url.split("/", 3)[3]

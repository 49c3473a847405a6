"""tus below ``/tus/``: the same uploads as those of the API, by another protocol (``providers.tus``)."""

from __future__ import annotations

from typing import Any

from providers.api.request import Request
from providers.api.uploads import TUS_PATH
from providers.front.messages import Answer
from providers.tus import protocol, uploading
from providers.tus.uploading import Asked


def is_below(path: str) -> bool:
    """Whether a path below the API's prefix is one of tus."""
    return f"{path}/".startswith(TUS_PATH)


def method_of(environ: dict[str, Any]) -> str:
    """What is asked for: X-HTTP-Method-Override is for clients that can send nothing but POST."""
    method: str = environ["REQUEST_METHOD"]
    if method == "POST":
        return environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").strip().upper() or method
    return method


def create(request: Request) -> Answer:
    return uploading.create(_asked(request))


def head(request: Request) -> Answer:
    return uploading.head(_asked(request), request.values["uploadId"])


def patch(request: Request) -> Answer:
    return uploading.patch(_asked(request), request.values["uploadId"])


def terminate(request: Request) -> Answer:
    return uploading.terminate(_asked(request), request.values["uploadId"])


def refused(answer: Answer, error: Exception) -> Answer:
    """The answer to an error, as tus wants it."""
    return answer._replace(headers=[*protocol.of_refusal(error), *answer.headers])


def _asked(request: Request) -> Asked:
    return Asked(request.api.uploads, request.principal, request.environ, lambda _: request.url(TUS_PATH))

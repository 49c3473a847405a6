"""How a request of the API is described."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from providers.api.openapi.shapes import Schema, integer, ref, text

JSON = "application/json"
PROBLEM = "application/problem+json"
BYTES = "application/octet-stream"

_USUAL = (400, 401, 403, 404, 429, 500, 503)
"""What any request may be answered with."""

_MEANS = {
    400: "the request is wrong",
    401: "nobody has signed in",
    403: "not allowed",
    404: "there is none, or it is somebody else's",
    408: "the body stood still",
    409: "a name is taken, something is missing, or has changed",
    410: "what the cursor or the moment names is kept no more",
    412: "an ETag does not hold",
    413: "too large",
    415: "a body of another type, or in a content coding",
    416: "the range begins after the end",
    423: "locked by a WebDAV client",
    429: "too many requests, or wrong passwords; try again after Retry-After seconds",
    500: "stored bytes are damaged, or the server has a mistake",
    503: "try again after Retry-After seconds",
    507: "over quota, or no room",
}


class Reply(NamedTuple):
    """An answer that is no error."""

    status: int
    description: str
    schema: Schema | None = None
    media_type: str = JSON
    headers: tuple[str, ...] = ()


def parameter(name: str, schema: Schema, description: str = "", *, where: str = "query") -> dict[str, Any]:
    """``where``: query, path or header."""
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        **({"description": description} if description else {}),
    }


def in_path(name: str, pattern: str, description: str = "") -> dict[str, Any]:
    return parameter(name, text(pattern=pattern), description, where="path")


FILE_ID = in_path("fileId", "^[0-9]{1,18}$")
UPLOAD_ID = in_path("uploadId", "^[0-9a-f]{32}$")
LIMIT = parameter("limit", integer(minimum=1, maximum=1000), "how many at most")
CURSOR = parameter("cursor", text(maxLength=200), "from the page before")
IF_MATCH = parameter("If-Match", text(maxLength=1000), "only if it has this ETag", where="header")
DIGEST = parameter(
    "Content-Digest", text(maxLength=500), "sha-256=:BASE64: (RFC 9530); compared if it is sent", where="header"
)


def operation(
    name: str,
    summary: str,
    tag: str,
    replies: Sequence[Reply],
    *,
    errors: Sequence[int] = (),
    parameters: Sequence[dict[str, Any]] = (),
    body: Schema | str | None = None,
    optional_body: bool = False,
    description: str = "",
    is_open: bool = False,
) -> dict[str, Any]:
    """``name``: the operationId. ``body``: a schema of JSON, or a media type of bytes. ``is_open``: for anybody."""
    described: dict[str, Any] = {"operationId": name, "summary": summary, "tags": [tag]}
    if description:
        described["description"] = description
    if parameters:
        described["parameters"] = list(parameters)
    if body is not None:
        schema, media_type = (text(format="binary"), body) if isinstance(body, str) else (body, JSON)
        described["requestBody"] = {"required": not optional_body, "content": {media_type: {"schema": schema}}}
        errors = (*errors, 408, 413, 415)
    statuses = sorted({*_USUAL, *errors} - ({401} if is_open else set()))
    described["responses"] = {
        **{str(reply.status): _reply(reply) for reply in replies},
        **{str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses},
    }
    if is_open:
        described["security"] = []
    return described


def responses() -> dict[str, Any]:
    """The errors, each once."""
    return {
        str(status): {
            "description": means,
            "content": {PROBLEM: {"schema": ref("Problem")}},
        }
        for status, means in _MEANS.items()
    }


def _reply(reply: Reply) -> dict[str, Any]:
    described: dict[str, Any] = {"description": reply.description}
    if reply.schema is not None:
        described["content"] = {reply.media_type: {"schema": reply.schema}}
    if reply.headers:
        described["headers"] = {name: {"schema": text()} for name in reply.headers}
    return described

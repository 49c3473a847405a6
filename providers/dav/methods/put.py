"""PUT."""

from __future__ import annotations

from appliance import clock
from appliance.errors import BadRequest, Conflict
from appliance.files import write
from appliance.files.write import Announced
from appliance.tree.paths import show
from providers.dav import answer
from providers.dav.checksums import checksum_state, parse_oc_checksum
from providers.dav.conditions import format_http_date
from providers.dav.headers import parse_oc_mtime
from providers.dav.request import DavRequest
from providers.front.messages import Answer, Headers, is_coded

# rclone announces SHA1 and compares by MD5: ownCloud, whose dialect this is, computes both.
_KEPT = ("SHA1", "MD5")


class UrlEndsInSlash(Conflict):
    """A file's URL does not end in a slash."""

    message = "{path}/ would be a folder; a file's URL does not end in a slash"


def put(request: DavRequest) -> Answer:
    """Store the body. Whatever can be refused is refused before its first byte is read."""
    if "HTTP_CONTENT_RANGE" in request.environ:
        # RFC 9110 §14.5: storing the part as if it were the whole would destroy the file.
        raise BadRequest(reason="PUT of a part of a file (Content-Range) is not supported; send the whole file")
    if is_coded(request.environ):
        return answer.text(415, "a content coding is not supported; send the bytes as they are")
    if request.trailing_slash and request.path:
        raise UrlEndsInSlash(path=show(request.path))
    modified_at = parse_oc_mtime(request.header("HTTP_X_OC_MTIME"))
    written = write.put_file(
        request.files,
        request.principal,
        request.path,
        request.body,
        length=_announced_length(request),
        # A length that comes beside a chunked body is a hint, and no reason to read the body before anything else.
        waits=request.body.length is None or "HTTP_EXPECT" in request.environ,
        conditions=request.conditions(),
        modified_at=modified_at,
        checksum=_announced_checksum(request),
    )
    headers: Headers = [
        ("ETag", written.node.etag(request.files.incarnation)),
        ("Last-Modified", format_http_date(written.node.modified_at // clock.SECOND)),
    ]
    if modified_at is not None:
        headers.append(("X-OC-Mtime", "accepted"))
    return answer.empty(201 if written.created else 204, headers)


def _announced_length(request: DavRequest) -> int | None:
    """What a chunked body will have is only told by clients that mean well: Finder, and the ownCloud dialect."""
    if request.body.length is not None:
        return request.body.length
    for name in ("HTTP_X_EXPECTED_ENTITY_LENGTH", "HTTP_OC_TOTAL_LENGTH"):
        value = request.environ.get(name, "")
        if value.isascii() and value.isdigit() and len(value) < 20:
            return int(value)
    return None


def _announced_checksum(request: DavRequest) -> Announced | None:
    found = parse_oc_checksum(request.header("HTTP_OC_CHECKSUM"))
    if not found:
        return None
    algorithms = dict.fromkeys((*(each.algorithm for each in found), *_KEPT))
    return Announced(
        {each.algorithm: each.hexdigest for each in found}, {name: checksum_state(name) for name in algorithms}
    )

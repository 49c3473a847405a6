"""COPY and MOVE."""

from __future__ import annotations

from appliance.files import transfer
from appliance.files.transfer import Transferred
from providers.dav import answer
from providers.dav.headers import parse_depth, parse_oc_mtime, parse_overwrite
from providers.dav.methods.folders import require_whole
from providers.dav.request import DavRequest
from providers.front.messages import Answer, Headers


def copy(request: DavRequest) -> Answer:
    """RFC 4918 §9.8: with Depth 0 a folder is copied without its members."""
    target, _ = request.destination()
    depth = parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "infinity"))
    copied = transfer.copy(
        request.files,
        request.principal,
        request.path,
        target,
        overwrite=parse_overwrite(request.header("HTTP_OVERWRITE")),
        deep=depth == "infinity",
        conditions=request.conditions(),
    )
    return _answer(request, copied, [])


def move(request: DavRequest) -> Answer:
    """RFC 4918 §9.9."""
    target, _ = request.destination()
    require_whole(request)
    modified_at = parse_oc_mtime(request.header("HTTP_X_OC_MTIME"))
    moved = transfer.move(
        request.files,
        request.principal,
        request.path,
        target,
        overwrite=parse_overwrite(request.header("HTTP_OVERWRITE")),
        conditions=request.conditions(),
        modified_at=modified_at,
    )
    return _answer(request, moved, [("X-OC-Mtime", "accepted")] if modified_at is not None else [])


def _answer(request: DavRequest, transferred: Transferred, headers: Headers) -> Answer:
    if not transferred.node.is_folder:
        headers.append(("ETag", transferred.node.etag(request.files.incarnation)))
    return answer.empty(201 if transferred.created else 204, headers)

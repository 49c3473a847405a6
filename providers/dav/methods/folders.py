"""MKCOL and DELETE."""

from __future__ import annotations

from appliance.errors import BadRequest
from appliance.files import folders, read, remove
from providers.dav import answer
from providers.dav.answer import Answer
from providers.dav.headers import parse_depth, parse_oc_mtime
from providers.dav.request import DavRequest


def mkcol(request: DavRequest) -> Answer:
    """A new folder (RFC 4918 §9.3)."""
    modified_at = parse_oc_mtime(request.header("HTTP_X_OC_MTIME"))
    folders.make_folder(
        request.files, request.principal, request.path, conditions=request.conditions(), modified_at=modified_at
    )
    return answer.empty(201, [("X-OC-Mtime", "accepted")] if modified_at is not None else [])


def delete(request: DavRequest) -> Answer:
    """Into the trash (RFC 4918 §9.6); of a folder always all or nothing, so there is no Multi-Status."""
    require_whole(request)
    remove.remove(request.files, request.principal, request.path, conditions=request.conditions())
    return answer.empty(204)


def require_whole(request: DavRequest) -> None:
    """DELETE and MOVE take a folder with all that is in it: a client that says otherwise expects something else
    (RFC 4918 §9.6.1, §9.9.2). A file has no depth.

    Raises:
        NotFound: nothing is there.
    """
    depth = parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "1", "infinity"))
    if depth != "infinity" and read.open_path(request.files, request.principal, request.path).node.is_folder:
        raise BadRequest(reason=f"{request.method} of a folder has the Depth infinity")

"""MKCOL and DELETE."""

from __future__ import annotations

from appliance.files import folders, remove
from providers.dav import answer
from providers.dav.answer import Answer
from providers.dav.headers import parse_depth, parse_oc_mtime
from providers.dav.request import DavRequest


def mkcol(request: DavRequest) -> Answer:
    """A new folder (RFC 4918 §9.3)."""
    if request.body.length != 0 and request.body.read(1):
        return answer.text(415, "MKCOL takes no body")
    modified_at = parse_oc_mtime(request.header("HTTP_X_OC_MTIME"))
    folders.make_folder(
        request.files, request.principal, request.path, conditions=request.conditions(), modified_at=modified_at
    )
    return answer.empty(201, [("X-OC-Mtime", "accepted")] if modified_at is not None else [])


def delete(request: DavRequest) -> Answer:
    """Into the trash (RFC 4918 §9.6); of a folder always all or nothing, so there is no Multi-Status."""
    parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "infinity"))
    remove.remove(request.files, request.principal, request.path, conditions=request.conditions())
    return answer.empty(204)

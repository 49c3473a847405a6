"""MKCOL and DELETE."""

from __future__ import annotations

from appliance.accounts.policy import Action
from appliance.errors import BadRequest, TooLarge
from appliance.files import folders, read, remove
from providers.dav import answer, xml_out
from providers.dav.headers import parse_depth, parse_oc_mtime
from providers.dav.request import DavRequest
from providers.dav.updates import elements, judge
from providers.dav.xml_in import MkcolRequest, parse_mkcol
from providers.front.messages import Answer

_RESOURCETYPE = "{DAV:}resourcetype"


def mkcol(request: DavRequest) -> Answer:
    """A new folder (RFC 4918 §9.3), with a body one that has properties from the beginning (RFC 5689)."""
    sent_at = parse_oc_mtime(request.header("HTTP_X_OC_MTIME"))
    body = request.xml()
    asked = parse_mkcol(body, limit_bytes=request.face.max_xml_bytes) if body else MkcolRequest((), is_plain=True)
    updates = judge([update for update in asked.updates if update.name != _RESOURCETYPE])
    if not updates.possible or not asked.is_plain:
        # What a folder without properties would be refused for comes first.
        folders.require_free(request.files, request.principal, request.path, request.conditions())
        return _refused(asked, updates.refusals())
    try:
        folders.make_folder(
            request.files,
            request.principal,
            request.path,
            conditions=request.conditions(),
            modified_at=updates.modified_at if sent_at is None else sent_at,
            dead=[(name, value) for name, value in updates.dead if value is not None],
        )
    except TooLarge as error:
        return _refused(asked, updates.too_large(str(error)))
    return answer.empty(201, [("X-OC-Mtime", "accepted")] if sent_at is not None else [])


def _refused(asked: MkcolRequest, refusals: list[str]) -> Answer:
    """RFC 5689 §3.5. Always 403: with MKCOL 409 says that the folder above is missing, 507 that the disk is full."""
    names = [name for name in (update.name for update in asked.updates) if name == _RESOURCETYPE]
    parts = []
    if names and asked.is_plain:
        parts.append(xml_out.propstat(elements(names), 424))
    elif names:
        reason = "a folder is a DAV:collection and nothing else"
        parts.append(xml_out.propstat(elements(names), 403, condition="valid-resourcetype", description=reason))
    return answer.xml(403, xml_out.mkcol_response([*parts, *refusals]))


def delete(request: DavRequest) -> Answer:
    """Into the trash (RFC 4918 §9.6); of a folder always all or nothing, so there is no Multi-Status."""
    require_whole(request)
    remove.remove(request.files, request.principal, request.path, conditions=request.conditions())
    return answer.empty(204)


def require_whole(request: DavRequest) -> None:
    """DELETE and MOVE take a folder with all that is in it: a client that says otherwise expects something else
    (RFC 4918 §9.6.1, §9.9.2). A file has no depth.

    Raises:
        BadRequest
    """
    depth = parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "1", "infinity"))
    if depth != "infinity" and read.is_folder(request.files, request.principal, request.path, Action.WRITE):
        raise BadRequest(reason=f"{request.method} of a folder has the Depth infinity")

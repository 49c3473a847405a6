"""PROPPATCH: all or nothing (RFC 4918 §9.2)."""

from __future__ import annotations

from appliance.accounts.policy import Action
from appliance.errors import TooLarge
from appliance.files import properties, read
from providers.dav import answer, xml_out
from providers.dav.paths import encode_path
from providers.dav.preferences import preferences
from providers.dav.request import DavRequest
from providers.dav.updates import elements, judge
from providers.dav.xml_in import parse_proppatch
from providers.front.messages import Answer


def proppatch(request: DavRequest) -> Answer:
    """Set and remove dead properties, and the modification time in the three spellings that clients use."""
    updates = judge(parse_proppatch(request.xml(), limit_bytes=request.face.max_xml_bytes))
    on_folder = read.is_folder(request.files, request.principal, request.path, Action.WRITE)
    href = encode_path(request.path, on_folder, request.face.prefix)
    if not updates.possible:
        # What a change would be refused for comes first.
        read.require_changeable(request.files, request.principal, request.path, request.conditions())
        return _multistatus(href, updates.refusals())
    try:
        properties.patch(
            request.files,
            request.principal,
            request.path,
            updates.dead,
            modified_at=updates.modified_at,
            conditions=request.conditions(),
        )
    except TooLarge as error:
        return _multistatus(href, updates.too_large(str(error)))
    followed = preferences(request)
    if followed.minimal:
        # RFC 8144 §2.2: all of it went as wished.
        return answer.empty(200, followed.headers())
    return _multistatus(href, [xml_out.propstat(elements(updates.names))])


def _multistatus(href: str, propstats: list[str]) -> Answer:
    document = xml_out.multistatus_head() + xml_out.response(href, propstats) + xml_out.multistatus_tail()
    return answer.xml(207, document.encode("utf-8", "replace"), [("Vary", "Prefer")])

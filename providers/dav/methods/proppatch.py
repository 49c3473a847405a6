"""PROPPATCH: all or nothing (RFC 4918 §9.2)."""

from __future__ import annotations

from collections.abc import Iterable

from appliance import clock
from appliance.errors import BadRequest
from appliance.files import properties, read
from providers.dav import answer, live, xml_out
from providers.dav.answer import Answer
from providers.dav.dates import parse_http_date, parse_iso_date
from providers.dav.headers import parse_oc_mtime
from providers.dav.paths import encode_path
from providers.dav.preferences import preferences
from providers.dav.request import DavRequest
from providers.dav.xml_in import PropertyUpdate, parse_proppatch, text_of

_NO_TIME = "a modification time is an HTTP date, an ISO 8601 date with time and zone, or seconds since 1970"


def proppatch(request: DavRequest) -> Answer:
    """Set and remove dead properties, and the modification time in the three spellings that clients use."""
    updates = parse_proppatch(request.xml(), limit_bytes=request.face.max_xml_bytes)
    node = read.open_path(request.files, request.principal, request.path).node
    href = encode_path(request.path, node.is_folder, request.face.prefix)
    protected = [update.name for update in updates if _is_protected(update)]
    times = [(update.name, _modified_at(update)) for update in updates if update.name in live.SETTABLE]
    wrong = [name for name, moment in times if moment is None and name not in protected]
    if protected or wrong:
        # What a change would be refused for comes first.
        read.require_changeable(request.files, request.principal, request.path, request.conditions())
        return _refuse(href, updates, protected, wrong)
    properties.patch(
        request.files,
        request.principal,
        request.path,
        [(update.name, update.value_xml) for update in updates if update.name not in live.SETTABLE],
        modified_at=times[-1][1] if times else None,
        conditions=request.conditions(),
    )
    followed = preferences(request)
    if followed.minimal:
        # RFC 8144 §2.2: all of it went as wished.
        return answer.empty(200, followed.headers())
    return _multistatus(href, [xml_out.propstat(_elements(update.name for update in updates))])


def _is_protected(update: PropertyUpdate) -> bool:
    if update.name in live.SETTABLE:
        return update.value_xml is None
    return update.name in live.LIVE


def _modified_at(update: PropertyUpdate) -> int | None:
    """Microseconds; None for what is no moment."""
    text = text_of(update.value_xml).strip() if update.value_xml else ""
    seconds = parse_http_date(text)
    if seconds is not None:
        return seconds * clock.SECOND
    moment = parse_iso_date(text)
    if moment is not None or not text:
        return moment
    try:
        return parse_oc_mtime(text)
    except BadRequest:
        return None


def _refuse(href: str, updates: tuple[PropertyUpdate, ...], protected: list[str], wrong: list[str]) -> Answer:
    """RFC 4918 §9.2.1: 403 for what nobody may set, 409 for a value that means nothing, 424 for the rest."""
    parts = []
    if protected:
        parts.append(xml_out.propstat(_elements(protected), 403, condition="cannot-modify-protected-property"))
    if wrong:
        parts.append(xml_out.propstat(_elements(wrong), 409, description=_NO_TIME))
    others = [update.name for update in updates if update.name not in protected and update.name not in wrong]
    if others:
        parts.append(xml_out.propstat(_elements(others), 424))
    return _multistatus(href, parts)


def _elements(names: Iterable[str]) -> Iterable[str]:
    """An empty element for each name, once."""
    return map(xml_out.empty_property, dict.fromkeys(names))


def _multistatus(href: str, propstats: list[str]) -> Answer:
    document = xml_out.multistatus_head() + xml_out.response(href, propstats) + xml_out.multistatus_tail()
    return answer.xml(207, document.encode("utf-8", "replace"), [("Vary", "Prefer")])

"""PROPPATCH: all or nothing (RFC 4918 §9.2)."""

from __future__ import annotations

from appliance import clock
from appliance.errors import BadRequest
from appliance.files import properties, read
from providers.dav import answer, live, xml_out
from providers.dav.answer import Answer
from providers.dav.conditions import parse_http_date
from providers.dav.headers import parse_oc_mtime
from providers.dav.paths import encode_path
from providers.dav.request import DavRequest
from providers.dav.xml_in import PropertyUpdate, parse_proppatch, text_of


def proppatch(request: DavRequest) -> Answer:
    """Set and remove dead properties, and the modification time in the three spellings that clients use."""
    updates = parse_proppatch(request.xml(), limit_bytes=request.face.max_xml_bytes)
    refused = [update.name for update in updates if _is_protected(update)]
    node = read.open_path(request.files, request.principal, request.path).node
    href = encode_path(request.path, node.is_folder, request.face.prefix)
    if refused:
        return _refuse(href, updates, refused)
    times = [_modified_at(update) for update in updates if update.name in live.SETTABLE]
    properties.patch(
        request.files,
        request.principal,
        request.path,
        [(update.name, update.value_xml) for update in updates if update.name not in live.SETTABLE],
        modified_at=times[-1] if times else None,
        conditions=request.conditions(),
    )
    names = dict.fromkeys(update.name for update in updates)
    return _multistatus(href, [xml_out.propstat(map(xml_out.empty_property, names))])


def _is_protected(update: PropertyUpdate) -> bool:
    if update.name in live.SETTABLE:
        return update.value_xml is None
    return update.name in live.LIVE


def _modified_at(update: PropertyUpdate) -> int:
    """Microseconds: a date as HTTP writes it, or seconds since 1970."""
    text = text_of(update.value_xml or "").strip()
    seconds = parse_http_date(text)
    if seconds is not None:
        return seconds * clock.SECOND
    moment = parse_oc_mtime(text) if text else None
    if moment is None:
        raise BadRequest(reason="a modification time is an HTTP date or seconds since 1970")
    return moment


def _refuse(href: str, updates: tuple[PropertyUpdate, ...], refused: list[str]) -> Answer:
    others = dict.fromkeys(update.name for update in updates if update.name not in refused)
    parts = [
        xml_out.propstat(
            map(xml_out.empty_property, dict.fromkeys(refused)), 403, condition="cannot-modify-protected-property"
        )
    ]
    if others:
        parts.append(xml_out.propstat(map(xml_out.empty_property, others), 424))
    return _multistatus(href, parts)


def _multistatus(href: str, propstats: list[str]) -> Answer:
    document = xml_out.multistatus_head() + xml_out.response(href, propstats) + xml_out.multistatus_tail()
    return answer.xml(207, document.encode("utf-8", "replace"))

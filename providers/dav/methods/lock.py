"""LOCK and UNLOCK."""

from __future__ import annotations

from operator import eq

from appliance.accounts.policy import Action
from appliance.errors import BadRequest, LockConflict
from appliance.files import lock, read
from appliance.files.lock import Wanted
from appliance.tree.locks import Lock
from appliance.tree.paths import Path, name_key, show
from providers.dav import answer, live, xml_out
from providers.dav.headers import parse_depth, parse_lock_token, parse_timeout
from providers.dav.methods.put import UrlEndsInSlash
from providers.dav.paths import encode_path
from providers.dav.request import DavRequest
from providers.dav.xml_in import parse_lockinfo
from providers.front.messages import Answer


def take(request: DavRequest) -> Answer:
    """A new lock, or without a body the refresh of one (RFC 4918 §9.10)."""
    body = request.xml()
    timeout_s = parse_timeout(request.header("HTTP_TIMEOUT"), request.face.lock_s, request.face.max_lock_s)
    if not body:
        held = lock.refresh(request.files, request.principal, request.path, timeout_s, conditions=request.conditions())
        return _answer(request, 200, held, [])
    depth = parse_depth(request.header("HTTP_DEPTH"), "infinity", ("0", "infinity"))
    info = parse_lockinfo(body, limit_bytes=request.face.max_xml_bytes)
    if request.trailing_slash:
        _require_something(request)
    wanted = Wanted(info.scope, depth, info.owner_xml, timeout_s)
    try:
        taken = lock.take(request.files, request.principal, request.path, wanted, conditions=request.conditions())
    except LockConflict as conflict:
        if not _is_below(conflict.lock_root, request.path):
            raise
        return _refused_below(request, conflict)
    return _answer(request, 201 if taken.created else 200, taken.lock, [("Lock-Token", f"<{taken.lock.token}>")])


def _refused_below(request: DavRequest, conflict: LockConflict) -> Answer:
    """RFC 4918 §9.10.3, example §9.10.9: who keeps the folder from being locked is named, the folder itself is not at
    fault.
    """
    root = _names(conflict.lock_root)
    on_folder = read.is_folder(request.files, request.principal, root, Action.WRITE)
    entries = [
        xml_out.response_status(
            encode_path(root, on_folder, request.face.prefix), 423, condition="no-conflicting-lock"
        ),
        xml_out.response_status(encode_path(request.path, True, request.face.prefix), 424),
    ]
    document = xml_out.multistatus_head() + "".join(entries) + xml_out.multistatus_tail()
    return answer.xml(207, document.encode("utf-8", "replace"))


def release(request: DavRequest) -> Answer:
    """RFC 4918 §9.11. A lock that is held keeps others from changing what If spoke of until it is released."""
    value = request.header("HTTP_LOCK_TOKEN")
    if value is None:
        raise BadRequest(reason="the Lock-Token header is missing")
    if (conditions := request.if_conditions()) is not None:
        read.open_path(request.files, request.principal, request.path, conditions=conditions)
    lock.release(request.files, request.principal, request.path, parse_lock_token(value))
    return answer.empty(204)


def _require_something(request: DavRequest) -> None:
    """Locking a free name makes a file, which a URL with a slash cannot name."""
    if not read.exists(request.files, request.principal, request.path, Action.WRITE):
        raise UrlEndsInSlash(path=show(request.path))


def _is_below(lock_root: str, path: Path) -> bool:
    names = _names(lock_root)
    return len(names) > len(path) and all(map(eq, map(name_key, names), map(name_key, path)))


def _names(path: str) -> Path:
    return tuple(name for name in path.split("/") if name)


def _answer(request: DavRequest, status: int, held: Lock, headers: list[tuple[str, str]]) -> Answer:
    root = _names(held.path)
    on_folder = read.is_folder(request.files, request.principal, root, Action.WRITE)
    discovery = live.lockdiscovery([(held, on_folder)], request.face.prefix)
    return answer.xml(status, xml_out.prop_document([discovery]), headers)

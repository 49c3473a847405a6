"""Who did what: the audit trail of one's own files and account, or, for administrators, of anybody's."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from appliance.accounts import users
from appliance.audit import listing
from appliance.audit.listing import Entry, Names, Position, Wanted
from appliance.errors import BadRequest, Denied
from providers.api import answers
from providers.api.request import Request, row_id
from providers.front.dates import format_iso_date
from providers.front.messages import Answer

_USUAL, _MOST = 100, 1000
_KNOWN = {"cursor", "limit", "fileId", "user"}


def show_activity(request: Request) -> Answer:
    """A page, the newest first; ``cursor`` is null behind the last one."""
    given = parse_qsl(request.environ["QUERY_STRING"], keep_blank_values=True)
    fields = dict(given)
    if len(fields) < len(given) or fields.keys() - _KNOWN:
        raise BadRequest(reason=f"parameters here are {', '.join(sorted(_KNOWN))}, each once")
    wanted = Wanted(
        tree_id=_tree_id(request, fields.get("user")),
        node_id=row_id(fields["fileId"], what="this file") if "fileId" in fields else None,
    )
    position = Position.parse(fields["cursor"]) if fields.get("cursor") else None
    with request.api.uploads.files.database.snapshot() as session:
        page = listing.page(session, wanted, position, _limit(fields.get("limit")))
        names = Names(session, page.entries)
        entries = [_described(each, names) for each in page.entries]
    following = None if page.following is None else page.following.text()
    return answers.document(200, {"activities": entries, "cursor": following})


def _limit(text: str | None) -> int:
    if text is None:
        return _USUAL
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= _MOST):
        raise BadRequest(reason=f"limit is a number from 1 to {_MOST}")
    return int(text)


def _tree_id(request: Request, name: str | None) -> int | None:
    """Whose trail is asked for; None: everybody's.

    Raises:
        Denied: only administrators see that of others.
        NotFound: there is no such user.
    """
    database, principal = request.api.uploads.files.database, request.principal
    if name is None or name == principal.name:
        return users.get(database, principal.name).tree_id
    if principal.role != "admin":
        raise Denied(action="seeing what others do", reason="only administrators may")
    return users.get(database, name).tree_id if name else None


def _described(each: Entry, names: Names) -> dict[str, Any]:
    found: dict[str, Any] = {
        "timestamp": format_iso_date(each.at),
        "action": each.action,
        "user": names.whose(each) or None,
        "by": names.who(each),
        "device": names.device(each) or None,
        "deviceId": None if each.device_id is None else str(each.device_id),
        "face": each.face,
        "address": each.address or None,
        "fileId": None if each.node_id is None else str(each.node_id),
        "path": names.path(each),
        "version": None if each.seq is None else str(each.seq),
        "bytes": each.bytes,
    }
    if each.requests:
        found |= {"requests": each.requests, "seconds": each.seconds}
    return found

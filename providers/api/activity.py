"""Who did what: the audit trail of one's own files and account, or, for administrators, of anybody's."""

from __future__ import annotations

from typing import Any

from appliance import clock
from appliance.accounts import policy, users
from appliance.accounts.policy import Action
from appliance.audit import listing
from appliance.audit.listing import Entry, Names, Position, Wanted
from appliance.errors import BadRequest, Denied
from providers.api import answers
from providers.api.request import Request, row_id
from providers.front.dates import format_iso_date
from providers.front.messages import Answer

_USUAL, _MOST = 100, 1000


def show_activity(request: Request) -> Answer:
    """A page, the newest first; ``cursor`` is null behind the last one."""
    query = request.query("cursor", "limit", "fileId", "user", "since", "until", "face", "action")
    policy.require(request.principal, Action.READ, owner_id=request.principal.home_id)
    file_id, cursor = query.text("fileId"), query.text("cursor")
    # Timestamps are told in whole seconds: one that was told shall be among those until then.
    until = query.moment("until")
    wanted = Wanted(
        tree_id=_tree_id(request, query.text("user")),
        since=query.moment("since"),
        until=None if until is None else until + clock.SECOND - 1,
        face=query.text("face"),
        action=_action(query.text("action")),
        node_id=None if file_id is None else row_id(file_id, what="this file"),
    )
    position = Position.parse(cursor) if cursor else None
    with request.api.uploads.files.database.snapshot() as session:
        page = listing.page(session, wanted, position, query.integer("limit", least=1, most=_MOST, default=_USUAL))
        names = Names(session, page.entries)
        entries = [_described(each, names) for each in page.entries]
    following = None if page.following is None else page.following.text()
    return answers.document(200, {"activities": entries, "cursor": following})


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
    if principal.token_id is not None or principal.device_id is not None:
        raise Denied(action="seeing what others do", reason="sign in with the main password for that")
    return users.get(database, name).tree_id if name else None


def _action(text: str | None) -> str | None:
    """One that there is: of another nobody shall believe that it never happened.

    Raises:
        BadRequest
    """
    if text is not None and text not in listing.ACTIONS:
        raise BadRequest(reason=f"action is one of {', '.join(listing.ACTIONS)}")
    return text


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

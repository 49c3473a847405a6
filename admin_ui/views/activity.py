"""Who did what: of one's own files and account, and for administrators of everybody's."""

from __future__ import annotations

from urllib.parse import urlencode

from admin_ui.answers import Answer
from admin_ui.request import Request
from appliance.accounts import users
from appliance.audit import listing
from appliance.audit.listing import Names, Position, Wanted

_SHOWN = 100


def show_own(request: Request) -> Answer:
    """The newest first; older ones are a page further."""
    return _page(request, "Your activity", request.me().tree_id, {})


def show_all(request: Request) -> Answer:
    """Of everybody, or of one user."""
    name = request.query.get("user", "")
    if not name:
        return _page(request, "Activity", None, {})
    user = users.get(request.database, name)
    return _page(request, f"Activity of {user.name}", user.tree_id, {"user": user.name})


def _page(request: Request, title: str, tree_id: int | None, query: dict[str, str]) -> Answer:
    cursor = request.query.get("cursor", "")
    position = Position.parse(cursor) if cursor else None
    with request.database.snapshot() as session:
        found = listing.page(session, Wanted(tree_id), position, _SHOWN)
        names = Names(session, found.entries)
        rows = [
            (each, names.who(each), names.device(each), names.whose(each), names.path(each)) for each in found.entries
        ]
    older = "" if found.following is None else urlencode({**query, "cursor": found.following.text()})
    return request.page("account/activity.html", title=title, rows=rows, older=older, of_all=tree_id is None)

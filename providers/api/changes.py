"""The feed of changes: of everything, also waiting for the next one, and of one file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from appliance.errors import BadRequest
from appliance.files import feed
from appliance.files.feed import Feed, Happening, Position
from appliance.files.watch import Wait, Watch
from appliance.tree.paths import show
from providers.api import answers
from providers.api.request import Query, Request
from providers.front.dates import format_iso_date
from providers.front.messages import Answer
from providers.http.later import Later

WAIT_MOST_S = 300

_PAGE = 500
_BEGINNING = "0"
_cursor = re.compile("([0-9a-zA-Z]{1,64})-([0-9a-f]{1,15})-([0-9a-f]{1,15})").fullmatch


class NextChange(Later):
    """An answer as soon as the tree has a change behind a position."""

    def __init__(self, watch: Watch, position: Position, seconds: float) -> None:
        super().__init__(seconds)
        self._watch = watch
        self._position = position
        self._wait: Wait | None = None

    def begin(self, wake: Callable[[], None]) -> None:
        self._wait = self._watch.add(self._position.tree_id, self._position.seq, wake)

    def end(self) -> None:
        if self._wait is not None:
            self._watch.remove(self._wait)


def changes(request: Request) -> Answer | Later:
    """What happened since a cursor; with ``wait`` it is answered when something has, or after so many seconds."""
    query = request.query("cursor", "wait", "limit")
    wait_s = query.integer("wait", least=0, most=WAIT_MOST_S, default=0)
    files, principal = request.api.uploads.files, request.principal
    text = query.text("cursor")
    known = None if text is None else _known(request, text)
    found = feed.changes(files, principal, known, count=_limit(query))
    waits = known is not None and not found.happenings and wait_s > 0 and not request.has_waited
    if waits and request.environ["REQUEST_METHOD"] == "GET":
        return NextChange(request.api.watch, found.position, wait_s)
    return _answer(found)


def changes_of_file(request: Request) -> Answer:
    """What happened to one file or folder since a cursor, or since it was made."""
    query = request.query("since", "limit")
    text = query.text("since")
    known = None if text is None else _known(request, text)
    found = feed.changes_of(request.api.uploads.files, request.principal, request.node_id, known, count=_limit(query))
    return _answer(found)


def _known(request: Request, text: str) -> Position:
    if text == _BEGINNING:
        return feed.beginning(request.api.uploads.files, request.principal)
    found = _cursor(text)
    if found is None:
        raise BadRequest(reason="this is no cursor of the feed of changes")
    return Position(found[1], int(found[2], 16), int(found[3], 16))


def _limit(query: Query) -> int:
    return query.integer("limit", least=1, most=feed.LIMIT, default=_PAGE)


def _answer(found: Feed) -> Answer:
    position = found.position
    body = {
        "changes": [_described(each) for each in found.happenings],
        "cursor": f"{position.incarnation}-{position.tree_id:x}-{position.seq:x}",
        "hasMore": found.more,
    }
    return answers.document(200, body)


def _described(happening: Happening) -> dict[str, Any]:
    described = {
        "fileId": str(happening.node_id),
        "type": happening.effect.value,
        "timestamp": format_iso_date(happening.at),
        "version": _id(happening.version),
        "deviceId": _id(happening.device_id),
        "fileName": happening.name,
        "parentId": _id(happening.parent_id),
        "isFolder": happening.is_folder,
        "path": None if happening.path is None else show(happening.path),
    }
    if happening.previous is not None:
        parent_id, name = happening.previous
        described |= {"previousParentId": str(parent_id), "previousName": name}
    return described


def _id(number: int | None) -> str | None:
    return None if number is None else str(number)

"""Files and folders: listing, and what can be done with them by their ids."""

from __future__ import annotations

from typing import Any

from appliance.accounts.policy import Action
from appliance.errors import BadRequest
from appliance.files import by_id, folders, history, remove, transfer, trash
from appliance.files.by_id import Entry, Page
from appliance.files.context import Target
from appliance.tree import versions
from appliance.tree.versions import Version
from providers.api import answers
from providers.api.describing import describe
from providers.api.places import NAME_MOST, conditions, folder, folder_in, moment_in, target_in
from providers.api.request import Query, Request, is_id
from providers.front.dates import format_iso_date
from providers.front.messages import Answer

_PAGE = 200


def list_folder(request: Request) -> Answer:
    """A page of a folder's members, in the order of their ids."""
    query = request.query("parentId", "path", "cursor", "limit")
    where = folder(query.text("parentId"), query.text("path"))
    found = by_id.list_members(
        request.api.uploads.files,
        request.principal,
        () if where is None else where,
        after=_number(query) or 0,
        count=_limit(query),
    )
    entries = found.page.entries
    body = {"folder": describe(request, found.folder), **_page(request, found.page)}
    return answers.document(200, _continued(body, found.page.more, str(entries[-1].node.id) if entries else ""))


def make_folder(request: Request) -> Answer:
    """A new, empty folder."""
    fields = request.document()
    above = folder_in(fields)
    target = Target(() if above is None else above, fields.text("fileName", most=NAME_MOST))
    node = folders.make_folder(
        request.api.uploads.files,
        request.principal,
        target,
        conditions=conditions(request, fields),
        modified_at=moment_in(fields, "modifiedAt"),
    )
    return _described(request, node.id, 201)


def alter(request: Request) -> Answer:
    """Another name, another folder, another time: what the document has of them, in one change."""
    fields = request.document()
    node = transfer.alter(
        request.api.uploads.files,
        request.principal,
        request.node_id,
        target_in(fields),
        overwrite=fields.switch("overwrite"),
        conditions=conditions(request, fields),
        modified_at=moment_in(fields, "modifiedAt"),
    )
    return _described(request, node.id)


def copy(request: Request) -> Answer:
    """A copy, of a folder with all that is in it."""
    fields = request.document()
    copied = transfer.copy(
        request.api.uploads.files,
        request.principal,
        request.node_id,
        target_in(fields),
        overwrite=fields.switch("overwrite"),
        conditions=conditions(request, fields),
    )
    return _described(request, copied.node.id, 201 if copied.created else 200)


def delete(request: Request) -> Answer:
    """Into the trash."""
    remove.remove(request.api.uploads.files, request.principal, request.node_id, conditions=conditions(request))
    return answers.nothing()


def list_trash(request: Request) -> Answer:
    """A page of what can be restored, the last deleted first."""
    query = request.query("cursor", "limit")
    files, before = request.api.uploads.files, _number(query)
    page = by_id.list_trash(files, request.principal, before=before, count=_limit(query))
    last = page.entries[-1].removed if page.entries else None
    return answers.document(200, _continued(_page(request, page), page.more, str(last.seq) if last else ""))


def restore(request: Request) -> Answer:
    """Out of the trash, to where it was unless the document says where."""
    fields = request.document(optional=True)
    trash.restore_removed(request.api.uploads.files, request.principal, request.node_id, target_in(fields))
    return _described(request, request.node_id)


def list_versions(request: Request) -> Answer:
    """A page of a file's versions, the newest first."""
    query = request.query("cursor", "limit")
    files = request.api.uploads.files
    found = history.list_versions(files, request.principal, request.node_id)
    now = by_id.get(files, request.principal, request.node_id).node
    named = list(zip(versions.names(found), found, strict=True))
    after, count = query.text("cursor"), _limit(query)
    if after is not None:
        bound = _version(after)
        named = [(name, each) for name, each in named if (each.seq, each.node_id) < bound]
    shown = named[:count]
    listed = [_describe_version(name, each, is_current=(each.node_id, each.seq) == (now.id, now.version_seq))
              for name, each in shown]  # fmt: skip
    last = f"{shown[-1][1].seq}.{shown[-1][1].node_id}" if shown else ""
    return answers.document(200, _continued({"versions": listed}, len(named) > count, last))


def restore_version(request: Request) -> Answer:
    """An earlier version, as a new one on top of the others."""
    node = history.restore_version(
        request.api.uploads.files,
        request.principal,
        request.node_id,
        request.values["version"],
        conditions=conditions(request),
    )
    return _described(request, node.id)


def _described(request: Request, node_id: int, status: int = 200) -> Answer:
    """As it is now: another request may have changed it since. Who may write is told of what was written."""
    entry: Entry = by_id.get(request.api.uploads.files, request.principal, node_id, Action.WRITE)
    body = describe(request, entry)
    headers = [("ETag", body["etag"])]
    if status == 201:
        headers.append(("Location", request.url(f"/files/{node_id}")))
    return answers.document(status, body, headers)


def _describe_version(name: str, version: Version, *, is_current: bool) -> dict[str, Any]:
    sums = dict(each.split(":", 1) for each in (version.checksum or "").split())
    return {
        "version": name,
        "fileId": str(version.node_id),
        "fileSize": version.size,
        "size": version.size,
        "createdAt": format_iso_date(version.created_at),
        "updatedAt": format_iso_date(version.modified_at),
        "sha256": sums.get("SHA256"),
        "deviceId": None if version.device_id is None else str(version.device_id),
        "name": version.name,
        "isCurrent": is_current,
    }


def _page(request: Request, page: Page) -> dict[str, Any]:
    return {"files": [describe(request, entry) for entry in page.entries]}


def _continued(body: dict[str, Any], more: bool, last: str) -> dict[str, Any]:
    """``cursor`` leads to the next page, if there is one."""
    return {**body, "cursor": last if more else None, "hasMore": more}


def _limit(query: Query) -> int:
    return query.integer("limit", least=1, most=by_id.LIMIT, default=_PAGE)


def _number(query: Query) -> int | None:
    """The cursor of a list that is in the order of numbers."""
    text = query.text("cursor")
    if text is not None and not is_id(text):
        raise BadRequest(reason="this is no cursor of this list")
    return None if text is None else int(text)


def _version(text: str) -> tuple[int, int]:
    seq, _, node_id = text.partition(".")
    if not (is_id(seq) and is_id(node_id)):
        raise BadRequest(reason="this is no cursor of this list")
    return int(seq), int(node_id)

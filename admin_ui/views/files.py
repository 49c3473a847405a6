"""A user's own files, to find a version of one, or something that was removed, and bring it back."""

from __future__ import annotations

from urllib.parse import quote

from admin_ui import answers
from admin_ui.answers import Answer, sentence
from admin_ui.request import Request
from appliance.errors import BadRequest, Conflict, Limit, NotFound
from appliance.files import history, read, trash
from appliance.tree import versions
from appliance.tree.paths import Path, parse, show

_SHOWN = 500
"""So many members of a folder, versions or removed things are shown."""


def show_folder(request: Request) -> Answer:
    """What is in a folder; a file leads to its versions."""
    path = _path(request.query.get("path", "/"))
    listing = read.list_path(request.services.files, request.principal, path, members=True)
    if not listing.node.is_folder:
        return answers.redirect(_versions_page(path))
    members = sorted(listing.members, key=lambda node: (not node.is_folder, node.name.casefold()))
    return request.page(
        "account/files.html",
        here=show(path),
        above=[("/", "Files"), *((show(path[: index + 1]), name) for index, name in enumerate(path))],
        members=[(node, show((*path, node.name))) for node in members[:_SHOWN]],
        more=max(len(members) - _SHOWN, 0),
    )


def show_versions(request: Request) -> Answer:
    """Every version that this path has had."""
    return _versions(request, _path(request.query.get("path", "")), said=request.query.get("done", ""))


def restore_version(request: Request) -> Answer:
    """Make one the newest."""
    path = _path(request.form.get("path", ""))
    try:
        history.restore_version(request.services.files, request.principal, path, request.form.get("version", ""))
    except (BadRequest, Conflict, Limit) as error:
        return _versions(request, path, 409, problem=sentence(error))
    return answers.redirect(f"{_versions_page(path)}&done=restored")


def _versions(request: Request, path: Path, status: int = 200, *, said: str = "", problem: str = "") -> Answer:
    found = history.list_versions(request.services.files, request.principal, path)
    try:
        current = read.open_path(request.services.files, request.principal, path).node.version_seq
    except NotFound:
        current = None
    named = list(zip(versions.names(found), found, strict=True))
    return request.page(
        "account/versions.html",
        status,
        here=show(path),
        folder=show(path[:-1]),
        versions=named[:_SHOWN],
        more=max(len(named) - _SHOWN, 0),
        current=current,
        said="This version is the newest again; the one before it is in the list." if said == "restored" else "",
        problem=problem,
    )


def show_trash(request: Request) -> Answer:
    """What was removed, the last first."""
    return _trash(request, said=request.query.get("done", ""))


def restore_removed(request: Request, id: str) -> Answer:  # noqa: A002 (the group of the route)
    """Put something back where it was, or somewhere else."""
    to = request.form.get("to", "").strip()
    try:
        target = _path(to) if to else None
        path = trash.restore_removed(request.services.files, request.principal, int(id), target)
    except (BadRequest, Conflict, Limit, NotFound) as error:
        return _trash(request, 409, problem=sentence(error))
    return answers.redirect(f"/account/trash?done={quote(show(path), safe='')}")


def _trash(request: Request, status: int = 200, *, said: str = "", problem: str = "") -> Answer:
    removed = trash.list_trash(request.services.files, request.principal)
    return request.page(
        "account/trash.html",
        status,
        removed=removed[:_SHOWN],
        more=max(len(removed) - _SHOWN, 0),
        keeps_days=request.services.trash_days,
        said=f"{said} is back." if said else "",
        problem=problem,
    )


def _path(text: str) -> Path:
    if not text.startswith("/"):
        raise BadRequest(reason="a path begins with a slash")
    return parse(text)


def _versions_page(path: Path) -> str:
    return f"/account/versions?path={quote(show(path), safe='')}"

"""What requests name: folders, conditions, and times."""

from __future__ import annotations

from appliance.errors import BadRequest
from appliance.files.context import Target, Where
from appliance.tree.conditions import NONE, Conditions
from appliance.tree.paths import parse
from providers.api.request import Fields, Request, is_id, read_moment
from providers.front.dates import parse_http_date
from providers.front.etags import parse_etags

NAME_MOST = 255
PATH_MOST = 4096
_ETAG_MOST = 200
# An id that nothing will ever have.
_NOBODYS = (1 << 63) - 1


def folder(parent_id: str | None, path: str | None) -> Where | None:
    """A folder by its id or its path, whichever was given; None: neither.

    Raises:
        BadRequest, BadName
    """
    if parent_id is None:
        return None if path is None else parse(path)
    if path is not None:
        raise BadRequest(reason="give parentId or path, not both")
    if not (parent_id.isascii() and parent_id.isdigit()):
        raise BadRequest(reason="parentId is no id of a folder")
    return int(parent_id) if is_id(parent_id) else _NOBODYS


def folder_in(fields: Fields) -> Where | None:
    """The same, of ``parentId`` and ``path`` in a document."""
    parent_id = fields.text("parentId", most=20) if "parentId" in fields else None
    return folder(parent_id, fields.text("path", most=PATH_MOST) if "path" in fields else None)


def target_in(fields: Fields) -> Target:
    """Where something is to be: ``parentId`` or ``path``, and ``fileName``."""
    name = fields.text("fileName", most=NAME_MOST) if "fileName" in fields else None
    return Target(folder_in(fields), name)


def moment_in(fields: Fields, name: str) -> int | None:
    """Microseconds."""
    if name not in fields:
        return None
    return read_moment(name, fields.text(name, most=40))


def conditions(request: Request, fields: Fields | None = None) -> Conditions:
    """If-Match, or ``ifMatch`` in the document; If-None-Match; If-Unmodified-Since; and the token of a WebDAV lock in
    Lock-Token.
    """
    etags, none_of = request.header("HTTP_IF_MATCH"), request.header("HTTP_IF_NONE_MATCH")
    if fields is not None and "ifMatch" in fields:
        etags = fields.text("ifMatch", most=_ETAG_MOST)
    since, token = request.header("HTTP_IF_UNMODIFIED_SINCE"), request.header("HTTP_LOCK_TOKEN")
    if etags is None and none_of is None and since is None and token is None:
        return NONE
    return Conditions(
        if_match=None if etags is None else parse_etags(etags),
        if_none_match=None if none_of is None else parse_etags(none_of),
        if_unmodified_since=None if since is None else parse_http_date(since),
        tokens=frozenset() if token is None else frozenset({token.strip().removeprefix("<").removesuffix(">")}),
    )

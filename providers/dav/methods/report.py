"""REPORT: sync-collection (RFC 6578), what changed in a folder since the client last asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from appliance.errors import NotAFolder
from appliance.files import sync
from appliance.files.sync import LIMIT, Changes, Wanted
from appliance.tree.since import Item
from providers.dav import answer, live, xml_out
from providers.dav.blocks import in_blocks, multistatus
from providers.dav.entries import Entries
from providers.dav.headers import parse_depth
from providers.dav.live import Columns
from providers.dav.paths import encode_name, encode_path
from providers.dav.preferences import preferences
from providers.dav.request import DavRequest
from providers.dav.sync_tokens import parse_token, write_token
from providers.dav.xml_in import SyncRequest, UnsupportedReport, parse_sync
from providers.front.messages import Answer

_TOO_MANY = "number-of-matches-within-limits"


def report(request: DavRequest) -> Answer:
    """RFC 3253 §3.6, RFC 6578 §3.2. The level stands in the body; the request itself is of depth 0."""
    parse_depth(request.header("HTTP_DEPTH"), "0", ("0",))
    asked = parse_sync(request.xml(), limit_bytes=request.face.max_xml_bytes)
    changes = _read(request, asked)
    if asked.limit == 0 and (changes.items or changes.more):
        # RFC 6578 §3.7: there is no answer as short as that which anybody could go on from.
        return answer.xml(507, xml_out.error_body(_TOO_MANY, (), "at least one response has to be allowed"))
    followed = preferences(request)
    columns = Columns(
        changes,
        incarnation=request.files.incarnation,
        prefix=request.face.prefix,
        free_bytes=request.files.free_bytes() if live.QUOTA_AVAILABLE in asked.wanted.names else None,
    )
    entries = Entries(followed.of(asked.wanted), columns, changes.extras.properties)
    href = encode_path(request.path, True, request.face.prefix)
    cut = xml_out.response_status(href, 507, condition=_TOO_MANY) if changes.more else ""
    token = live.SYNC_TOKEN_ELEMENT % write_token(changes.cursor)
    return multistatus(followed.headers(), "", _responses(changes, entries, href), cut + token)


def _read(request: DavRequest, asked: SyncRequest) -> Changes:
    try:
        return sync.changes(
            request.files,
            request.principal,
            request.path,
            parse_token(asked.token) if asked.token else None,
            deep=asked.deep,
            limit=LIMIT if asked.limit is None else max(asked.limit, 1),
            wanted=Wanted(*live.kinds(asked.wanted.names)),
            conditions=request.if_conditions(),
        )
    except NotAFolder:
        raise UnsupportedReport(reason="there are no reports of a file") from None


def _responses(changes: Changes, entries: Entries, href: str) -> Iterator[bytes]:
    def write(items: Sequence[Item]) -> str:
        runs = groupby(items, key=_is_gone)
        return "".join([_gone(href, run) if gone else _present(href, run, entries) for gone, run in runs])

    return in_blocks(changes.items, write)


def _is_gone(item: Item) -> bool:
    return item.node is None


def _gone(href: str, items: Iterator[Item]) -> str:
    return "".join([xml_out.response_status(_href(href, item), 404) for item in items])


def _present(href: str, items: Iterator[Item], entries: Entries) -> str:
    found = [(_href(href, item), item.node) for item in items if item.node is not None]
    return entries.write([each for each, _ in found], [node for _, node in found])


def _href(href: str, item: Item) -> str:
    below = "/".join(map(encode_name, item.names))
    return f"{href}{below}/" if item.is_folder else href + below

"""What programs are told of a file, and where its bytes are."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from appliance.errors import BadRequest, Unavailable
from appliance.files import digests, read
from appliance.files.read import OpenedVersion
from appliance.signing.urls import Disposition
from providers.api import answers, signed
from providers.api.request import Request, row_id
from providers.front.content_types import content_type_of, media_type_or
from providers.front.dates import format_iso_date
from providers.front.messages import Answer


def show_file(request: Request) -> Answer:
    """A file, and a URL for its bytes; ``?disposition=inline`` for one that browsers show."""
    disposition = _disposition(request)
    found = _found(request)
    node = found.opened.node
    assert node.version_seq is not None
    url = signed.url_for(
        request.api, request.environ, request.principal, node.id, node.version_seq, node.name, disposition
    )
    return answers.document(200, {**_described(request, found), **url})


def _found(request: Request) -> OpenedVersion:
    node_id = row_id(request.values["fileId"], what="this file")
    with request.api.uploads.files.database.read() as session:
        return read.open_current(session, request.principal, node_id)


def _described(request: Request, found: OpenedVersion) -> dict[str, Any]:
    node = found.opened.node
    return {
        "fileId": str(node.id),
        "fileName": node.name,
        "fileSize": node.bytes,
        "size": node.bytes,
        "mimeType": media_type_or(found.media_type, content_type_of(node.name)),
        "ownerId": str(request.principal.home_id),
        "createdAt": format_iso_date(node.created_at),
        "updatedAt": format_iso_date(node.modified_at),
        "status": "completed",
        "version": str(node.version_seq),
        "sha256": _sha256(request, found),
    }


def _sha256(request: Request, found: OpenedVersion) -> str | None:
    """None until the job that is asked for it here has read the file."""
    opened = found.opened
    known = digests.known_sha256(opened.manifest, opened.checksum)
    node_id, seq = opened.node.id, opened.node.version_seq
    if known is None and seq is not None:
        database = request.api.uploads.files.database
        with database.read() as session:
            is_due = digests.is_due(session, node_id, seq)
        if not is_due:
            # While nothing can be written it is asked for another time.
            with suppress(Unavailable):
                database.write(lambda session: digests.note_due(session, node_id, seq))
    return known


def _disposition(request: Request) -> Disposition:
    fields = parse_qsl(request.environ["QUERY_STRING"], keep_blank_values=True)
    match fields:
        case [] | [("disposition", "attachment")]:
            return "attachment"
        case [("disposition", "inline")]:
            return "inline"
        case _:
            raise BadRequest(reason="the only parameter here is disposition, inline or attachment")

"""What programs are told of a file, and where its bytes are."""

from __future__ import annotations

from contextlib import suppress

from appliance.errors import BadRequest, NotFound, Unavailable
from appliance.files import by_id, digests
from appliance.signing.urls import Disposition
from appliance.uploads import status
from providers.api import answers, signed
from providers.api.describing import describe, describe_upload
from providers.api.request import Request
from providers.front.messages import Answer


def show_file(request: Request) -> Answer:
    """A file or folder, in the trash or on its way here as well; of a file that is there also a URL for its bytes:
    ``?disposition=inline`` for one that browsers show.
    """
    disposition = _disposition(request)
    try:
        entry = by_id.get(request.api.uploads.files, request.principal, request.node_id)
    except NotFound:
        upload = status.of_file(request.api.uploads, request.principal, request.node_id)
        return answers.document(200, describe_upload(request, upload))
    body, node = describe(request, entry), entry.node
    if node.version_seq is not None and entry.removed is None:
        if entry.sha256 is None:
            _want_sha256(request, node.id, node.version_seq)
        body |= signed.url_for(
            request.api, request.environ, request.principal, node.id, node.version_seq, node.name, disposition
        )
    return answers.document(200, body)


def _want_sha256(request: Request, node_id: int, seq: int) -> None:
    """Ask the job for it that reads whole files."""
    database = request.api.uploads.files.database
    with database.read() as session:
        is_due = digests.is_due(session, node_id, seq)
    if not is_due:
        # While nothing can be written it is asked for another time.
        with suppress(Unavailable):
            database.write(lambda session: digests.note_due(session, node_id, seq))


def _disposition(request: Request) -> Disposition:
    match request.query("disposition").text("disposition"):
        case None | "attachment":
            return "attachment"
        case "inline":
            return "inline"
        case _:
            raise BadRequest(reason="disposition is inline or attachment")

"""POST on a folder: an upload by tus into it, as ownCloud Infinite Scale takes them (rclone, ownCloud's clients)."""

from __future__ import annotations

from appliance.errors import BadRequest, IsAFolder, NameTaken, UploadConflict
from appliance.uploads.begin import ALWAYS, EXISTING, NEVER
from providers.dav import answer
from providers.dav.conditions import parse_etags
from providers.dav.methods.options import ALLOW
from providers.dav.request import DavRequest
from providers.front.messages import Answer
from providers.tus import uploading
from providers.tus.uploading import Asked


def post(request: DavRequest) -> Answer:
    """Open an upload into the folder; what follows goes to the URL that it gets, at the API."""
    if "HTTP_TUS_RESUMABLE" not in request.environ:
        return answer.text(405, "POST is not possible here, but to begin an upload by tus", [("Allow", ALLOW)])
    tus = request.face.tus
    asked = Asked(tus.uploads, request.principal, request.environ, tus.base)
    try:
        return uploading.create(asked, folder=request.path, replaces=_replaces(request))
    except (IsAFolder, NameTaken) as error:
        # Of a method that is not possible here WebDAV would speak.
        raise UploadConflict(upload=error.path, reason=str(error)) from error


def _replaces(request: DavRequest) -> str:
    """As with PUT: whatever is there, unless a condition says otherwise."""
    match, none_match = request.header("HTTP_IF_MATCH"), request.header("HTTP_IF_NONE_MATCH")
    if none_match is not None:
        if none_match.strip() != "*" or match is not None:
            raise BadRequest(reason="an upload takes If-None-Match: * alone")
        return NEVER
    if match is None:
        return ALWAYS
    found = parse_etags(match)
    if found.any:
        return EXISTING
    if len(found.etags) != 1:
        raise BadRequest(reason="an upload takes one ETag in If-Match")
    (etag,) = found.etags
    return etag

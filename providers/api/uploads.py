"""Uploading: a small file in one request, a large one in parts."""

from __future__ import annotations

import hashlib
from typing import Any

from appliance.accounts.policy import Action
from appliance.errors import BadRequest, NotFound, UploadConflict
from appliance.files import read
from appliance.files.context import Where
from appliance.files.write import Announced
from appliance.uploads import begin, complete, parts, status
from appliance.uploads.begin import ALWAYS, EXISTING, NEVER, Wanted
from appliance.uploads.rows import Upload
from providers.api import answers
from providers.api.describing import COMPLETED, UPLOADING
from providers.api.digests import parse_content_digest
from providers.api.places import NAME_MOST, folder_in, moment_in
from providers.api.problems import UnknownMediaType
from providers.api.request import Fields, Request
from providers.front.content_types import content_type_of, is_media_type, media_type_or
from providers.front.dates import format_iso_date
from providers.front.etags import parse_etags
from providers.front.messages import Answer, is_coded

MULTIPART_ABOVE = 100_000_000
"""A file of more bytes comes in parts."""

TUS_PATH = "/tus/"
"""Where streams are gone on with; the upload's token follows."""

URLS_AT_ONCE = 1000
"""So many part URLs are told in one answer."""

_MOST_BYTES = 1 << 60
_HEX = frozenset("0123456789abcdef")
_TOKEN_LENGTH = 32


def begin_upload(request: Request) -> Answer:
    """Open an upload: ``uploadUrl`` takes a file of at most ``MULTIPART_ABOVE`` bytes, ``partUrls`` a larger one."""
    fields = request.document()
    wanted = _wanted(request, fields)
    is_large = wanted.size > MULTIPART_ABOVE
    part_size = begin.part_size_for(wanted.size) if is_large else max(wanted.size, 1)
    upload = begin.begin(request.api.uploads, request.principal, wanted, part_size=part_size)
    body: dict[str, Any] = {
        "fileId": str(upload.node_id),
        "uploadId": upload.token,
        "expiresAt": format_iso_date(upload.expires_at),
    }
    if is_large:
        body |= {"chunkSize": part_size, "totalChunks": upload.total, **_part_urls(request, upload, 1)}
    else:
        body["uploadUrl"] = request.url(f"/uploads/{upload.token}/content")
    return answers.document(201, body, [("Location", request.url(f"/uploads/{upload.token}"))])


def put_content(request: Request) -> Answer:
    """The whole of a small file, which is there then."""
    token = _token(request)
    _require_whole(request)
    upload = status.status(request.api.uploads, request.principal, token).upload
    if upload.size > MULTIPART_ABOVE and not upload.is_stream:
        raise BadRequest(reason="this file is too large to come in one piece; send its parts")
    digest = parse_content_digest(request.header("HTTP_CONTENT_DIGEST")) or Announced({}, {})
    digest = digest._replace(digests={"SHA256": hashlib.sha256(), **digest.digests})
    done = complete.put_whole(
        request.api.uploads, request.principal, token, request.body, length=request.body.length, checksum=digest
    )
    return _completed(request, done.upload)


def put_part(request: Request) -> Answer:
    """One part; any order, several at a time, again if need be."""
    number = request.values["number"]
    if not (number.isascii() and number.isdigit() and len(number) <= 5):
        raise BadRequest(reason="a part's number is written in digits, from 1")
    checksum = parse_content_digest(request.header("HTTP_CONTENT_DIGEST"))
    _require_whole(request)
    received = parts.put_part(
        request.api.uploads,
        request.principal,
        _token(request),
        int(number),
        request.body,
        length=request.body.length,
        checksum=checksum,
    )
    return answers.document(
        200,
        {"partNumber": int(number), "etag": received.etag, "size": received.size},
        [("ETag", f'"{received.etag}"')],
    )


def show(request: Request) -> Answer:
    """How far an upload is; ``?firstPart=n`` tells the URLs of parts from there on."""
    found = status.status(request.api.uploads, request.principal, _token(request))
    upload = found.upload
    is_done = upload.state == "done"
    body: dict[str, Any] = {
        "uploadId": upload.token,
        "fileSize": upload.size,
        "status": COMPLETED if is_done else UPLOADING,
        "bytes": upload.offset,
        # 100 only when all of it is here.
        "percent": 100.0 if is_done or not upload.size else 10_000 * upload.offset // upload.size / 100,
        "expiresAt": format_iso_date(upload.expires_at),
    }
    if not upload.is_partial:
        body |= {"fileId": str(upload.node_id), "fileName": upload.name}
    if upload.is_stream:
        return answers.document(200, body | {"tusUrl": request.url(TUS_PATH + upload.token)})
    body["received"] = list(range(1, upload.total + 1)) if is_done else [number for number, _, _ in found.parts]
    if upload.size > MULTIPART_ABOVE:
        body |= {"chunkSize": upload.part_size, "totalChunks": upload.total}
        if not is_done:
            body |= _part_urls(request, upload, _first_part(request, upload))
    return answers.document(200, body)


def complete_upload(request: Request) -> Answer:
    """Make the parts a file. The client may list them, to be sure that they are those that it sent."""
    fields = request.document(optional=True)
    listed = None
    if "parts" in fields:
        listed = [
            (
                each.integer("number" if "number" in each else "partNumber", least=1, most=begin.PARTS_MOST),
                each.text("etag", most=64).strip().removeprefix("W/").strip('"'),
            )
            for each in fields.objects("parts", most=begin.PARTS_MOST)
        ]
    token = _token(request)
    if status.status(request.api.uploads, request.principal, token).upload.is_stream:
        raise UploadConflict(upload=token, reason="this upload is a stream; its last byte completes it")
    done = complete.complete(request.api.uploads, request.principal, token, listed=listed)
    return _completed(request, done.upload)


def abort_upload(request: Request) -> Answer:
    """Give it up."""
    status.abort(request.api.uploads, request.principal, _token(request))
    return answers.nothing()


def _require_whole(request: Request) -> None:
    if "HTTP_CONTENT_RANGE" in request.environ:
        raise BadRequest(reason="Content-Range is not supported; send the file or the part whole")
    if is_coded(request.environ):
        raise UnknownMediaType(reason="a content coding is not supported; send the bytes as they are")


def _token(request: Request) -> str:
    """What is no token names nothing; and no database has to look at it."""
    token = request.values["uploadId"]
    if len(token) != _TOKEN_LENGTH or not set(token) <= _HEX:
        raise NotFound(what="this upload")
    return token


def _completed(request: Request, upload: Upload) -> Answer:
    """The file, as it became when it was completed. Who may only write reads nothing else of it."""
    incarnation = request.api.uploads.files.incarnation
    etag = f'"{incarnation}-{upload.node_id:x}-{upload.seq or 0:x}"'
    body = {
        "fileId": str(upload.node_id),
        "uploadId": upload.token,
        "fileName": upload.name,
        "fileSize": upload.size,
        "size": upload.size,
        "mimeType": media_type_or(upload.media_type, content_type_of(upload.name)),
        "ownerId": str(request.principal.home_id),
        "status": COMPLETED,
        "version": str(upload.seq),
        "sha256": status.sha256(request.api.uploads, upload),
        "etag": etag,
    }
    return answers.document(200, body, [("ETag", etag)])


def _wanted(request: Request, fields: Fields) -> Wanted:
    name = fields.text("fileName", most=NAME_MOST)
    size = fields.integer("fileSize", least=0, most=_MOST_BYTES)
    return Wanted(
        _folder(request, fields, name),
        name,
        size,
        _replaces(request, fields),
        _media_type(fields),
        _checksum(fields),
        moment_in(fields, "modifiedAt"),
    )


def _folder(request: Request, fields: Fields, name: str) -> Where:
    """The folder by its id or its path; none is the root. A path may end with the file's own name."""
    found = folder_in(fields)
    if found is None or isinstance(found, int):
        return () if found is None else found
    files = request.api.uploads.files
    if found[-1:] == (name,) and not read.is_folder(files, request.principal, found, Action.WRITE):
        return found[:-1]
    return found


def _media_type(fields: Fields) -> str:
    found = fields.text("mimeType", most=255, default="")
    if found and not is_media_type(found):
        raise BadRequest(reason="mimeType reads as image/png (RFC 9110)")
    return found


def _replaces(request: Request, fields: Fields) -> str:
    text = fields.text("ifMatch", most=200) if "ifMatch" in fields else request.header("HTTP_IF_MATCH")
    if text is None:
        return ALWAYS if fields.switch("overwrite") else NEVER
    found = parse_etags(text)
    if found.any:
        return EXISTING
    if len(found.etags) != 1:
        raise BadRequest(reason="ifMatch is the one ETag that the file has to have, with its quotes, or *")
    return next(iter(found.etags))


def _checksum(fields: Fields) -> str:
    text = fields.text("sha256", most=64, default="").lower()
    if text and (len(text) != 64 or not set(text) <= _HEX):
        raise BadRequest(reason="sha256 has to be 64 hex digits")
    return f"SHA256:{text}" if text else ""


def _part_urls(request: Request, upload: Upload, first: int) -> dict[str, Any]:
    """From ``first`` on as many as are told at once, and where the next ones are."""
    end = min(first + URLS_AT_ONCE, upload.total + 1)
    base = f"/uploads/{upload.token}"
    urls = {
        "partUrls": [
            {"partNumber": number, "url": request.url(f"{base}/parts/{number}")} for number in range(first, end)
        ]
    }
    if end <= upload.total:
        return {**urls, "nextPartUrls": request.url(f"{base}?firstPart={end}")}
    return urls


def _first_part(request: Request, upload: Upload) -> int:
    name, _, value = request.environ["QUERY_STRING"].partition("=")
    if not name:
        return 1
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= 5 else 0
    if name != "firstPart" or not 1 <= number <= upload.total:
        raise BadRequest(reason=f"firstPart is the number of a part, 1 to {upload.total}")
    return number

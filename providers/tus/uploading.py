"""The requests of tus, over the use cases of uploads. An upload is completed with its last byte."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from appliance import clock
from appliance.errors import BadRequest, BodyIncomplete, ChecksumMismatch, HoldfastError
from appliance.principal import Principal
from appliance.tree.paths import Path
from appliance.uploads import begin, concatenating, status, stream
from appliance.uploads.begin import NEVER
from appliance.uploads.rows import Upload
from appliance.uploads.service import Uploads
from appliance.uploads.stream import Appended
from providers.front.dates import format_http_date
from providers.front.messages import Answer, Body, Headers
from providers.tus import protocol
from providers.tus.metadata import Metadata

_NO_BODY = ("Content-Length", "0")


class Asked(NamedTuple):
    """A request. ``base``: what the URLs of uploads begin with, as the client can ask for them, with a slash."""

    uploads: Uploads
    principal: Principal
    environ: dict[str, Any]
    base: Callable[[dict[str, Any]], str]

    @property
    def body(self) -> Body:
        body: Body = self.environ["wsgi.input"]
        return body


def options(max_file_bytes: int) -> Answer:
    """What is spoken here; asked without a version."""
    return Answer(204, protocol.capabilities(max_file_bytes), [])


def create(asked: Asked, *, folder: Path | None = None, replaces: str = NEVER) -> Answer:
    """Open an upload, and take its first bytes if they come along. ``folder``: where the file will be, None: where the
    metadata say. ``replaces``: what may be replaced, unless the metadata say that.
    """
    protocol.require_version(asked.environ)
    protocol.require_plain(asked.environ)
    if "HTTP_UPLOAD_DEFER_LENGTH" in asked.environ:
        raise BadRequest(reason="the length has to be known at the beginning: send Upload-Length")
    metadata = Metadata(asked.environ.get("HTTP_UPLOAD_METADATA", "").strip())
    concat = protocol.concat_of(asked.environ)
    if concat is not None and not concat.is_partial:
        return _created(asked, _concatenate(asked, metadata, concat, folder, replaces))
    size = protocol.number_of(asked.environ, "Upload-Length")
    # A checksum that cannot be read is refused before there is anything.
    protocol.checksum_of(asked.environ)
    if concat is not None:
        upload = begin.begin_partial(asked.uploads, asked.principal, size, metadata=metadata.text)
    else:
        wanted = metadata.wanted(asked.uploads.files, asked.principal, size, folder=folder, replaces=replaces)
        upload = begin.begin(asked.uploads, asked.principal, wanted, part_size=0)
    return _created(asked, _first_bytes(asked, upload))


def head(asked: Asked, token: str) -> Answer:
    """How far it is.

    All bytes of one may be here, and the request that would have completed it was cut off or refused: then that is done
    now, or refused again. A client takes an offset at the end for a file that is there.
    """
    protocol.require_version(asked.environ)
    upload = stream.complete_whole(asked.uploads, asked.principal, _find(asked, token))
    headers: Headers = [
        *_headers(upload),
        ("Upload-Length", str(upload.size)),
        ("Cache-Control", "no-store"),
        _NO_BODY,
    ]
    headers += [("Upload-Metadata", upload.metadata)] if upload.metadata else []
    headers += [("Upload-Concat", upload.concat)] if upload.concat else []
    return Answer(200, headers, [])


def patch(asked: Asked, token: str) -> Answer:
    """Go on. What came of a body that broke off is kept, and the answer tells how much."""
    protocol.require_version(asked.environ)
    protocol.require_bytes(asked.environ)
    offset = protocol.number_of(asked.environ, "Upload-Offset")
    upload = _append(asked, _find(asked, token), offset).upload
    return Answer(204, _headers(stream.complete_whole(asked.uploads, asked.principal, upload)), [])


def terminate(asked: Asked, token: str) -> Answer:
    """Give it up. A partial upload that is part of a file by now holds nothing that could be given up."""
    protocol.require_version(asked.environ)
    found = _find(asked, token)
    if not (found.is_partial and found.state == "done"):
        status.abort(asked.uploads, asked.principal, token)
    return Answer(204, [("Tus-Resumable", protocol.VERSION)], [])


def _concatenate(
    asked: Asked, metadata: Metadata, concat: protocol.Concat, folder: Path | None, replaces: str
) -> Upload:
    if "HTTP_UPLOAD_LENGTH" in asked.environ or protocol.has_bytes(asked.environ):
        raise BadRequest(reason="a final upload has neither an Upload-Length nor bytes of its own")
    wanted = metadata.wanted(asked.uploads.files, asked.principal, 0, folder=folder, replaces=replaces)
    wanted = wanted._replace(concat=concat.text)
    return concatenating.concatenate(asked.uploads, asked.principal, wanted, concat.tokens)


def _first_bytes(asked: Asked, upload: Upload) -> Upload:
    """What comes with the beginning. If that is refused there is no upload: its client was not told of any."""
    try:
        if protocol.has_bytes(asked.environ):
            upload, broken = _append(asked, upload, 0)
            if isinstance(broken, BodyIncomplete):
                raise broken
        return stream.complete_whole(asked.uploads, asked.principal, upload)
    except HoldfastError:
        with suppress(HoldfastError):
            status.abort(asked.uploads, asked.principal, upload.token)
        raise


def _append(asked: Asked, upload: Upload, offset: int) -> Appended:
    try:
        return stream.append(
            asked.uploads,
            asked.principal,
            upload.token,
            offset,
            asked.body,
            length=asked.body.length,
            checksum=protocol.checksum_of(asked.environ),
        )
    except ChecksumMismatch as error:
        raise protocol.BytesMismatch(
            algorithm=error.algorithm, announced=error.announced, computed=error.computed
        ) from error


def _find(asked: Asked, token: str) -> Upload:
    with asked.uploads.files.database.read() as session:
        return stream.find(session, asked.principal, protocol.token_of(token))


def _created(asked: Asked, upload: Upload) -> Answer:
    location = asked.base(asked.environ) + upload.token
    return Answer(201, [("Location", location), *_headers(upload), _NO_BODY], [])


def _headers(upload: Upload) -> Headers:
    """One that is done does not expire: it is a file."""
    expires = format_http_date(upload.expires_at // clock.SECOND)
    return [
        ("Tus-Resumable", protocol.VERSION),
        ("Upload-Offset", str(upload.offset)),
        *([] if upload.state == "done" else [("Upload-Expires", expires)]),
    ]

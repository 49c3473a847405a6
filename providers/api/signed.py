"""Signed URLs: a version of a file, for whoever has the URL, and for caches in front.

``/signed/TEXT/SIGNATURE/NAME``: parts of the path, since some caches drop queries. A URL is right in exactly one way of
writing it; what differs in a letter is refused.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from appliance import clock
from appliance.errors import BadSignature
from appliance.files import read
from appliance.principal import Principal
from appliance.signing import surrogates, urls
from appliance.signing.urls import Disposition, Grant, Signed
from appliance.tree.nodes import Node
from providers.api.problems import UnsatisfiableRange
from providers.api.request import Api
from providers.front import compression
from providers.front.content_types import content_type_of, media_type_or
from providers.front.dates import format_iso_date
from providers.front.messages import Answer, Headers
from providers.front.ranges import ByteRange
from providers.front.sending import Sending, blocks_of, is_unchanged, safety, send_file
from providers.http.environ import PRINCIPAL

PATH = "/signed/"

_PARTS = 3
_NO_REFERRER = ("Referrer-Policy", "no-referrer")


def url_for(
    api: Api, environ: dict[str, Any], principal: Principal, node_id: int, seq: int, name: str, disposition: Disposition
) -> dict[str, str]:
    """``downloadUrl``, ``expiresAt`` and ``source`` of a version that the principal may read, as was looked at."""
    granted = urls.grant(node_id, seq, name, disposition)
    signed = urls.sign(api.uploads.files, principal, granted)
    path = f"{PATH}{signed.text}/{signed.signature}/{quote(name, safe='')}"
    base = api.base(environ)
    if api.cdn_base_url is not None:
        base = api.cdn_base_url + api.prefix
    return {
        "downloadUrl": base + path,
        "expiresAt": format_iso_date(granted.expires_s * clock.SECOND),
        "source": "storage" if api.cdn_base_url is None else "cdn",
    }


def serve(api: Api, environ: dict[str, Any]) -> Answer:
    """What a signed URL grants: GET and HEAD, nothing else.

    Raises:
        BadSignature, UrlExpired
        NotFound: the file or the version is gone.
        UnsatisfiableRange
    """
    signed, name = _parts(api, environ)
    files = api.uploads.files
    with files.database.read() as session:
        granted, principal = urls.verify(
            files, session, signed, name, address=environ.get("REMOTE_ADDR", ""), face="signed"
        )
        environ[PRINCIPAL] = principal
        found = read.open_version(session, principal, granted.node_id, granted.seq)
    return _send(api, environ, granted, found)


def refused(answer: Answer) -> Answer:
    """The answer to an error: no page that comes after it learns the URL."""
    return answer._replace(headers=[*answer.headers, _NO_REFERRER])


def _parts(api: Api, environ: dict[str, Any]) -> tuple[Signed, str]:
    sent = environ["REQUEST_URI"]
    # A proxy may send the absolute form.
    path = sent if sent.startswith("/") else "/" + "/".join(sent.split("/")[3:])
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or not path.startswith(api.prefix + PATH) or "?" in path:
        raise BadSignature
    parts = path.removeprefix(api.prefix + PATH).split("/")
    if len(parts) != _PARTS:
        raise BadSignature
    text, signature, written = parts
    name = unquote(written, errors="surrogateescape")
    if quote(name, safe="", errors="surrogateescape") != written:
        raise BadSignature
    return Signed(text, signature), name


def _send(api: Api, environ: dict[str, Any], granted: Grant, found: read.OpenedVersion) -> Answer:
    files, node = api.uploads.files, found.opened.node
    content_type = media_type_or(found.media_type, content_type_of(granted.name))
    etag = node.etag(files.incarnation)
    # A part, and what a condition of the plain form's ETag is put to, are of the plain form.
    is_plain = "HTTP_RANGE" in environ or "HTTP_IF_MATCH" in environ
    has_forms = compression.is_compressible(content_type, node.bytes)
    coding = compression.coding_for(environ.get("HTTP_ACCEPT_ENCODING", "")) if has_forms and not is_plain else ""
    sending = Sending(files, environ, found.opened, compression.etag_of(etag, coding) if coding else etag)
    headers = [*sending.validators, *_caching(api, environ, granted, node), _NO_REFERRER]
    if has_forms:
        headers = compression.vary(headers, "Accept-Encoding")
    if is_unchanged(sending, granted.name):
        return Answer(304, headers, [])
    headers += safety(granted.name, content_type, attach=granted.disposition == "attachment")
    if not coding:
        sent = send_file(sending, headers, content_type)
        if sent.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise UnsatisfiableRange(size=node.bytes)
        return sent
    headers += [("Content-Type", content_type), ("Content-Encoding", coding)]
    blocks = blocks_of(sending, ByteRange(0, node.bytes))
    return Answer(200, headers, [] if sending.is_head else compression.compressed(blocks, coding))


def _caching(api: Api, environ: dict[str, Any], granted: Grant, node: Node) -> Headers:
    """A shared cache may keep it, as long as it could still be revoked within the time that is promised.

    Who sends credentials gets an answer for themselves alone (RFC 9111 §3.5), though they have no effect here.
    """
    if "HTTP_AUTHORIZATION" in environ or "HTTP_COOKIE" in environ:
        return [("Cache-Control", "private, no-cache")]
    keys = (
        surrogates.EVERYTHING,
        surrogates.of_file(node.id),
        surrogates.of_tree(node.tree_id),
        surrogates.of_signing_key(granted.key_id),
    )
    left_s = granted.expires_s - clock.now() // clock.SECOND
    kept_s = max(min(left_s, api.revocation_s), 0)
    return [
        ("Cache-Control", f"public, max-age={kept_s}, s-maxage={kept_s}, must-revalidate"),
        # By which a cache can be told to drop all that it has of a file, of a user, or of a key.
        ("Surrogate-Key", " ".join(keys)),
    ]

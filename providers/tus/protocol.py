"""The headers of tus: which version is spoken, how far an upload is, checksums, and what is put together of what."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from appliance.errors import BadRequest, ChecksumMismatch, NotFound
from appliance.files.write import Announced, Digest
from providers.front.messages import Headers, is_coded

VERSION: Final = "1.0.0"
BODY_TYPE: Final = "application/offset+octet-stream"
EXTENSIONS: Final = "creation,creation-with-upload,checksum,expiration,termination,concatenation"
PARTIAL: Final = "partial"
MISMATCH_STATUS: Final = 460
"""Of bytes that are not those that were announced; no list of statuses but that of tus knows it."""

_DIGESTS: Final[dict[str, Callable[[], Digest]]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha256": hashlib.sha256,
}
# 10^18 bytes: more than any file.
_LENGTH_DIGITS = 18
_HEX = frozenset("0123456789abcdef")
_TOKEN_LENGTH = 32
_FINAL = "final;"


class WrongVersion(BadRequest):
    """The client speaks another version of tus, or none."""


class WrongBodyType(BadRequest):
    """Bytes of an upload that are not said to be such."""


class BytesMismatch(ChecksumMismatch):
    """The bytes of this request are not those that were announced; none of them was kept."""


class Concat(NamedTuple):
    """Upload-Concat. ``tokens``: of the uploads that are put together; none if this one ``is_partial``."""

    text: str
    tokens: tuple[str, ...]

    @property
    def is_partial(self) -> bool:
        return self.text == PARTIAL


def capabilities(max_file_bytes: int) -> Headers:
    """What is spoken here."""
    return [
        ("Tus-Resumable", VERSION),
        ("Tus-Version", VERSION),
        ("Tus-Extension", EXTENSIONS),
        ("Tus-Max-Size", str(max_file_bytes)),
        ("Tus-Checksum-Algorithm", ",".join(_DIGESTS)),
    ]


def of_refusal(error: Exception) -> Headers:
    """What an error is answered with, besides what it is by itself."""
    told = [("Tus-Version", VERSION)] if isinstance(error, WrongVersion) else []
    return [("Tus-Resumable", VERSION), *told]


def require_version(environ: dict[str, Any]) -> None:
    """Refuse any other version, and none.

    Raises:
        WrongVersion
    """
    if environ.get("HTTP_TUS_RESUMABLE", "").strip() != VERSION:
        raise WrongVersion(reason=f"the Tus-Resumable header has to be {VERSION}")


def has_bytes(environ: dict[str, Any]) -> bool:
    """Whether the body is what an upload goes on with."""
    media_type: str = environ.get("CONTENT_TYPE", "")
    return media_type.partition(";")[0].strip().lower() == BODY_TYPE


def require_bytes(environ: dict[str, Any]) -> None:
    """Refuse a body that is not said to be bytes of an upload.

    Raises:
        WrongBodyType
    """
    if not has_bytes(environ):
        raise WrongBodyType(reason=f"the Content-Type has to be {BODY_TYPE}")
    require_plain(environ)


def require_plain(environ: dict[str, Any]) -> None:
    """Refuse bytes in a content coding: offsets count those that are stored.

    Raises:
        WrongBodyType
    """
    if is_coded(environ):
        raise WrongBodyType(reason="a content coding is not supported; send the bytes as they are")


def number_of(environ: dict[str, Any], name: str) -> int:
    """A header that has to be there and counts bytes; ``name``: as in ``Upload-Offset``.

    Raises:
        BadRequest
    """
    value = environ.get(f"HTTP_{name.upper().replace('-', '_')}", "").strip()
    if not (value.isascii() and value.isdigit() and len(value) <= _LENGTH_DIGITS):
        raise BadRequest(reason=f"the {name} header has to be a number of bytes")
    return int(value)


def checksum_of(environ: dict[str, Any]) -> Announced | None:
    """Upload-Checksum, with a fresh digest; None if there is none.

    Raises:
        BadRequest: of no known algorithm, or no checksum of it.
    """
    value = environ.get("HTTP_UPLOAD_CHECKSUM")
    if value is None:
        return None
    algorithm, _, text = value.strip().partition(" ")
    if algorithm not in _DIGESTS:
        raise BadRequest(reason=f"Upload-Checksum is known of {', '.join(_DIGESTS)}")
    digest = _DIGESTS[algorithm]()
    try:
        announced = base64.b64decode(text.strip(), validate=True).hex()
    except (binascii.Error, ValueError):
        announced = ""
    if len(announced) != len(digest.hexdigest()):
        raise BadRequest(reason=f"Upload-Checksum holds no {algorithm} digest in base64")
    return Announced({algorithm: announced}, {algorithm: digest})


def concat_of(environ: dict[str, Any]) -> Concat | None:
    """Upload-Concat; None if there is none.

    Raises:
        BadRequest: it is neither of its two forms.
        NotFound: it names what is no upload.
    """
    value = environ.get("HTTP_UPLOAD_CONCAT")
    if value is None:
        return None
    text = value.strip()
    if text == PARTIAL:
        return Concat(text, ())
    urls = text.removeprefix(_FINAL).split()
    if not text.startswith(_FINAL) or not urls or not text.isascii():
        raise BadRequest(reason='Upload-Concat reads "partial", or "final;" and the URLs of partial uploads')
    return Concat(text, tuple(token_of(_path(url).rpartition("/")[2]) for url in urls))


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def token_of(text: str) -> str:
    """An upload's name in a URL. What is none names nothing, and no database has to look at it.

    Raises:
        NotFound
    """
    if len(text) != _TOKEN_LENGTH or not set(text) <= _HEX:
        raise NotFound(what="this upload")
    return text

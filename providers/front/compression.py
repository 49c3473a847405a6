"""Compressed answers (RFC 9110 §8.4.1, §12.5.3): zstd, br and gzip, for those who accept them.

Another coding is another representation: its ETag is its own. It is a weak one, since another release of a library may
write other bytes. Parts are only served of what is not compressed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import brotli
import zstandard

from appliance import cores
from appliance.backends.base import Buffer
from providers.front.messages import Answer, Headers

LEAST_BYTES = 1024
MOST_BYTES = 64 * 1_048_576
"""What is larger is sent as it is: a download that breaks off can go on there."""

_LEVEL_ZSTD, _LEVEL_BR, _LEVEL_GZIP = 3, 4, 6
_GZIP_WINDOW = 31
# Takes some milliseconds.
_LONG = 262_144
# Every client and cache can undo gzip, so it comes last only where the others are wanted as much.
_PREFERRED = ("zstd", "br", "gzip")
_ELEMENT = re.compile(r"\s*([a-z*-]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?))?\s*", re.IGNORECASE)
_COMPRESSIBLE = re.compile(
    r"(?:text/.*|application/(?:json|javascript|xml|yaml|rtf|wasm|x-sh|x-tar|vnd\.ms-.*|vnd\.sqlite3|.*\+(?:json|xml))"
    r"|image/(?:svg\+xml|bmp)|font/(?:otf|ttf)|message/rfc822)"
)


class _Compressor(Protocol):
    def compress(self, data: Buffer, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Brotli:
    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=_LEVEL_BR)

    def compress(self, data: Buffer, /) -> bytes:
        done: bytes = self._compressor.process(bytes(data))
        return done

    def flush(self) -> bytes:
        done: bytes = self._compressor.finish()
        return done


_MAKE: dict[str, Callable[[], _Compressor]] = {
    "zstd": lambda: zstandard.ZstdCompressor(level=_LEVEL_ZSTD).compressobj(),
    "br": _Brotli,
    "gzip": lambda: zlib.compressobj(_LEVEL_GZIP, zlib.DEFLATED, _GZIP_WINDOW),
}


def compresses(content_type: str) -> bool:
    """Whether content of this type usually gets smaller."""
    return _COMPRESSIBLE.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def is_compressible(content_type: str, size: int) -> bool:
    """Whether it may be worth it: by its type and its length."""
    return LEAST_BYTES <= size <= MOST_BYTES and compresses(content_type)


def coding_for(accepted: str) -> str:
    """The coding for a client with this Accept-Encoding; "": none."""
    quality: dict[str, float] = {}
    for element in accepted.split(","):
        match = _ELEMENT.fullmatch(element)
        if match is not None:
            quality[match[1].lower()] = float(match[2]) if match[2] else 1.0
    others = quality.get("*", 0.0)
    identity = quality.get("identity", 0.0)
    best = max(_PREFERRED, key=lambda coding: quality.get(coding, others))
    wanted = quality.get(best, others)
    return best if wanted > 0 and wanted >= identity else ""


def etag_of(etag: str, coding: str) -> str:
    """That of the compressed form."""
    return f'W/{etag[:-1]}-{coding}"'


def compressed(blocks: Iterable[Buffer], coding: str) -> Iterator[Buffer]:
    """The blocks in this coding."""
    compressor = _MAKE[coding]()
    for block in blocks:
        if done := compressor.compress(block):
            yield done
    yield compressor.flush()


def compress_document(environ: dict[str, Any], found: Answer) -> Answer:
    """An answer that is there already, compressed if that helps.

    Not one that may hold a secret, which nobody may keep; nor one whose ETag is that of the file it tells of, since
    that is what a client asks with.
    """
    if found.status != 200 or not isinstance(found.blocks, list):
        return found
    headers = dict(found.headers)
    if headers.get("Cache-Control") == "no-store":
        return found
    size = sum(map(len, found.blocks))
    if "Content-Encoding" in headers or "ETag" in headers or not is_compressible(headers.get("Content-Type", ""), size):
        return found
    coding = coding_for(environ.get("HTTP_ACCEPT_ENCODING", ""))
    headers_now = vary(found.headers, "Accept-Encoding")
    if not coding:
        return found._replace(headers=headers_now)
    if size > _LONG:
        cores.roam()
    data = b"".join(map(bytes, compressed(found.blocks, coding)))
    changed: Headers = []
    for name, value in headers_now:
        changed.append((name, str(len(data)) if name == "Content-Length" else value))
    return Answer(found.status, [*changed, ("Content-Encoding", coding)], [data])


def vary(headers: Headers, name: str) -> Headers:
    """With one more header of the request that the answer depends on."""
    values = [value for each, value in headers if each == "Vary"]
    others = [(each, value) for each, value in headers if each != "Vary"]
    return [*others, ("Vary", ", ".join([*values, name]))]

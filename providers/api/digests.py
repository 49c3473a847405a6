"""Digests of what a client sends (Content-Digest, RFC 9530)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from appliance.errors import BadRequest
from appliance.files.write import Announced, Digest

# A dictionary of byte sequences (RFC 8941 §3.2, §3.3.5); parameters mean nothing here.
_MEMBER = re.compile(r"([a-z*][a-z0-9_\-.*]*)=:([A-Za-z0-9+/=]*):(?:;[^,]*)?")
_KNOWN = {"sha-256": ("SHA256", hashlib.sha256), "sha-512": ("SHA512", hashlib.sha512)}


def parse_content_digest(value: str | None) -> Announced | None:
    """What is to be compared, with fresh digests; None if nothing that is known was sent.

    Raises:
        BadRequest: it is no such field, or a digest of another length.
    """
    if value is None:
        return None
    hexdigests: dict[str, str] = {}
    digests: dict[str, Digest] = {}
    for member in filter(None, map(str.strip, value.split(","))):
        match = _MEMBER.fullmatch(member)
        if match is None:
            raise BadRequest(reason="Content-Digest reads sha-256=:BASE64: (RFC 9530)")
        if match[1] not in _KNOWN:
            continue
        name, make = _KNOWN[match[1]]
        digest = make()
        hexdigests[name] = _bytes_of(match[1], match[2], digest.digest_size).hex()
        digests[name] = digest
    return Announced(hexdigests, digests) if hexdigests else None


def _bytes_of(name: str, text: str, size: int) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != size:
        raise BadRequest(reason=f"Content-Digest holds no {name} digest of {size} bytes in base64")
    return found

"""Checksums that a client announces for its upload (``OC-Checksum: SHA1:…``) and the states that compute them."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.errors import BadRequest

_pair = re.compile(r"([A-Za-z][A-Za-z0-9\-]{0,31}):(.*)", re.DOTALL).fullmatch
_hex = re.compile(r"[0-9a-f]+").fullmatch


class ChecksumState(Protocol):
    """A hash that grows; one thread at a time."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Adler32:
    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_STATES: Final[dict[str, tuple[int, Callable[[], ChecksumState]]]] = {
    "SHA1": (40, lambda: hashlib.sha1(usedforsecurity=False)),
    "MD5": (32, lambda: hashlib.md5(usedforsecurity=False)),
    "ADLER32": (8, _Adler32),
    "SHA256": (64, hashlib.sha256),
    "SHA3-256": (64, hashlib.sha3_256),
}


@dataclass(frozen=True, slots=True)
class Checksum:
    """``algorithm`` is a name that ``checksum_state`` knows, ``hexdigest`` has lower case and full length."""

    algorithm: str
    hexdigest: str


def parse_oc_checksum(value: str | None) -> tuple[Checksum, ...]:
    """The pairs whose algorithms are known, each algorithm once.

    ``ADLER32`` may lack leading zeros, as the ownCloud client writes it.

    Raises: BadRequest for what is no ``ALGORITHM:hex``, for a known algorithm with an impossible digest, and for one
    with two different digests.
    """
    found: dict[str, str] = {}
    for entry in (value or "").replace(",", " ").split():
        pair = _pair(entry)
        if pair is None:
            raise BadRequest(reason="the OC-Checksum header must read ALGORITHM:hexdigest")
        algorithm, digest = pair[1].upper(), pair[2].lower()
        if algorithm not in _STATES:
            continue
        length = _STATES[algorithm][0]
        if algorithm == "ADLER32" and digest:
            digest = digest.rjust(length, "0")
        if len(digest) != length or not _hex(digest):
            raise BadRequest(reason=f"the OC-Checksum header holds no {algorithm} digest of {length} hex digits")
        if found.setdefault(algorithm, digest) != digest:
            raise BadRequest(reason=f"the OC-Checksum header holds two {algorithm} digests")
    return tuple(Checksum(*pair) for pair in found.items())


def checksum_state(algorithm: str) -> ChecksumState:
    """A fresh state. Raises: BadRequest for an algorithm that ``parse_oc_checksum`` would not have returned."""
    known = _STATES.get(algorithm)
    if known is None:
        raise BadRequest(reason="the checksum algorithm is not known here")
    return known[1]()

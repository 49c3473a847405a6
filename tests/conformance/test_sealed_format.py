"""The bytes of a sealed blob are those that docs/design/sealing.md describes, and stay so."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.backends.base import SEALED
from appliance.backends.memory import MemoryBackend
from appliance.backends.seal import Cipher, DataKey, Header, Sealing
from appliance.backends.sealed import SealedBackend
from tests.conformance.sealing import STORE, KeysInMemory, content_of
from tests.support.content import noise

KEY = "packs/00000001/00000001"


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def opened(stored: bytes, secret: bytes) -> bytes:
    """As somebody would do it who has the page alone."""
    magic, number, shift, reserved, _, salt = struct.unpack("<4sBBH8s32s", stored[:48])
    assert (magic, number, shift, reserved) == (b"HFSL", 1, 16, 0)
    where = bytes.fromhex(STORE) + KEY.encode()
    cipher = AESGCM(hkdf(secret, salt, b"holdfast sealed blob 1" + where))
    segments = [stored[at : at + 65_552] for at in range(48, len(stored), 65_552)]
    return b"".join(
        cipher.decrypt(struct.pack("<QI", at, at == len(segments) - 1), segment, stored[:48] + where)
        for at, segment in enumerate(segments)
    )


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 200_000])
def test_sealed_blob_is_opened_by_what_the_page_says(size: int) -> None:
    """Without a line of the product."""
    keys, inner = KeysInMemory("one"), MemoryBackend()
    SealedBackend(inner, keys, STORE).put(KEY, [noise(size)])
    stored = content_of(inner, SEALED + KEY)
    assert stored[8:16] == keys.newest().id
    assert opened(stored, keys.newest().secret) == noise(size)


def test_same_key_salt_and_content_give_the_same_bytes_for_ever() -> None:
    """A later program has to open what this one sealed."""
    header = Header(b"\x01" * 8, b"\x02" * 32)
    cipher = Cipher(DataKey(b"\x01" * 8, b"\x03" * 32), header, STORE, KEY)
    sealing = Sealing(cipher, [bytes(100_000)])
    stored = b"".join(bytes(block) for block in sealing.sealed())
    assert len(stored) == 48 + 100_000 + 2 * 16
    assert hashlib.sha256(stored).hexdigest() == "486aa4a2e3fe00b3028acf3de5f84819b52f37da9778f2735786795e1d6928d9"

"""Data keys as they are kept: wrapped by a master key, in rows of the table ``data_key`` and in the blob ``keys``.

The blob is what counts: it is written first, so there is no row that it does not know, and a store can be rebuilt from
its blobs and the master key. While the master key is being changed, the blob holds each data key twice.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance import clock
from appliance.backends.base import Backend
from appliance.backends.seal import DataKey
from appliance.errors import BlobMissing, KeysUnusable
from appliance.sealing.master import MasterKey

KEY = "keys"
"""The blob's key."""

_FORMAT = 1
_NONCE = 12
_PURPOSE = b"holdfast data key 1"


class Wrapped(NamedTuple):
    """A data key, wrapped by the master key with the fingerprint ``master``. ``retired_at``: None for the newest."""

    id: bytes
    wrapped: bytes
    master: str
    created_at: int
    retired_at: int | None

    @property
    def name(self) -> str:
        """As people read it."""
        return self.id.hex()


def new_key(now: int | None = None) -> tuple[DataKey, int]:
    """A data key that nobody has yet, and when it was made."""
    return DataKey(secrets.token_bytes(8), secrets.token_bytes(32)), clock.now() if now is None else now


def wrap(key: DataKey, master: MasterKey, store_id: str, created_at: int, retired_at: int | None = None) -> Wrapped:
    """For keeping."""
    nonce = secrets.token_bytes(_NONCE)
    sealed = AESGCM(master.secret).encrypt(nonce, key.secret, _covered(store_id, key.id))
    return Wrapped(key.id, nonce + sealed, master.fingerprint, created_at, retired_at)


def unwrap(kept: Wrapped, master: MasterKey, store_id: str) -> DataKey | None:
    """The data key; None if another master key wrapped it, or it is damaged."""
    try:
        cipher = AESGCM(master.secret)
        secret = cipher.decrypt(kept.wrapped[:_NONCE], kept.wrapped[_NONCE:], _covered(store_id, kept.id))
    except (InvalidTag, ValueError):
        return None
    return DataKey(kept.id, secret)


def _covered(store_id: str, key_id: bytes) -> bytes:
    return _PURPOSE + bytes.fromhex(store_id) + key_id


def read_blob(backend: Backend, store_id: str) -> list[Wrapped]:
    """What the blob ``keys`` holds; none if there is no such blob.

    Raises:
        KeysUnusable: it cannot be read, or is of another store.
    """
    size = backend.head(KEY)
    if size is None:
        return []
    try:
        found = json.loads(bytes(backend.get(KEY, 0, size)))
        if found["format"] != _FORMAT:
            raise KeysUnusable(reason=f"the blob {KEY!r} has format {found['format']}; install a newer Holdfast")
        if found["store"] != store_id:
            raise KeysUnusable(reason=f"the blob {KEY!r} is of store {found['store']}, this is {store_id}")
        return [_from_json(each) for each in found["keys"]]
    except (ValueError, KeyError, TypeError, BlobMissing) as error:
        raise KeysUnusable(
            reason=f"the blob {KEY!r} cannot be read; `holdfast key repair` writes it anew from the database"
        ) from error


def write_blob(backend: Backend, store_id: str, keys: Iterable[Wrapped]) -> None:
    """Let it hold these; durable as the backend is."""
    text = json.dumps({"format": _FORMAT, "store": store_id, "keys": [_to_json(each) for each in keys]}, indent=1)
    backend.put(KEY, [text.encode()])


def _to_json(kept: Wrapped) -> dict[str, object]:
    wrapped = base64.b64encode(kept.wrapped).decode("ascii")
    return {**kept._asdict(), "id": kept.name, "wrapped": wrapped}


def _from_json(found: dict[str, object]) -> Wrapped:
    retired = found["retired_at"]
    return Wrapped(
        bytes.fromhex(str(found["id"])),
        base64.b64decode(str(found["wrapped"]), validate=True),
        str(found["master"]),
        int(str(found["created_at"])),
        None if retired is None else int(str(retired)),
    )


def with_one_newest(keys: Iterable[Wrapped]) -> list[Wrapped]:
    """The oldest first, and all but the newest are retired."""
    ordered = sorted(keys, key=lambda each: (each.created_at, each.id))
    last = ordered[-1]
    return [
        *(each if each.retired_at else each._replace(retired_at=last.created_at) for each in ordered[:-1]),
        last._replace(retired_at=None),
    ]


def newest(keys: Sequence[Wrapped]) -> Wrapped:
    """The one that blobs are sealed with now."""
    return max(keys, key=lambda each: (each.created_at, each.id))

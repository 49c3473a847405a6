"""The key that the processes of a store share for the digests of wrong passwords."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from appliance.accounts.throttle import new_key
from appliance.config import Settings

_PURPOSE = b"holdfast guess"


def guess_key_of(settings: Settings) -> bytes:
    """By chance for a store that is this server's alone. Nodes that share one make it of a secret that all of them have
    and the database has not; where there is none, each counts a wrong password once for itself.
    """
    secrets = [settings.s3_secret_key or ""]
    if settings.is_shared and settings.database_url is not None:
        secrets.append(urlsplit(settings.database_url.url).password or "")
    if not settings.is_shared or not any(secrets):
        return new_key()
    return hashlib.blake2b("\0".join(secrets).encode(), digest_size=32, person=_PURPOSE).digest()

"""What a client proves itself with, and what it is told to."""

from __future__ import annotations

import base64
import binascii

from appliance.errors import HoldfastError, ScopeMissing, TokenInvalid, Unauthenticated
from providers.front.messages import Headers

REALM = "Holdfast"

_FIELD = "WWW-Authenticate"
_BASIC = f'Basic realm="{REALM}", charset="UTF-8"'
_BEARER = f'Bearer realm="{REALM}"'


def basic_credentials(header: str) -> tuple[str, str] | None:
    """User and password of an Authorization header (RFC 7617); None if it is no whole Basic one."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = text.partition(":")
    return (name, password) if colon else None


def bearer_token(header: str) -> str | None:
    """The token of an Authorization header (RFC 6750 §2.1), whatever it looks like; None if there is none."""
    scheme, _, value = header.partition(" ")
    return (value.strip() or None) if scheme.lower() == "bearer" else None


def challenges(error: HoldfastError, *, offers_bearer: bool) -> Headers:
    """What the answer to ``error`` asks for (RFC 9110 §11.6.1, RFC 6750 §3); nothing if it is not about credentials.

    Clients that look at one challenge take the first. ``offers_bearer``: also to those who have shown no token.
    """
    if isinstance(error, TokenInvalid):
        return [(_FIELD, _BASIC), (_FIELD, f'{_BEARER}, error="invalid_token", error_description="{error}"')]
    if isinstance(error, Unauthenticated):
        return [(_FIELD, _BASIC), *([(_FIELD, _BEARER)] if offers_bearer else [])]
    if isinstance(error, ScopeMissing):
        return [(_FIELD, f'{_BEARER}, error="insufficient_scope", scope="{error.scope}"')]
    return []

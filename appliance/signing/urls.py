"""Signing what a URL grants, and finding out what a signed text grants.

The text is ``KEY.USER.TOKEN.NODE.SEQ.DISPOSITION.EXPIRES`` and the file's name; TOKEN is 0 for who signed in without
one. The signature also covers the store's incarnation and the user's generation: a restored store, or an issuer who
changed the password, revoked a device or was disabled makes it void.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Literal, NamedTuple

from appliance import clock
from appliance.db.sql import Row, Session, Sql
from appliance.errors import BadSignature, UrlExpired
from appliance.files.context import Files
from appliance.principal import Home, Principal
from appliance.signing import keys

LIFE_S = 3600
"""A URL holds so long, and up to ``WINDOW_S`` longer."""

WINDOW_S = 600
"""URLs of one version that are signed within a window of these seconds are the same, so that caches share them."""

Disposition = Literal["inline", "attachment"]

_LETTERS: dict[Disposition, str] = {"inline": "i", "attachment": "a"}
_DISPOSITIONS: dict[str, Disposition] = {letter: name for name, letter in _LETTERS.items()}
# Numbers as they are written here and in no other way.
_ID = r"([1-9]\d{0,17})"
_TEXT = re.compile(rf"{_ID}\.{_ID}\.(0|[1-9]\d{{0,17}})\.{_ID}\.{_ID}\.([ia])\.([1-9]\d{{0,11}})")

_ISSUER = Sql("""
    SELECT k.secret, u.name, u.role, u.state, u.generation, t.id, t.root_id
    FROM signing_key k JOIN "user" u ON u.id = :user_id JOIN tree t ON t.owner_id = u.id
    WHERE k.id = :key_id AND (:token_id = 0 OR EXISTS (
        SELECT 1 FROM api_token a WHERE a.id = :token_id AND a.user_id = :user_id AND a.expires_at > :now
    ))
""")
_GENERATION = Sql('SELECT generation FROM "user" WHERE id = :id')


class Grant(NamedTuple):
    """The content of a version may be read under this name until ``expires_s`` (Unix time). ``key_id``: who signed it;
    0: nobody yet.
    """

    node_id: int
    seq: int
    disposition: Disposition
    name: str
    expires_s: int
    key_id: int = 0


class Signed(NamedTuple):
    """A text that stands for a grant, and its signature; both are fit for a path."""

    text: str
    signature: str


def grant(node_id: int, seq: int, name: str, disposition: Disposition) -> Grant:
    """What is granted now: ``LIFE_S``, rounded up to the end of a window."""
    until = clock.now() // clock.SECOND + LIFE_S
    return Grant(node_id, seq, disposition, name, -(-until // WINDOW_S) * WINDOW_S)


def sign(files: Files, principal: Principal, granted: Grant) -> Signed:
    """Sign for a principal who has been found to be allowed to read the version.

    Under the generation that was verified: if that was the last moment of a password, the URL ends with it.
    """
    key = keys.newest(files.database)
    generation = principal.generation
    if generation is None:
        with files.database.read() as session:
            generation = session.value(_GENERATION, id=principal.user_id)
    text = (
        f"{key.id}.{principal.user_id}.{principal.token_id or 0}.{granted.node_id}.{granted.seq}."
        f"{_LETTERS[granted.disposition]}.{granted.expires_s}"
    )
    return Signed(text, _signature(key.secret, files.incarnation, generation, text, granted.name))


def verify(
    files: Files, session: Session, signed: Signed, name: str, *, address: str, face: str
) -> tuple[Grant, Principal]:
    """What is granted, and in whose name. Whether that user may still read the file is not looked at here.

    Raises:
        BadSignature: nobody has signed this, or the key or the issuer is gone.
        UrlExpired: it was right once.
    """
    match = _TEXT.fullmatch(signed.text)
    if match is None or not signed.text.isascii():
        raise BadSignature
    key_id, user_id, token_id, node_id, seq, expires_s = (int(match[group]) for group in (1, 2, 3, 4, 5, 7))
    row = session.row(_ISSUER, key_id=key_id, user_id=user_id, token_id=token_id, now=clock.now())
    if row is None or not _is_right(row, files.incarnation, signed, name):
        raise BadSignature
    if expires_s * clock.SECOND <= clock.now():
        raise UrlExpired
    _, user_name, role, _, _, *home = row
    principal = Principal("user", user_id, user_name, role, user_id, None, face, address, Home(*home))
    return Grant(node_id, seq, _DISPOSITIONS[match[6]], name, expires_s, key_id), principal


def _is_right(row: Row, incarnation: str, signed: Signed, name: str) -> bool:
    secret, _, _, state, generation, *_ = row
    expected = _signature(bytes(secret), incarnation, generation, signed.text, name)
    given = signed.signature.encode("utf-8", "surrogateescape")
    return hmac.compare_digest(expected.encode(), given) and state == "active"


def _signature(secret: bytes, incarnation: str, generation: int, text: str, name: str) -> str:
    """43 letters. The parts before the name hold no line break, so no two sets of parts read the same."""
    message = f"holdfast url 1\nGET\n{incarnation}\n{generation}\n{text}\n{name}".encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(hmac.digest(secret, message, hashlib.sha256)).rstrip(b"=").decode()

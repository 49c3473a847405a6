"""Bearer tokens: made, listed and revoked by who has a password."""

from __future__ import annotations

from typing import Any

from appliance.accounts import tokens
from appliance.accounts.tokens import Token, Wanted
from providers.api import answers
from providers.api.request import Request, row_id
from providers.front.dates import format_iso_date
from providers.front.messages import Answer

_SCOPE_MOST = 100


def make_token(request: Request) -> Answer:
    """A new one; its secret is told this once."""
    fields = request.document()
    wanted = Wanted(
        fields.text("name", most=tokens.NAME_LIMIT),
        frozenset(fields.texts("scopes", most=_SCOPE_MOST, longest=_SCOPE_MOST)),
        fields.integer("expiresIn", least=1, most=tokens.LIFE_MOST_S, default=tokens.LIFE_S),
    )
    token, secret = tokens.make(request.api.uploads.files.database, request.principal, wanted)
    headers = [("Location", request.url(f"/tokens/{token.id}"))]
    return answers.document(201, {**_shown(token), "token": secret}, headers, secret=True)


def list_tokens(request: Request) -> Answer:
    """Those that hold, without their secrets."""
    found = tokens.listing(request.api.uploads.files.database, request.principal)
    return answers.document(200, {"tokens": list(map(_shown, found))})


def revoke_token(request: Request) -> Answer:
    """It works no more."""
    token_id = row_id(request.values["tokenId"], what="this token")
    tokens.revoke(request.api.uploads.files.database, request.principal, token_id)
    return answers.nothing()


def _shown(token: Token) -> dict[str, Any]:
    return {
        "tokenId": str(token.id),
        "name": token.name,
        "scopes": sorted(token.scopes),
        "deviceId": None if token.device_id is None else str(token.device_id),
        "createdAt": format_iso_date(token.created_at),
        "expiresAt": format_iso_date(token.expires_at),
    }

"""Bearer tokens of one's own, for programs that use the API or WebDAV."""

from __future__ import annotations

from admin_ui import answers
from admin_ui.answers import Answer, sentence
from admin_ui.request import Request
from appliance.accounts import tokens
from appliance.accounts.tokens import Wanted
from appliance.errors import BadRequest, TooManyTokens

_DAY_S = 86_400
_NAME_KEPT = 200
_DAYS = (1, 7, 30, 90, 366)
_USUAL_DAYS = tokens.LIFE_S // _DAY_S
_SCOPES = {"files:read": "Read files", "files:write": "Write files"}
_SAID = {"revoked": "The token works no more."}


def show(request: Request) -> Answer:
    """Those that hold, and a form for another one."""
    return _listing(request, 200, Wanted("", frozenset()), said=_SAID.get(request.query.get("done", ""), ""))


def add(request: Request) -> Answer:
    """A new one, shown in this answer and never again."""
    form = request.form
    days = form.get("days", "")
    wanted = Wanted(
        form.get("name", "")[:_NAME_KEPT],
        frozenset(scope for scope in _SCOPES if form.get(scope)),
        # Zero is refused like every other life that cannot be.
        int(days) * _DAY_S if days.isascii() and days.isdecimal() and len(days) < 6 else 0,
    )
    try:
        token, secret = tokens.make(request.database, request.principal, wanted)
    except BadRequest as error:
        return _listing(request, 400, wanted, problem=sentence(error))
    except TooManyTokens as error:
        return _listing(request, 409, wanted, problem=f"You have {error.limit} tokens already; revoke some first.")
    return request.page("account/token_made.html", token=token, secret=secret, api_url=f"{request.base_url}/api/v1")


def revoke(request: Request, id: str) -> Answer:  # noqa: A002 - the name of the path's part
    """It works no more; 404 if it is somebody else's."""
    tokens.revoke(request.database, request.principal, int(id))
    return answers.redirect("/account/tokens?done=revoked")


def _listing(request: Request, status: int, wanted: Wanted, *, said: str = "", problem: str = "") -> Answer:
    return request.page(
        "account/tokens.html",
        status,
        tokens=tokens.listing(request.database, request.principal),
        scopes=_SCOPES,
        wanted=wanted,
        days=_DAYS,
        chosen_days=wanted.life_s // _DAY_S if wanted.life_s else _USUAL_DAYS,
        name_most=tokens.NAME_LIMIT,
        said=said,
        problem=problem,
    )

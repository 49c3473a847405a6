"""Signing in and out."""

from __future__ import annotations

from admin_ui import answers
from admin_ui.answers import Answer
from admin_ui.request import Request, local_path
from admin_ui.tokens import SESSION, VISIT, form_token, new_token
from appliance.accounts import sessions
from appliance.errors import Denied, SignInBlocked, Unauthenticated

PATH = "/account/sign-in"
PURPOSE = "sign in"
_HOME = "/account/"


def show(request: Request) -> Answer:
    """The form; whoever is signed in goes on."""
    following = local_path(request.query.get("next"))
    if request.session is not None:
        return answers.redirect(following or _HOME)
    return _form(request, 200, following=following)


def sign_in(request: Request) -> Answer:
    """A new session, under a new token whatever the browser had before."""
    name = request.form.get("name", "")
    following = local_path(request.form.get("next"))
    try:
        token = request.services.sign_in.begin_session(
            name,
            request.form.get("password", ""),
            address=request.address,
            agent=str(request.environ.get("HTTP_USER_AGENT", "")),
        )
    except Unauthenticated:
        return _form(request, 403, name=name, following=following, problem="The name or the password is wrong.")
    except Denied:
        problem = "This is an app password, which is for programs and devices. Sign in with your own password."
        return _form(request, 403, name=name, following=following, problem=problem)
    except SignInBlocked as error:
        problem = f"Too many attempts have failed. Try again in {error.retry_after_s} seconds."
        return _form(request, 429, name=name, following=following, problem=problem).plus(
            ("Retry-After", str(error.retry_after_s))
        )
    if request.session is not None:
        sessions.end(request.database, request.session.digest)
    return answers.redirect(following or _HOME).plus(SESSION.set(request.environ, token), VISIT.clear(request.environ))


def sign_out(request: Request) -> Answer:
    """The session ends here and in the table."""
    assert request.session is not None
    sessions.end(request.database, request.session.digest)
    return answers.redirect(f"{PATH}?done=signed-out").plus(SESSION.clear(request.environ))


def _form(request: Request, status: int, *, name: str = "", following: str | None = None, problem: str = "") -> Answer:
    visit = request.visit or new_token()
    said = "You are signed out." if request.query.get("done") == "signed-out" and not problem else ""
    request.session = None
    answer = request.page(
        "signin.html",
        status,
        visit_token=form_token(visit, PURPOSE),
        name=name[:100],
        following=following or "",
        problem=problem,
        said=said,
    )
    return answer if request.visit else answer.plus(VISIT.set(request.environ, visit))

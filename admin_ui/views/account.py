"""What people see and change of their own account."""

from __future__ import annotations

from admin_ui import answers
from admin_ui.answers import Answer, sentence
from admin_ui.mounting import dav_url, guides
from admin_ui.request import Request
from appliance.accounts import app_passwords, sessions, users
from appliance.errors import BadRequest, SignInBlocked, Unauthenticated

_SAID = {
    "password": "Your password is changed. Other browsers are signed out.",
    "revoked": "The app password works no more.",
    "ended": "All other browsers are signed out.",
}


def show(request: Request) -> Answer:
    """Usage, app passwords and browsers."""
    return _overview(request, said=_SAID.get(request.query.get("done", ""), ""))


def connect(request: Request) -> Answer:
    """How to mount the files, with this user's name filled in."""
    base, name = request.base_url, request.principal.name
    return request.page("account/connect.html", dav_url=dav_url(base), guides=guides(base, name))


def show_password(request: Request) -> Answer:
    """The form for a new password."""
    return _password_form(request, 200)


def set_password(request: Request) -> Answer:
    """A new password, for who knows the present one: a browser that was left alone is not enough."""
    current, password = request.form.get("current", ""), request.form.get("password", "")
    if password != request.form.get("again", ""):
        return _password_form(request, 400, again="The two are not the same.")
    name = request.principal.name
    try:
        verified = request.services.sign_in.principal(name, current, face="web", address=request.address)
        if verified.device_id is not None:
            raise Unauthenticated
        assert request.session is not None
        users.set_password(request.database, request.me(), password, keep=request.session.digest, by=request.principal)
    except Unauthenticated:
        return _password_form(request, 403, current="This is not your present password.")
    except SignInBlocked as error:
        problem = f"Too many attempts have failed. Try again in {error.retry_after_s} seconds."
        return _password_form(request, 429, current=problem).plus(("Retry-After", str(error.retry_after_s)))
    except BadRequest as error:
        return _password_form(request, 400, password=sentence(error))
    return answers.redirect("/account/?done=password")


def add_app_password(request: Request) -> Answer:
    """A new one, shown in this answer and never again."""
    label = request.form.get("label", "")
    try:
        _, secret = app_passwords.add(request.database, request.me(), label, by=request.principal)
    except BadRequest as error:
        return _overview(request, 400, label=label[:200], problem=sentence(error))
    return request.page("account/made.html", secret=secret, label=label.strip(), dav_url=dav_url(request.base_url))


def revoke_app_password(request: Request, id: str) -> Answer:  # noqa: A002 - the name of the path's part
    """It works no more; 404 if it is somebody else's."""
    app_passwords.revoke(request.database, request.me(), int(id), by=request.principal)
    return answers.redirect("/account/?done=revoked#app-passwords")


def end_other_sessions(request: Request) -> Answer:
    """Sign all other browsers of this user out."""
    assert request.session is not None
    assert request.principal.user_id is not None
    sessions.end_others(request.database, request.principal.user_id, keep=request.session.digest)
    return answers.redirect("/account/?done=ended#browsers")


def _overview(request: Request, status: int = 200, *, said: str = "", label: str = "", problem: str = "") -> Answer:
    assert request.session is not None
    user = request.me()
    devices = [each for each in app_passwords.listing(request.database, user) if each.revoked_at is None]
    browsers = sessions.listing(request.database, request.services.lives, user_id=user.id)
    return request.page(
        "account/overview.html",
        status,
        user=user,
        devices=devices,
        browsers=browsers,
        here=request.session.digest,
        said=said,
        label=label,
        problem=problem,
        label_most=app_passwords.LABEL_LIMIT,
    )


def _password_form(request: Request, status: int, **problems: str) -> Answer:
    shown = {"current": "", "password": "", "again": "", **problems}
    return request.page("account/password.html", status, problems=shown)

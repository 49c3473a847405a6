"""Users, for administrators."""

from __future__ import annotations

from typing import Any

from admin_ui import answers
from admin_ui.answers import Answer, sentence
from admin_ui.request import Request
from appliance import sizes
from appliance.accounts import app_passwords, passwords, sessions, users
from appliance.accounts.usage import NOTHING
from appliance.accounts.users import User
from appliance.errors import BadRequest, NameTaken
from appliance.upkeep import measure

_SAID = {
    "quota": "The quota is set.",
    "role-admin": "This user is an administrator now.",
    "role-member": "This user is no administrator any more.",
    "state-active": "This user can sign in again.",
    "state-disabled": "This user cannot sign in any more, and is signed out everywhere.",
    "password": "The password is set, and all browsers are signed out.",
}
_STATES = ("active", "disabled")


def show_all(request: Request) -> Answer:
    """Everybody, with what they hold."""
    return request.page("admin/users.html", users=users.listing(request.database))


def show_new(request: Request) -> Answer:
    """The form for a new user."""
    default = request.services.default_quota
    return _new_form(request, 200, quota=sizes.show(default) if default else "")


def add(request: Request) -> Answer:
    """A new user; a password that was generated is shown in this answer and never again."""
    form = request.form
    given = form.get("password", "")
    password = given or passwords.generate()
    quota_bytes: int | None = None
    try:
        quota_bytes = _quota(form.get("quota", ""))
    except BadRequest as error:
        return _new_form(request, 400, problems={"quota": sentence(error)})
    try:
        user = users.add(
            request.database,
            form.get("name", ""),
            password,
            role="admin" if form.get("admin") == "yes" else "member",
            quota_bytes=quota_bytes,
            by=request.principal,
        )
    except BadRequest as error:
        field = "password" if "password" in error.reason else "name"
        return _new_form(request, 400, problems={field: sentence(error)})
    except NameTaken:
        return _new_form(request, 409, problems={"name": "Somebody has this name already."})
    return request.page("admin/user_made.html", user=user, password="" if given else password)


def show(request: Request, name: str) -> Answer:
    """One user, and all that can be changed."""
    return _one(request, name, said=_SAID.get(request.query.get("done", ""), ""))


def set_quota(request: Request, name: str) -> Answer:
    """How much the user may hold; nothing given: no limit."""
    user = users.get(request.database, name)
    text = request.form.get("quota", "")
    try:
        users.set_quota(request.database, user, _quota(text))
    except BadRequest as error:
        return _one(request, name, 400, quota=text[:40], problems={"quota": sentence(error)})
    return _done(name, "quota")


def set_password(request: Request, name: str) -> Answer:
    """A new password: what was typed, or a generated one that is shown in this answer and never again."""
    if name == request.principal.name:
        # There the present one is asked for.
        return answers.redirect("/account/password")
    user = users.get(request.database, name)
    given = request.form.get("password", "")
    password = given or passwords.generate()
    try:
        users.set_password(request.database, user, password, by=request.principal)
    except BadRequest as error:
        return _one(request, name, 400, problems={"password": sentence(error)})
    if given:
        return _done(name, "password")
    return request.page("admin/password_made.html", user=user, password=password)


def set_role(request: Request, name: str) -> Answer:
    """Administrator or not."""
    role = request.form.get("role", "")
    try:
        users.set_role(request.database, users.get(request.database, name), role, by=request.principal)
    except BadRequest as error:
        return _one(request, name, 400, problems={"role": sentence(error)})
    return _done(name, f"role-{role}")


def set_state(request: Request, name: str) -> Answer:
    """May sign in or not."""
    state = request.form.get("state", "")
    try:
        if state not in _STATES:
            raise BadRequest(reason=f"a user is {' or '.join(_STATES)}")
        users.set_state(request.database, users.get(request.database, name), state, by=request.principal)
    except BadRequest as error:
        return _one(request, name, 400, problems={"state": sentence(error)})
    return _done(name, f"state-{state}")


def _done(name: str, what: str) -> Answer:
    return answers.redirect(f"/admin/users/{name}?done={what}")


def _one(
    request: Request,
    name: str,
    status: int = 200,
    *,
    said: str = "",
    quota: str | None = None,
    problems: dict[str, str] | None = None,
) -> Answer:
    user = users.get(request.database, name)
    measured = measure.last(request.database)
    return request.page(
        "admin/user.html",
        status,
        user=user,
        quota=_quota_text(user) if quota is None else quota,
        kept=None if measured is None else measured.kept.get(user.id, NOTHING),
        devices=sum(each.revoked_at is None for each in app_passwords.listing(request.database, user)),
        browsers=len(sessions.listing(request.database, request.services.lives, user_id=user.id)),
        said=said,
        problems={"quota": "", "password": "", "role": "", "state": "", **(problems or {})},
    )


def _new_form(
    request: Request, status: int, *, quota: str | None = None, problems: dict[str, str] | None = None
) -> Answer:
    form = request.form
    values: dict[str, Any] = {
        "name": form.get("name", "")[:100],
        "quota": form.get("quota", "")[:40] if quota is None else quota,
        "admin": form.get("admin") == "yes",
    }
    shown = {"name": "", "password": "", "quota": "", **(problems or {})}
    return request.page("admin/new_user.html", status, values=values, problems=shown)


def _quota(text: str) -> int | None:
    """Bytes; nothing, "none" and 0 are no limit."""
    text = text.strip()
    return None if text.lower() in ("", "none") else sizes.parse(text) or None


def _quota_text(user: User) -> str:
    """What can be typed for the present quota, to the byte."""
    if user.quota_bytes is None:
        return ""
    for unit in ("TB", "GB", "MB", "KB"):
        factor = sizes.parse(f"1 {unit}")
        if user.quota_bytes % factor == 0:
            return f"{user.quota_bytes // factor} {unit}"
    return str(user.quota_bytes)

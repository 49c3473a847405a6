"""The WSGI application of the panel: which view answers, who may see it, and what a form has to prove."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from admin_ui import answers
from admin_ui.answers import Answer
from admin_ui.failures import failure_page, wrong_method
from admin_ui.forms import ForeignForm, read_form
from admin_ui.rendering import Templates
from admin_ui.request import FORM_PURPOSE, Request, Services, local_path
from admin_ui.static_files import PREFIX as STATIC_PREFIX
from admin_ui.static_files import StaticFiles
from admin_ui.tokens import is_form_token
from admin_ui.views import account, activity, api_tokens, files, server, signin, storage, users
from appliance.accounts import sessions
from appliance.errors import Denied, HoldfastError, NotFound, Unauthenticated
from appliance.principal import Principal

FACES = ("account", "admin", STATIC_PREFIX.strip("/"))
"""First names of the paths that the panel answers for."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
View = Callable[..., Answer]


@dataclass(frozen=True, slots=True)
class _Route:
    """``groups`` of the pattern are given to the views. ``access``: "anybody", "user" or "admin"."""

    pattern: re.Pattern[str]
    access: str
    views: dict[str, View]


def _route(path: str, access: str, *, get: View | None = None, post: View | None = None) -> _Route:
    views = {method: view for method, view in (("GET", get), ("HEAD", get), ("POST", post)) if view is not None}
    return _Route(re.compile(path), access, views)


_NAME = r"(?P<name>[a-z0-9][a-z0-9._@-]{0,63})"
_JOB = r"(?P<name>[a-z-]{1,40})"
_ID = r"(?P<id>[0-9]{1,18})"

_ROUTES = (
    _route(r"/account/sign-in", "anybody", get=signin.show, post=signin.sign_in),
    _route(r"/account/sign-out", "user", post=signin.sign_out),
    _route(r"/account/", "user", get=account.show),
    _route(r"/account/connect", "user", get=account.connect),
    _route(r"/account/password", "user", get=account.show_password, post=account.set_password),
    _route(r"/account/app-passwords", "user", post=account.add_app_password),
    _route(rf"/account/app-passwords/{_ID}/revoke", "user", post=account.revoke_app_password),
    _route(r"/account/tokens", "user", get=api_tokens.show, post=api_tokens.add),
    _route(rf"/account/tokens/{_ID}/revoke", "user", post=api_tokens.revoke),
    _route(r"/account/sessions/end", "user", post=account.end_other_sessions),
    _route(r"/account/activity", "user", get=activity.show_own),
    _route(r"/account/files", "user", get=files.show_folder),
    _route(r"/account/versions", "user", get=files.show_versions, post=files.restore_version),
    _route(r"/account/trash", "user", get=files.show_trash),
    _route(rf"/account/trash/{_ID}/restore", "user", post=files.restore_removed),
    _route(r"/admin/", "admin", get=storage.show),
    _route(r"/admin/activity", "admin", get=activity.show_all),
    _route(r"/admin/users/", "admin", get=users.show_all),
    _route(r"/admin/new-user", "admin", get=users.show_new, post=users.add),
    _route(rf"/admin/users/{_NAME}", "admin", get=users.show),
    _route(rf"/admin/users/{_NAME}/quota", "admin", post=users.set_quota),
    _route(rf"/admin/users/{_NAME}/password", "admin", post=users.set_password),
    _route(rf"/admin/users/{_NAME}/role", "admin", post=users.set_role),
    _route(rf"/admin/users/{_NAME}/state", "admin", post=users.set_state),
    _route(r"/admin/server", "admin", get=server.show),
    _route(rf"/admin/jobs/{_JOB}/run", "admin", post=server.run_job),
    _route(rf"/admin/jobs/{_JOB}/pause", "admin", post=server.pause_job),
    _route(rf"/admin/jobs/{_JOB}/resume", "admin", post=server.resume_job),
)


class Panel:
    """``/account/`` and ``/admin/``, and the files that their pages need. One object for all threads."""

    def __init__(
        self,
        services: Services,
        *,
        version: str,
        principal_key: str,
        admit: Callable[[Environ, Principal], None] | None = None,
    ) -> None:
        """Who is signed in is left in the environment under ``principal_key``, for the access log. ``admit`` raises
        ``RateLimited`` if they may not have this request now.
        """
        self._services = services
        self._principal_key = principal_key
        self._admit = admit
        self._static = StaticFiles()
        self._templates = Templates(version, self._static)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(self._services, self._templates, environ)
        answer = self._answer(request)
        start_response(answer.status_line, answer.headers)
        return [] if request.method == "HEAD" else [answer.body]

    def _answer(self, request: Request) -> Answer:
        try:
            if request.path.startswith(STATIC_PREFIX):
                return self._static_file(request)
            return self._page(request)
        except HoldfastError as error:
            return failure_page(request, error)

    def _static_file(self, request: Request) -> Answer:
        found = self._static.find(request.path)
        if found is None:
            raise NotFound(what="this file")
        return found if request.method in ("GET", "HEAD") else wrong_method(request, ["GET", "HEAD"])

    def _page(self, request: Request) -> Answer:
        self._recognize(request)
        if request.path in ("/account", "/admin") and request.method in ("GET", "HEAD"):
            return answers.redirect(f"{request.path}/")
        for route in _ROUTES:
            match = route.pattern.fullmatch(request.path)
            if match is not None:
                return self._serve(request, route, match.groupdict())
        if request.session is None and request.method in ("GET", "HEAD"):
            return _sign_in_first(request)
        raise NotFound(what="this page")

    def _recognize(self, request: Request) -> None:
        """Find out who is signed in, if anybody is."""
        if request.token is None:
            return
        services = self._services
        request.session = sessions.find(services.database, request.token, services.lives, address=request.address)
        if request.session is not None:
            request.environ[self._principal_key] = request.session.principal
            if self._admit is not None:
                self._admit(request.environ, request.session.principal)

    def _serve(self, request: Request, route: _Route, groups: dict[str, str]) -> Answer:
        view = route.views.get(request.method)
        if view is None:
            return wrong_method(request, list(route.views))
        if route.access != "anybody":
            if request.session is None:
                if request.method == "POST":
                    raise Unauthenticated
                return _sign_in_first(request)
            if route.access == "admin" and request.principal.role != "admin":
                raise Denied(action="managing this server", reason="only administrators may")
        if request.method == "POST":
            self._take_form(request)
        return view(request, **groups)

    def _take_form(self, request: Request) -> None:
        request.form = read_form(request.environ)
        given = request.form.pop("csrf", "")
        if request.path == signin.PATH:
            # Nobody may sign a stranger's browser in: what is then done there would be done in another account.
            proven = request.visit is not None and is_form_token(given, request.visit, signin.PURPOSE)
        else:
            proven = request.token is not None and is_form_token(given, request.token, FORM_PURPOSE)
        if not proven:
            raise ForeignForm


def _sign_in_first(request: Request) -> Answer:
    there = local_path(request.path)
    return answers.redirect(signin.PATH + (f"?next={quote(there)}" if there else ""))

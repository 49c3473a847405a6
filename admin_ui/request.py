"""A request to the panel, and what views need besides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from admin_ui import answers
from admin_ui.answers import Answer
from admin_ui.rendering import Templates
from admin_ui.tokens import SESSION, VISIT, form_token
from appliance.accounts import users
from appliance.accounts.sessions import Found, Lives
from appliance.accounts.signin import SignIn
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.files.context import Files
from appliance.principal import Principal
from appliance.roster import Process

_LOCAL = re.compile(r"/(?:account|admin)/[A-Za-z0-9._@/-]*")
_QUERY_MOST = 2000
FORM_PURPOSE = "form"


@dataclass(frozen=True, slots=True)
class Services:
    """What the views call. Any thread."""

    database: Database
    sign_in: SignIn
    lives: Lives
    default_quota: int
    public_urls: tuple[str, ...]
    # Room for new content; None where nobody can tell.
    free_bytes: Callable[[], int | None]
    files: Files
    trash_days: int
    # None where the application runs without a server around it.
    processes: Callable[[], list[Process]] | None


class Request:
    """What was asked, and by whom. ``form`` is empty until a view that takes one is called."""

    def __init__(self, services: Services, templates: Templates, environ: dict[str, Any]) -> None:
        self.services = services
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ["holdfast.target"]
        query = str(environ.get("QUERY_STRING", ""))[:_QUERY_MOST]
        self.query = dict(parse_qsl(query, max_num_fields=None))
        self.address: str = environ.get("REMOTE_ADDR", "")
        self.token = SESSION.sent(environ)
        self.visit = VISIT.sent(environ)
        self.session: Found | None = None
        self.form: dict[str, str] = {}
        self._templates = templates

    @property
    def database(self) -> Database:
        return self.services.database

    @property
    def principal(self) -> Principal:
        """Who is signed in; only where that is required."""
        assert self.session is not None
        return self.session.principal

    def me(self) -> User:
        """The signed-in user's row."""
        return users.get(self.database, self.principal.name)

    def page(self, template: str, status: int = 200, **values: Any) -> Answer:
        """A rendered page, with who is signed in and the token for its forms."""
        csrf = form_token(self.token, FORM_PURPOSE) if self.session is not None and self.token else ""
        principal = None if self.session is None else self.session.principal
        html = self._templates.render(template, principal=principal, csrf=csrf, path=self.path, **values)
        return answers.page(html, status)

    @property
    def base_url(self) -> str:
        """Scheme, host and port under which people reach the server."""
        if self.services.public_urls:
            return self.services.public_urls[0]
        return f"{self.environ['wsgi.url_scheme']}://{self.environ.get('HTTP_HOST', '')}"


def local_path(text: str | None) -> str | None:
    """A page of the panel that may be gone to afterwards; None for everything else."""
    return text if text is not None and _LOCAL.fullmatch(text) else None

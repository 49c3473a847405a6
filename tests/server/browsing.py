"""A browser without a screen: cookies, forms and redirects as the standards say, and nothing that a server cannot see.

Forms are sent as they stand in the page, with the fields that a person would fill in.
"""

from __future__ import annotations

import http.client
from collections import deque
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from lxml import html

from tests.server.running import ADMIN, PASSWORD, PATIENCE_S, Server

FORM = "application/x-www-form-urlencoded"


class Page(NamedTuple):
    """An answer. ``headers`` have their names in lower case; of several with one name all are kept."""

    path: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for each, value in self.headers if each == name]

    def header(self, name: str) -> str:
        """The only value of a header."""
        (value,) = self.all(name)
        return value

    @property
    def tree(self) -> Any:
        return html.fromstring(self.body.decode("utf-8"))

    @property
    def text(self) -> str:
        """What a person reads, with single blanks."""
        return " ".join(self.tree.text_content().split())

    def form(self, action: str) -> Any:
        """The form that is sent there."""
        (found,) = [form for form in self.tree.forms if form.action == action]
        return found

    def fields(self, action: str) -> dict[str, str]:
        """What is in a form before somebody fills it in."""
        return {name: value for name, value in self.form(action).form_values() if name is not None}

    @property
    def csrf(self) -> str:
        """The token of the page's forms."""
        return str(self.tree.xpath("//input[@name='csrf']/@value")[0])


class Browser:
    """One person at one server. ``connection`` is the one that was used last."""

    def __init__(self, server: Server, *, source: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        bound = None if source is None else (source, 0)
        self._turns = deque(
            http.client.HTTPConnection("127.0.0.1", node.port, timeout=PATIENCE_S, source_address=bound)
            if node.trust is None
            else http.client.HTTPSConnection("127.0.0.1", node.port, timeout=PATIENCE_S, context=node.trust)
            for node in server.turns()
        )
        self.connection = self._turns[0]
        self.cookies: dict[str, str] = {}
        self.headers = dict(headers or {})

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The next request opens a new connection."""
        for each in self._turns:
            each.close()

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Page:
        """A request and its answer, with the cookies that this browser has."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**self.headers, **({"Cookie": cookies} if cookies else {}), **(headers or {})}
        self.connection = self._turns[0]
        self._turns.rotate()
        self.connection.request(method, path, body, sent)
        response = self.connection.getresponse()
        page = Page(path, response.status, [(k.lower(), v) for k, v in response.getheaders()], response.read())
        self._keep(page)
        return page

    def _keep(self, page: Page) -> None:
        for line in page.all("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value

    def get(self, path: str) -> Page:
        """A page, after all redirects."""
        return self._follow(self.ask("GET", path))

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Page:
        """The answer to a form, before any redirect."""
        return self.ask("POST", path, urlencode(fields).encode(), {"Content-Type": FORM, **(headers or {})})

    def submit(self, page: Page, action: str, **fields: str) -> Page:
        """Fill in the form of a page that is sent to ``action``, send it, and follow the redirects."""
        return self._follow(self.post(action, {**page.fields(action), **fields}))

    def _follow(self, page: Page) -> Page:
        while page.status == 303:
            parts = urlsplit(page.header("location"))
            assert not parts.netloc
            page = self.ask("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        return page

    def sign_in(self, name: str = ADMIN, password: str = PASSWORD) -> Page:
        """What is shown then: the account, or the form again."""
        return self.submit(self.get("/account/sign-in"), "/account/sign-in", name=name, password=password)

    @property
    def session(self) -> str:
        """The cookie that says who is signed in; fails if there is none."""
        (value,) = [value for name, value in self.cookies.items() if name.endswith("holdfast-session")]
        return value

    @property
    def is_signed_in(self) -> bool:
        """Whether the server takes the cookie for somebody's."""
        return self.ask("GET", "/account/").status == 200


def signed_in(server: Server, name: str = ADMIN, password: str = PASSWORD, *, source: str | None = None) -> Browser:
    """A browser in which somebody is signed in."""
    browser = Browser(server, source=source)
    assert browser.sign_in(name, password).path == "/account/"
    return browser

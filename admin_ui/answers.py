"""What a view answers, with the headers that every answer of the panel carries."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from appliance.errors import HoldfastError

Headers = list[tuple[str, str]]

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""No script at all, and nothing from elsewhere."""

# Referrer-Policy: with no-referrer browsers would send "Origin: null" with a form, which cannot be told from a
# stranger's.
_SAFETY: Headers = [
    ("Content-Security-Policy", CSP),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]


class Answer(NamedTuple):
    """Status, headers and body."""

    status: int
    headers: Headers
    body: bytes

    @property
    def status_line(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def plus(self, *headers: tuple[str, str]) -> Answer:
        """The same with more headers."""
        return self._replace(headers=[*self.headers, *headers])


def page(html: str, status: int = 200) -> Answer:
    """A page. Nobody keeps a copy: it may show what is shown once, and who is signed in changes."""
    body = html.encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    return Answer(status, [*headers, *_SAFETY], body)


def sentence(error: HoldfastError) -> str:
    """What is wrong, as it stands beside a field."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def redirect(location: str) -> Answer:
    """Go there by GET. ``location`` is a path of this server."""
    headers = [("Location", location), ("Content-Length", "0"), ("Cache-Control", "no-store")]
    return Answer(HTTPStatus.SEE_OTHER, [*headers, *_SAFETY], b"")


def static(body: bytes, content_type: str) -> Answer:
    """A file whose name changes with its content."""
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "max-age=31536000, immutable"),
    ]
    return Answer(200, [*headers, *_SAFETY], body)

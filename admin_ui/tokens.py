"""Cookies, and the tokens that forms carry (against cross-site request forgery).

Over https a cookie's name begins with ``__Host-``: neither a page over http nor one of another subdomain can set it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Cookie(NamedTuple):
    """One of ours, by its bare name."""

    name: str

    def sent(self, environ: Mapping[str, Any]) -> str | None:
        """Its value in a request, if it looks like a token of ours."""
        wanted = self._full(is_secure(environ))
        for pair in str(environ.get("HTTP_COOKIE", "")).split(";"):
            name, _, value = pair.strip().partition("=")
            if name == wanted:
                return value if _TOKEN.fullmatch(value) else None
        return None

    def set(self, environ: Mapping[str, Any], value: str) -> tuple[str, str]:
        """The header that lets the browser keep it until it is closed."""
        return "Set-Cookie", self._line(environ, value)

    def clear(self, environ: Mapping[str, Any]) -> tuple[str, str]:
        """The header that lets the browser forget it."""
        return "Set-Cookie", f"{self._line(environ, '')}; Max-Age=0"

    def _line(self, environ: Mapping[str, Any], value: str) -> str:
        # Lax: who comes by a link is signed in. Forms of others are refused by their token.
        secure = is_secure(environ)
        return f"{self._full(secure)}={value}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"

    def _full(self, secure: bool) -> str:
        return f"__Host-{self.name}" if secure else self.name


SESSION = Cookie("holdfast-session")
"""Who is signed in."""
VISIT = Cookie("holdfast-visit")
"""What the sign-in form is bound to; it says nothing of anybody."""


def is_secure(environ: Mapping[str, Any]) -> bool:
    """Whether the browser speaks https, as far as a trusted proxy or the connection tells."""
    return bool(environ["wsgi.url_scheme"] == "https")


def new_token() -> str:
    """In the form of the cookies' values."""
    return secrets.token_urlsafe(32)


def form_token(cookie: str, purpose: str) -> str:
    """What a form has to carry that was made for the browser with this cookie. It does not tell the cookie."""
    digest = hashlib.blake2b(purpose.encode(), key=hashlib.sha256(cookie.encode()).digest(), digest_size=24)
    return digest.hexdigest()


def is_form_token(given: str, cookie: str, purpose: str) -> bool:
    """Whether the form was made for this browser."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), form_token(cookie, purpose).encode())

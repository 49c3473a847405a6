"""Errors as pages: the one place of the panel where they become status codes."""

from __future__ import annotations

import logging
from typing import NamedTuple

from admin_ui.answers import Answer
from admin_ui.forms import ForeignForm, NotAForm
from admin_ui.request import Request
from appliance import errors
from appliance.errors import HoldfastError

_log = logging.getLogger(__name__)


class _Mapped(NamedTuple):
    status: int
    title: str


# A class that is not listed is answered like its nearest listed base.
_STATUS: dict[type[HoldfastError], _Mapped] = {
    HoldfastError: _Mapped(500, "Something went wrong"),
    errors.Invalid: _Mapped(400, "This cannot be done"),
    NotAForm: _Mapped(415, "Not a form"),
    ForeignForm: _Mapped(403, "Please try again"),
    errors.BodyStalled: _Mapped(408, "Too slow"),
    errors.Unauthenticated: _Mapped(403, "Sign in first"),
    errors.SignInBlocked: _Mapped(429, "Too many attempts"),
    errors.Denied: _Mapped(403, "Not allowed"),
    errors.NotFound: _Mapped(404, "Not found"),
    errors.Conflict: _Mapped(409, "This cannot be done now"),
    errors.TooLarge: _Mapped(413, "Too large"),
    errors.RateLimited: _Mapped(429, "Too many requests"),
    errors.StorageFull: _Mapped(507, "The server is full"),
    errors.Unavailable: _Mapped(503, "Not available now"),
    errors.BackendError: _Mapped(503, "Not available now"),
}


def status_of(error: HoldfastError) -> int:
    """What it is answered with."""
    return _mapped(error).status


def failure_page(request: Request, error: HoldfastError) -> Answer:
    """A page that says what went wrong. What is the server's fault goes to the log, under the id that it shows."""
    mapped = _mapped(error)
    request_id = ""
    if mapped.status >= 500:
        request_id = str(request.environ.get("holdfast.request_id", ""))
        cause = f" < {type(error.__cause__).__name__}" if error.__cause__ else ""
        _log.warning("request %s: %s: %d, %s%s", request_id, request.method, mapped.status, error, cause)
    said = str(error)
    answer = request.page(
        "failure.html", mapped.status, title=mapped.title, said=said[:1].upper() + said[1:], request_id=request_id
    )
    if isinstance(error, (errors.Unavailable, errors.BackendError, errors.SignInBlocked, errors.RateLimited)):
        answer = answer.plus(("Retry-After", str(getattr(error, "retry_after_s", 5))))
    return answer


def wrong_method(request: Request, allowed: list[str]) -> Answer:
    """405, with what is possible there."""
    answer = request.page("failure.html", 405, title="Not possible here", said="This page does not do that.",
                          request_id="")  # fmt: skip
    return answer.plus(("Allow", ", ".join(allowed)))


def _mapped(error: HoldfastError) -> _Mapped:
    return next(_STATUS[base] for base in type(error).__mro__ if base in _STATUS)

"""Domain errors as problem details (RFC 9457): the one place where the API gives them a status and a type."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from appliance import errors
from appliance.errors import HoldfastError
from providers.api import answers
from providers.front.credentials import challenges
from providers.front.messages import Answer, Headers
from providers.tus import protocol as tus

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:holdfast:problem:"


class WrongMethod(errors.BadRequest):
    """The path is known, the method is not possible there."""

    def __init__(self, *, method: str, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        super().__init__(reason=f"{method} is not possible here")


class UnsatisfiableRange(errors.BadRequest):
    """No byte that is asked for is there."""

    def __init__(self, *, size: int) -> None:
        self.size = size
        super().__init__(reason=f"the range begins after the end; there are {size} bytes")


class UnknownMediaType(errors.BadRequest):
    """The body is of a kind that is not read here."""


class _Mapped(NamedTuple):
    """``members`` are fields of the error that clients may act on."""

    status: int
    members: tuple[str, ...] = ()


# A class that is not listed is answered like its nearest listed base, under its own type.
_STATUS: dict[type[HoldfastError], _Mapped] = {
    HoldfastError: _Mapped(500),
    errors.Invalid: _Mapped(400),
    WrongMethod: _Mapped(405),
    UnknownMediaType: _Mapped(415),
    UnsatisfiableRange: _Mapped(416, ("size",)),
    tus.WrongVersion: _Mapped(412),
    tus.WrongBodyType: _Mapped(415),
    errors.BodyStalled: _Mapped(408),
    errors.CursorRefused: _Mapped(410),
    errors.ChecksumMismatch: _Mapped(400, ("algorithm", "announced", "computed")),
    tus.BytesMismatch: _Mapped(tus.MISMATCH_STATUS, ("algorithm", "announced", "computed")),
    errors.Unauthenticated: _Mapped(401),
    errors.SignInBlocked: _Mapped(429),
    errors.Denied: _Mapped(403),
    errors.ScopeMissing: _Mapped(403, ("scope",)),
    errors.NotFound: _Mapped(404),
    errors.MomentGone: _Mapped(410, ("nearest",)),
    errors.Conflict: _Mapped(409),
    errors.PreconditionFailed: _Mapped(412),
    errors.TargetTaken: _Mapped(409),
    errors.Locked: _Mapped(423),
    errors.PartsMissing: _Mapped(409, ("numbers", "count")),
    errors.PartsDiffer: _Mapped(409, ("number",)),
    errors.OffsetMismatch: _Mapped(409, ("offset",)),
    errors.TooLarge: _Mapped(413, ("limit_bytes",)),
    errors.TooManyUploads: _Mapped(507, ("limit",)),
    errors.RateLimited: _Mapped(429, ("limit",)),
    errors.TooManyTokens: _Mapped(409, ("limit",)),
    errors.QuotaExceeded: _Mapped(507, ("quota_bytes", "used_bytes")),
    errors.StorageFull: _Mapped(507),
    errors.Unavailable: _Mapped(503),
    errors.BackendError: _Mapped(503),
    errors.Damaged: _Mapped(500),
}
# What the client hears of these is not what went wrong inside.
_HIDDEN = (errors.BackendError,)


def problem(error: HoldfastError, *, request_id: str = "") -> Answer:
    """The answer to a request that raised ``error``."""
    mapped = next(_STATUS[each] for each in type(error).__mro__ if each in _STATUS)
    name = _dashed(type(error).__name__)
    detail = "the stored bytes cannot be reached; try again" if isinstance(error, _HIDDEN) else str(error)
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + name,
        "title": name.replace("-", " ").capitalize(),
        "status": mapped.status,
        "detail": detail,
    }
    body |= {_camel(member): getattr(error, member) for member in mapped.members}
    if mapped.status >= 500 and request_id:
        body["instance"] = f"urn:holdfast:request:{request_id}"
    return answers.document(mapped.status, body, _headers(error), media_type=MEDIA_TYPE)


def _headers(error: HoldfastError) -> Headers:
    if isinstance(error, (errors.Unavailable, errors.BackendError, errors.SignInBlocked, errors.RateLimited)):
        return [("Retry-After", str(getattr(error, "retry_after_s", 5)))]
    if isinstance(error, WrongMethod):
        return [("Allow", ", ".join(error.allowed))]
    if isinstance(error, UnsatisfiableRange):
        return [("Content-Range", f"bytes */{error.size}")]
    return challenges(error, offers_bearer=True)


def _dashed(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))

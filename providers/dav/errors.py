"""Domain errors as WebDAV answers: the one place where they become status codes and preconditions (RFC 4918 §16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from appliance import errors
from appliance.errors import HoldfastError
from appliance.tree.paths import Path
from providers.dav import answer, xml_out
from providers.dav.destination import ForeignDestination
from providers.dav.methods.options import ALLOW
from providers.dav.paths import encode_path
from providers.dav.request import UnwantedBody
from providers.dav.xml_in import UnknownMkcol, UnsupportedReport
from providers.front.credentials import challenges
from providers.front.messages import Answer, Headers
from providers.tus import protocol as tus


class _Mapped(NamedTuple):
    """``condition`` is the name of a precondition element of the DAV namespace."""

    status: int
    condition: str | None = None


# A class that is not listed is answered like its nearest listed base.
_STATUS: dict[type[HoldfastError], _Mapped] = {
    HoldfastError: _Mapped(500),
    errors.Invalid: _Mapped(400),
    errors.BodyStalled: _Mapped(408),
    errors.CursorRefused: _Mapped(403, "valid-sync-token"),
    UnsupportedReport: _Mapped(403, "supported-report"),
    tus.WrongVersion: _Mapped(412),
    tus.BytesMismatch: _Mapped(tus.MISMATCH_STATUS),
    UnwantedBody: _Mapped(415),
    UnknownMkcol: _Mapped(415),
    ForeignDestination: _Mapped(502),
    errors.Unauthenticated: _Mapped(401),
    errors.SignInBlocked: _Mapped(429),
    errors.Denied: _Mapped(403),
    errors.NotFound: _Mapped(404),
    errors.MomentGone: _Mapped(410),
    errors.Conflict: _Mapped(409),
    errors.NameTaken: _Mapped(405),
    errors.IsAFolder: _Mapped(405),
    errors.PreconditionFailed: _Mapped(412),
    errors.Locked: _Mapped(423, "lock-token-submitted"),
    errors.LockConflict: _Mapped(423, "no-conflicting-lock"),
    errors.LockTokenMismatch: _Mapped(409, "lock-token-matches-request-uri"),
    errors.TooLarge: _Mapped(413),
    errors.RateLimited: _Mapped(429),
    errors.QuotaExceeded: _Mapped(507, "quota-not-exceeded"),
    errors.StorageFull: _Mapped(507, "sufficient-disk-space"),
    errors.Unavailable: _Mapped(503),
    errors.BackendError: _Mapped(503),
    errors.Damaged: _Mapped(500),
}


def answer_error(error: HoldfastError, *, prefix: str, is_folder: Callable[[Path], bool]) -> Answer:
    """The answer to a request that raised ``error``; ``prefix`` is what the face's URLs begin with.

    ``is_folder`` is asked about the root of a lock, whose URL then ends in a slash (RFC 4918 §5.2).
    """
    mapped = _mapped(error)
    headers: Headers = []
    if isinstance(error, (errors.Unavailable, errors.BackendError, errors.SignInBlocked, errors.RateLimited)):
        headers.append(("Retry-After", str(getattr(error, "retry_after_s", 5))))
    headers += challenges(error, offers_bearer=False)
    if mapped.status == 405:
        headers.append(("Allow", ALLOW))
    if mapped.condition is None:
        return answer.text(mapped.status, str(error), headers)
    hrefs = []
    if isinstance(error, (errors.Locked, errors.LockConflict)):
        root = tuple(name for name in error.lock_root.split("/") if name)
        hrefs = [encode_path(root, is_folder(root), prefix)]
    return answer.xml(mapped.status, xml_out.error_body(mapped.condition, hrefs, str(error)), headers)


def _mapped(error: HoldfastError) -> _Mapped:
    return next(_STATUS[base] for base in type(error).__mro__ if base in _STATUS)

"""Forms as browsers send them: small, of one content type, and made for the browser that sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from appliance.errors import BadRequest, HoldfastError, TooLarge

BODY_MOST = 64 * 1024
"""The largest form, in bytes."""
_FIELDS_MOST = 50


class NotAForm(HoldfastError):
    """A body that is no form."""

    def __init__(self) -> None:
        super().__init__("only a form can be sent here (application/x-www-form-urlencoded)")


class ForeignForm(HoldfastError):
    """A form that this server did not make for this browser, or that has lain open for too long."""

    def __init__(self) -> None:
        super().__init__("the form was made for another session; nothing was changed; open the page anew and try again")


class Readable(Protocol):
    """A request's body."""

    def read(self, n: int, /) -> bytes: ...


def read_form(environ: Mapping[str, Any]) -> dict[str, str]:
    """The fields; of several with one name the last.

    Raises:
        NotAForm: another content type.
        TooLarge: before it is read, if its length is told.
        BadRequest: no UTF-8, or too many fields.
    """
    kind = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise NotAForm
    length = str(environ.get("CONTENT_LENGTH") or "")
    if length.isdecimal() and int(length) > BODY_MOST:
        raise TooLarge(what="the form", limit_bytes=BODY_MOST)
    stream: Readable = environ["wsgi.input"]
    body = stream.read(BODY_MOST + 1)
    if len(body) > BODY_MOST:
        raise TooLarge(what="the form", limit_bytes=BODY_MOST)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MOST)
    except ValueError as error:
        raise BadRequest(reason="the form cannot be read") from error
    return dict(pairs)

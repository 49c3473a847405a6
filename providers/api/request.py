"""One request to the API, and the fields of its document."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from appliance.errors import BadRequest, NotFound, TooLarge
from appliance.files.watch import Watch
from appliance.principal import Principal
from appliance.uploads.service import Uploads
from providers.api.problems import UnknownMediaType
from providers.front.dates import parse_iso_date
from providers.front.messages import Body
from providers.http.later import RESUMED

T = TypeVar("T")

_ID_DIGITS = 18

DOCUMENT_BYTES = 2 * 1_048_576
"""A list of 10,000 parts fits."""


@dataclass(frozen=True, slots=True)
class Api:
    """What is the same for all requests. ``base``: what the face's URLs begin with, as clients see it, which ends in
    ``prefix``. ``cdn_base_url``: where a cache publishes this server; what signed URLs answer is kept there for
    ``revocation_s`` at most.
    """

    uploads: Uploads
    watch: Watch
    base: Callable[[dict[str, Any]], str]
    prefix: str
    cdn_base_url: str | None
    revocation_s: int


@dataclass(slots=True)
class Request:
    """Authenticated; ``values`` are the parts of the path that the route leaves open."""

    api: Api
    environ: dict[str, Any]
    principal: Principal
    values: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> Body:
        body: Body = self.environ["wsgi.input"]
        return body

    def header(self, name: str) -> str | None:
        """A header's value; ``name`` in the form ``HTTP_IF_MATCH``."""
        value: str | None = self.environ.get(name)
        return value

    def url(self, path: str) -> str:
        """Of something of the API, as the client can ask for it."""
        return self.api.base(self.environ) + path

    @property
    def has_waited(self) -> bool:
        """Whether it is asked for the second time, behind an answer that was to come later."""
        return RESUMED in self.environ

    @property
    def node_id(self) -> int:
        """The ``fileId`` of the path.

        Raises:
            NotFound: no file has such an id.
        """
        text = self.values["fileId"]
        return row_id(text, what=f"the file or folder {text}")

    def query(self, *names: str) -> Query:
        """What stands behind the question mark; only these may, each once.

        Raises:
            BadRequest
        """
        try:
            found = parse_qsl(self.environ["QUERY_STRING"], keep_blank_values=True, errors="strict")
        except ValueError as error:
            raise BadRequest(reason=f"the query cannot be read: {error}"[:200]) from error
        values = dict(found)
        unknown = sorted(values.keys() - set(names))
        if unknown or len(values) < len(found):
            what = f"{unknown[0][:40]!r} is not known here" if unknown else "a parameter stands there twice"
            raise BadRequest(reason=f"{what}; the parameters are: {', '.join(names) or 'none'}")
        return Query(values)

    def document(self, *, optional: bool = False) -> Fields:
        """The fields of the JSON object that is the body; of none, if it is ``optional`` and there is no body.

        Raises:
            UnknownMediaType, TooLarge
            BadRequest: it is no JSON object.
        """
        length = self.body.length
        if length is not None and length > DOCUMENT_BYTES:
            raise TooLarge(what="the JSON document", limit_bytes=DOCUMENT_BYTES)
        data = self.body.read(DOCUMENT_BYTES + 1)
        if len(data) > DOCUMENT_BYTES:
            raise TooLarge(what="the JSON document", limit_bytes=DOCUMENT_BYTES)
        if not data and optional:
            return Fields({})
        media_type = self.environ.get("CONTENT_TYPE", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise UnknownMediaType(reason="the body has to be application/json")
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadRequest(reason=f"the body is no JSON: {error}"[:200]) from error
        if not isinstance(found, dict):
            raise BadRequest(reason="the body has to be a JSON object")
        return Fields(found)


def is_id(text: str) -> bool:
    """Whether a file or folder can have it."""
    return text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS


def row_id(text: str, *, what: str) -> int:
    """An id from a path.

    Raises:
        NotFound: nothing can have it; of ``what``.
    """
    if not is_id(text):
        raise NotFound(what=what)
    return int(text)


class Query:
    """The parameters of a URL."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """None if it is not there."""
        return self._values.get(name)

    def integer(self, name: str, *, least: int, most: int, default: int) -> int:
        """Raises: BadRequest."""
        text = self._values.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS and least <= int(text) <= most):
            raise BadRequest(reason=f"{name} has to be a whole number from {least} to {most}")
        return int(text)

    def moment(self, name: str) -> int | None:
        """Microseconds; None if it is not there.

        Raises:
            BadRequest
        """
        text = self._values.get(name)
        return None if text is None else read_moment(name, text)


def read_moment(name: str, text: str) -> int:
    """Microseconds of what a field or parameter says.

    Raises:
        BadRequest
    """
    found = parse_iso_date(text)
    if found is None:
        raise BadRequest(reason=f"{name} reads as 2026-11-20T09:00:00Z (RFC 3339)")
    return found


class Fields:
    """The fields of an object, each checked when it is asked for. Others are passed over."""

    def __init__(self, values: dict[str, Any], where: str = "") -> None:
        self._values = values
        self._where = where

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str, *, most: int, default: str | None = None) -> str:
        """A text of at most so many characters; ``default`` None: it has to be there."""
        found = self._take(name, str, "a text", default)
        if len(found) > most:
            raise self._wrong(name, f"may have at most {most} characters")
        if not found.isprintable() and any(ord(each) < 32 or ord(each) == 127 for each in found):
            raise self._wrong(name, "contains a control character")
        try:
            found.encode()
        except UnicodeEncodeError:
            raise self._wrong(name, "holds half of a character (a lone surrogate)") from None
        return found

    def integer(self, name: str, *, least: int, most: int, default: int | None = None) -> int:
        """A whole number within bounds, which are included."""
        found = self._take(name, int, "a whole number", default)
        if isinstance(found, bool) or not least <= found <= most:
            raise self._wrong(name, f"has to be a whole number from {least} to {most}")
        return found

    def switch(self, name: str) -> bool:
        """True or false; false if it is not there."""
        return self._take(name, bool, "true or false", False)

    def texts(self, name: str, *, most: int, longest: int) -> list[str]:
        """A list of texts, which has to be there, of at most ``longest`` characters each."""
        found = self._take(name, list, "a list", None)
        if len(found) > most:
            raise self._wrong(name, f"may have at most {most} elements")
        if not all(isinstance(each, str) and len(each) <= longest for each in found):
            raise self._wrong(name, f"has to be a list of texts of at most {longest} characters")
        return found

    def objects(self, name: str, *, most: int) -> list[Fields]:
        """A list of objects."""
        found = self._take(name, list, "a list", [])
        if len(found) > most:
            raise self._wrong(name, f"may have at most {most} elements")
        if not all(isinstance(each, dict) for each in found):
            raise self._wrong(name, "has to be a list of objects")
        return [Fields(each, f"{self._where}{name}[{index}].") for index, each in enumerate(found)]

    def _take(self, name: str, kind: type[T], called: str, default: T | None) -> T:
        found = self._values.get(name)
        if found is None:
            if default is None:
                raise self._wrong(name, "is missing")
            return default
        if not isinstance(found, kind):
            raise self._wrong(name, f"has to be {called}")
        return found

    def _wrong(self, name: str, problem: str) -> BadRequest:
        return BadRequest(reason=f"{self._where}{name} {problem}")

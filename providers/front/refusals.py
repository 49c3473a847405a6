"""What is answered in place of a face that is not asked, in the face's own form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from appliance.backends.base import Buffer
from appliance.errors import HoldfastError
from providers.front.messages import Answer, text

Environ = dict[str, Any]
Refusal = Callable[[Environ, HoldfastError], Answer]


class Refusals:
    """By the first name of the path; a face that is not among them is spoken for by a line of text."""

    def __init__(self) -> None:
        self._by_face: dict[str, Refusal] = {}

    def add(self, face: str, refusal: Refusal) -> None:
        """Before the first request comes."""
        self._by_face[face] = refusal

    def answer(
        self, environ: Environ, error: HoldfastError, start: Callable[..., Any], status: int, *headers: tuple[str, str]
    ) -> Iterable[Buffer]:
        """``status`` and ``headers`` are those of the line of text; a face knows its own."""
        # RFC 3986 §6.2.2.2: an encoded letter is that letter.
        face = unquote(environ["holdfast.target"].removeprefix("/").partition("/")[0])
        refusal = self._by_face.get(face)
        found = text(status, str(error), list(headers)) if refusal is None else refusal(environ, error)
        start(found.status_line, found.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else found.blocks

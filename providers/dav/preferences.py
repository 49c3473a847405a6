"""What a client prefers of an answer (RFC 7240, RFC 8144)."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from providers.dav.headers import parse_prefer
from providers.dav.request import DavRequest
from providers.dav.xml_in import PropfindRequest
from providers.front.messages import Headers


class Preferences(NamedTuple):
    """``minimal``: nothing about what is not there or went as wished. ``noroot``: only what is below the URL."""

    minimal: bool
    noroot: bool

    def of(self, wanted: PropfindRequest) -> PropfindRequest:
        """``wanted``, told as the client prefers it."""
        return replace(wanted, minimal=True) if self.minimal else wanted

    def headers(self) -> Headers:
        """What was followed; and that another client may get another answer."""
        applied = [
            name for name, follows in (("return=minimal", self.minimal), ("depth-noroot", self.noroot)) if follows
        ]
        return [("Vary", "Prefer"), *([("Preference-Applied", ", ".join(applied))] if applied else [])]


def preferences(request: DavRequest, *, below: bool = False) -> Preferences:
    """Those of a request; ``below``: whether it asks for more than what its URL names."""
    found = parse_prefer(request.header("HTTP_PREFER"))
    return Preferences(found.get("return") == "minimal", below and found.get("depth-noroot") == "")

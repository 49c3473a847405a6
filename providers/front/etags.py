"""Entity tags as clients list them (RFC 9110 §8.8.3): If-Match, If-None-Match. Compared as written, quotes included."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Matches at every position but the end: what is no quoted tag runs up to the next comma.
_list_element = re.compile(r'[ \t]*((?:(?:[Ww]/)?"[^"]*")(?=[ \t]*(?:,|\Z))|[^,]*)[ \t]*,?').finditer
_quoted = re.compile(r'(?:[Ww]/)?"[^"]*"', re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True)
class EtagList:
    """The value of If-Match or If-None-Match. ``any`` stands for ``*``: whatever exists."""

    any: bool
    etags: frozenset[str]

    def matches_strong(self, etag: str | None) -> bool:
        """For If-Match. None is a resource that does not exist: nothing matches it, not even ``*``."""
        if etag is None:
            return False
        return self.any or (etag in self.etags and not _is_weak(etag))

    def matches_weak(self, etag: str | None) -> bool:
        """For If-None-Match: ``W/"a"`` and ``"a"`` are the same. None as in ``matches_strong``."""
        if etag is None:
            return False
        return self.any or _opaque(etag) in {_opaque(own) for own in self.etags}


def parse_etags(value: str) -> EtagList:
    """Never refuses: a member without quotes is kept out, so that it matches nothing.

    With If-Match this fails the request, with If-None-Match it lets the request pass, as RFC 9110 §13.1 has it for a
    tag that is not current.
    """
    members = [element[1].strip(" \t") for element in _list_element(value)]
    if "*" in members and set(members) <= {"*", ""}:
        return EtagList(True, frozenset())
    return EtagList(False, frozenset(canonical(member) for member in members if _quoted(member)))


def canonical(etag: str) -> str:
    """With the W of a weak one as a capital."""
    return "W/" + etag[2:] if etag[:2] == "w/" else etag


def _is_weak(etag: str) -> bool:
    return etag.startswith("W/")


def _opaque(etag: str) -> str:
    return etag[2:] if _is_weak(etag) else etag

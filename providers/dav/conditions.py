"""What a request demands of the state it meets: If (RFC 4918 §10.4), If-Match and If-None-Match (RFC 9110 §13.1).

The dates that If-Modified-Since and If-Unmodified-Since need come from ``dates`` and are offered here too. Only syntax:
the lists are judged inside the transaction that makes the change, so they are plain values that can be carried there.
Entity tags are compared as they are written in headers, quotes included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from appliance.errors import BadRequest
from providers.front.dates import format_http_date, format_iso_date, parse_http_date
from providers.front.etags import EtagList, canonical, parse_etags

__all__ = [
    "EtagList",
    "IfCondition",
    "IfList",
    "format_http_date",
    "format_iso_date",
    "parse_etags",
    "parse_http_date",
    "parse_if",
    "submitted_tokens",
]

# RFC 4918 §10.4.8: names no lock, ever.
NO_LOCK: Final = "DAV:no-lock"

_blank = re.compile(r"[ \t]*").match
_blank_or_comma = re.compile(r"[ \t,]*").match
_coded_url = re.compile(r"<([^<>\s\x00-\x1f]+)>").match
_not = re.compile(r"[Nn][Oo][Tt](?=[ \t<\[])").match
_bracketed_etag = re.compile(r'\[[ \t]*((?:[Ww]/)?"[^"\x00-\x1f]*")[ \t]*\]').match


@dataclass(frozen=True, slots=True)
class IfCondition:
    """Exactly one of ``token`` (a state token without ``<>``) and ``etag`` (with quotes, may be weak) is set."""

    negated: bool
    token: str | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class IfList:
    """Holds if all of its conditions hold; the header holds if any of its lists does.

    ``tag`` is the URL or path the list speaks of, still encoded (``parse_destination`` reads it); None means the
    resource of the request.
    """

    tag: str | None
    conditions: tuple[IfCondition, ...]


def parse_if(value: str) -> tuple[IfList, ...]:
    """The lists of one If header, or of several that were joined with commas, in order; never empty.

    A tag covers the lists that follow it up to the next tag or comma: a comma only arises where two headers were
    joined, and the second one starts without a tag.

    Raises: BadRequest if any part does not follow the grammar; half a condition must never be judged.
    """
    lists: list[IfList] = []
    tag: str | None = None
    tag_used = True
    at = 0
    while True:
        gap = _blank_or_comma(value, at)
        at = gap.end() if gap else at
        if gap and "," in gap[0]:
            if not tag_used:
                raise _bad_if("a resource without conditions")
            tag = None
        if at == len(value):
            break
        if found := _coded_url(value, at):
            if not tag_used:
                raise _bad_if("a resource without conditions")
            tag, tag_used, at = found[1], False, found.end()
        elif value[at] == "(":
            conditions, at = _conditions(value, at + 1)
            lists.append(IfList(tag, conditions))
            tag_used = True
        else:
            raise _bad_if("something that is neither a list nor a resource")
    if not lists or not tag_used:
        raise _bad_if("no list of conditions where one must be")
    return tuple(lists)


def _conditions(value: str, at: int) -> tuple[tuple[IfCondition, ...], int]:
    """What stands between ``(`` (before ``at``) and ``)``, and the position after it."""
    conditions: list[IfCondition] = []
    while True:
        at = _skip_blank(value, at)
        if value.startswith(")", at):
            break
        negation = _not(value, at)
        if negation:
            at = _skip_blank(value, negation.end())
        if found := _coded_url(value, at):
            conditions.append(IfCondition(negation is not None, found[1], None))
        elif found := _bracketed_etag(value, at):
            conditions.append(IfCondition(negation is not None, None, canonical(found[1])))
        else:
            raise _bad_if("a condition that is neither <token> nor [etag]")
        at = found.end()
    if not conditions:
        raise _bad_if("an empty list")
    return tuple(conditions), at + 1


def _skip_blank(value: str, at: int) -> int:
    blank = _blank(value, at)
    return blank.end() if blank else at


def _bad_if(what: str) -> BadRequest:
    return BadRequest(reason=f"the If header contains {what}")


def submitted_tokens(lists: Iterable[IfList]) -> frozenset[str]:
    """Every state token that appears, negated ones too (RFC 4918 §10.4.1), except ``DAV:no-lock``."""
    tokens = {condition.token for entry in lists for condition in entry.conditions}
    return frozenset(token for token in tokens if token is not None and token != NO_LOCK)

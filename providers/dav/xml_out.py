"""The XML that answers are made of, as text that is joined, never as a tree: a listing has thousands of entries.

Pieces are ``str`` without line breaks between elements (old Windows clients stumble over them); whole documents are
``bytes``. Inside a multistatus the prefixes D, oc and Z are declared and there is no default namespace. Pieces with
values come from the caller: escape texts, take hrefs from ``paths`` (they are escaped here once more, at no cost).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final

CONTENT_TYPE: Final = "application/xml; charset=utf-8"

OWNCLOUD_NS: Final = "http://owncloud.org/ns"
WIN32_NS: Final = "urn:schemas-microsoft-com:"
HOLDFAST_NS: Final = "urn:holdfast:dav"

# Its prefix is bound in every document: it need not be declared, and no other prefix may be bound to it
# (Namespaces in XML §3).
_XML_NS: Final = "http://www.w3.org/XML/1998/namespace"

_PREFIXES: Final = {"DAV:": "D", OWNCLOUD_NS: "oc", WIN32_NS: "Z"}
_DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>\n'
# Declaring oc and Z costs 72 bytes once and saves 32 or 37 for every such element of every entry.
_DECLARED: Final = " ".join(f'xmlns:{prefix}="{uri}"' for uri, prefix in _PREFIXES.items())
_HEAD: Final = f"{_DECLARATION}<D:multistatus {_DECLARED}>"
_TAIL: Final = "</D:multistatus>"

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}
_REPLACED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_needs_care = re.compile("[&<>\\x00-\\x08\\x0b-\\x1f\ud800-\udfff\ufffe\uffff]")
_CACHED_NAME_CHARS: Final = 200


def escape(text: str) -> str:
    """For element content. Characters that XML 1.0 forbids become U+FFFD: one bad name must not spoil a listing."""
    if _needs_care.search(text) is None:
        return text
    return _needs_care.sub(lambda found: _REPLACED.get(found[0], "\ufffd"), text)


def _escape_attribute(text: str) -> str:
    return escape(text).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")


def status_line(status: int) -> str:
    """The text of a ``D:status`` element (RFC 4918 §14.28)."""
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status"


def empty_property(clark: str) -> str:
    """``<D:getetag/>`` for ``{DAV:}getetag``; other namespaces are declared in place, none as ``xmlns=""``."""
    return _cached_tags(clark)[0] if len(clark) <= _CACHED_NAME_CHARS else _tags(clark)[0]


def text_property(clark: str, text: str) -> str:
    """A property with ``text`` (not yet escaped) as its value."""
    _, opening, closing = _cached_tags(clark) if len(clark) <= _CACHED_NAME_CHARS else _tags(clark)
    return f"{opening}{escape(text)}{closing}"


def _tags(clark: str) -> tuple[str, str, str]:
    # A namespace may contain "}", a local name may not.
    space, _, local = clark.rpartition("}")
    space, local = space.removeprefix("{"), escape(local)
    prefix = "xml" if space == _XML_NS else _PREFIXES.get(space)
    if prefix is not None:
        name = start = f"{prefix}:{local}"
    elif space:
        name, start = f"x:{local}", f'x:{local} xmlns:x="{_escape_attribute(space)}"'
    else:
        name, start = local, f'{local} xmlns=""'
    return f"<{start}/>", f"<{start}>", f"</{name}>"


_cached_tags = lru_cache(maxsize=1024)(_tags)


def multistatus_head() -> str:
    """Opens the document, XML declaration included."""
    return _HEAD


def multistatus_tail(description: str | None = None) -> str:
    """Closes what ``multistatus_head`` opened, with an optional ``responsedescription``."""
    return _description(description) + _TAIL


def propstat(
    fragments: Iterable[str], status: int = 200, *, condition: str | None = None, description: str | None = None
) -> str:
    """Properties that share one outcome (RFC 4918 §14.22).

    ``fragments`` are property elements; ``condition`` as in ``error_body``. An empty ``prop`` is valid.
    """
    return (
        f"<D:propstat><D:prop>{''.join(fragments)}</D:prop><D:status>{status_line(status)}</D:status>"
        f"{_error_element(condition)}{_description(description)}</D:propstat>"
    )


def missing_propstat(missing: Iterable[str]) -> str:
    """The 404 propstat for these names: the same for many entries, so build it once per listing."""
    return propstat(map(empty_property, missing), 404)


def response(href: str, propstats: Iterable[str]) -> str:
    """One entry out of ready propstats; there must be at least one."""
    return f"<D:response><D:href>{escape(href)}</D:href>{''.join(propstats)}</D:response>"


def response_prop(href: str, ok_fragments: Sequence[str], missing: Sequence[str] = ()) -> str:
    """One entry of a PROPFIND: what it has, and the Clark names of what it lacks.

    If there is nothing to say at all, an empty 200 propstat stands for it: an entry without any is invalid.
    """
    found = propstat(ok_fragments) if ok_fragments or not missing else ""
    return response(href, (found, missing_propstat(missing) if missing else ""))


def response_status(href: str, status: int, *, condition: str | None = None, description: str | None = None) -> str:
    """One entry with a status and no properties, for a member that stopped a DELETE, COPY, MOVE or LOCK."""
    return (
        f"<D:response><D:href>{escape(href)}</D:href><D:status>{status_line(status)}</D:status>"
        f"{_error_element(condition)}{_description(description)}</D:response>"
    )


def prop_document(fragments: Iterable[str]) -> bytes:
    """A document whose root is ``D:prop``: the answer to LOCK (RFC 4918 §9.10.1)."""
    return _encoded(f"{_DECLARATION}<D:prop {_DECLARED}>{''.join(fragments)}</D:prop>")


def mkcol_response(propstats: Iterable[str]) -> bytes:
    """The document that says why a MKCOL with properties was refused (RFC 5689 §5.2)."""
    return _encoded(f"{_DECLARATION}<D:mkcol-response {_DECLARED}>{''.join(propstats)}</D:mkcol-response>")


def error_body(condition: str | None, hrefs: Iterable[str] = (), message: str | None = None) -> bytes:
    """The ``D:error`` document (RFC 4918 §16).

    ``condition`` is a local name of the DAV namespace (``lock-token-submitted``) or a Clark name; ``hrefs`` go inside
    it. ``message`` is for a person: several clients show the first element called ``message``, whatever its namespace.
    """
    inside = _condition_element(condition, hrefs)
    if message:
        inside += f'<h:message xmlns:h="{HOLDFAST_NS}">{escape(message)}</h:message>'
    return _encoded(f'{_DECLARATION}<D:error xmlns:D="DAV:">{inside}</D:error>')


def _condition_element(condition: str | None, hrefs: Iterable[str]) -> str:
    if not condition:
        return ""
    _, opening, closing = _tags_below_error(condition)
    targets = "".join([f"<D:href>{escape(href)}</D:href>" for href in hrefs])
    return f"{opening}{targets}{closing}" if targets else opening.removesuffix(">") + "/>"


def _tags_below_error(condition: str) -> tuple[str, str, str]:
    if condition.startswith("{DAV:}") or not condition.startswith("{"):
        return _tags("{DAV:}" + condition.removeprefix("{DAV:}"))
    # Only D is declared there.
    space, _, local = condition[1:].rpartition("}")
    start = f'x:{escape(local)} xmlns:x="{_escape_attribute(space)}"'
    return f"<{start}/>", f"<{start}>", f"</x:{escape(local)}>"


def _error_element(condition: str | None) -> str:
    inside = _condition_element(condition, ())
    return f"<D:error>{inside}</D:error>" if inside else ""


def _description(text: str | None) -> str:
    return f"<D:responsedescription>{escape(text)}</D:responsedescription>" if text else ""


def _encoded(document: str) -> bytes:
    return document.encode("utf-8", "replace")

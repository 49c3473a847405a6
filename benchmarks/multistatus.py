"""PROPFIND requests as clients send them, and what their answers have to contain."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import unquote, urlsplit

from benchmarks.failures import WrongAnswer
from benchmarks.wire import Answer, Connection, Endpoint

ALLPROP = b'<?xml version="1.0" encoding="utf-8"?>\n<propfind xmlns="DAV:"><allprop/></propfind>'

# Everything that rclone, davfs2 and Finder ask for when they list a folder, together.
PROPS = (
    b'<?xml version="1.0" encoding="utf-8"?>\n'
    b'<D:propfind xmlns:D="DAV:" xmlns:A="http://apache.org/dav/props/"><D:prop><D:resourcetype/><D:displayname/>'
    b"<D:getcontentlength/><D:getcontenttype/><D:getlastmodified/><D:creationdate/><D:getetag/><A:executable/>"
    b"</D:prop></D:propfind>"
)

_RESPONSE = "{DAV:}response"
_HREF = "{DAV:}href"
_LENGTH = ".//{DAV:}getcontentlength"


def headers(depth: str) -> dict[str, str]:
    """Of a PROPFIND with a body."""
    return {"Depth": depth, "Content-Type": 'application/xml; charset="utf-8"'}


def request(endpoint: Endpoint, name: str, depth: str, body: bytes) -> bytes:
    """The whole request."""
    return endpoint.head("PROPFIND", name, headers(depth), len(body)) + body


def members(endpoint: Endpoint, answer: Answer, folder: str, size: int | None = None) -> set[str]:
    """Names of a folder's members; ``size`` is what each has to have as its length.

    Raises:
        WrongAnswer: it is no listing of this folder.
    """
    answer.require("PROPFIND", 207)
    try:
        root = ET.fromstring(answer.body)  # noqa: S314 (a server under measurement, on this machine)
    except ET.ParseError as error:
        raise WrongAnswer(f"PROPFIND: no XML ({error})") from error
    top = unquote(endpoint.path(folder)).rstrip("/")
    names = set()
    for response in root.iter(_RESPONSE):
        where = unquote(urlsplit(response.findtext(_HREF) or "").path).rstrip("/")
        if where == top:
            continue
        if not where.startswith(f"{top}/"):
            raise WrongAnswer(f"PROPFIND of {top} lists {where}")
        if size is not None and (response.findtext(_LENGTH) or "").strip() != str(size):
            raise WrongAnswer(f"PROPFIND: {where} has the length {response.findtext(_LENGTH)!r} instead of {size}")
        names.add(where[len(top) + 1 :])
    return names


def listing(connection: Connection, folder: str) -> set[str]:
    """Names of a folder's members, asked now."""
    answer = connection.request("PROPFIND", folder, ALLPROP, headers("1"))
    return members(connection.endpoint, answer, folder)


def require_gone(connection: Connection, name: str) -> None:
    """Nothing is there any more.

    Raises:
        WrongAnswer: something is.
    """
    connection.request("PROPFIND", name, ALLPROP, headers("0")).require(f"PROPFIND of what is gone ({name})", 404)

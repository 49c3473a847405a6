"""Request heads: pure functions from bytes to a checked ``Head``. Nothing here knows of sockets.

Strict on purpose (RFC 9112): what another HTTP implementation on the way could read differently is refused, since such
differences are how requests are smuggled past a proxy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(rf"({_TOKEN}++) ([\x21\x22\x24-\x7e]++) HTTP/([0-9])\.([0-9])\r\n")
# One pass over all fields. What is no field falls whole into the last group, so the last match tells whether the fields
# reached the blank line. The quantifiers are possessive: a hostile head costs no backtracking.
_FIELDS = re.compile(rf"({_TOKEN}++):[ \t]*+([\t\x20-\x7e\x80-\xff]*+)\r\n|([\s\S]++)")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SIGNED = "/api/v1/signed/"
_ABSOLUTE_FORM = re.compile(r"https?://([^/?]*)([^?]*)(.*)", re.IGNORECASE)
# uri-host of RFC 3986 with an optional port; userinfo ("@") is no part of it.
_HOST = re.compile(r"(?:\[[0-9A-Za-z:.%_~\-]+\]|[0-9A-Za-z\-._~%!$&'()*+,;=]*)(?::[0-9]*)?")
_FIRST_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\r")
_BLANKS = (" ", "\t")
_SINGLE = {"HTTP_HOST": "Host", "CONTENT_LENGTH": "Content-Length", "HTTP_TRANSFER_ENCODING": "Transfer-Encoding"}
_LENGTH_DIGITS = 19

# Field name as sent -> key in ``Head.fields``. Bounded, since clients choose the names.
_KEYS: dict[str, str] = {}
_KEYS_KEPT = 1024
_DROPPED = "-"


class HeadError(Exception):
    """A head that is refused: ``status`` is the answer, ``reason`` one line for the person who reads it."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status} {reason}")


@dataclass(slots=True)
class Head:
    """A request without its body.

    ``target`` is as sent, ``path`` and ``query`` are its parts, still percent-encoded (``path`` is ``*`` for
    ``OPTIONS *``). ``minor`` is 0 or 1. ``fields`` has WSGI's keys (``HTTP_…``, ``CONTENT_TYPE``, ``CONTENT_LENGTH``)
    and latin-1 values, repeated fields joined. ``length`` is 0 where there is no body, None where it is chunked.
    """

    method: str
    target: str
    path: str
    query: str
    minor: int
    fields: dict[str, str]
    length: int | None
    keep_alive: bool
    expects_continue: bool


def head_size(data: bytes, limit: int) -> int:
    """How many bytes of ``data`` the first head takes with its blank line; 0 while it is incomplete.

    Raises ``HeadError`` when it is larger than ``limit`` (431; 414 if the request line is), and 400 as soon as more
    bytes could not make it a head: a client that waits for an answer to bare LFs would wait for the timeout.
    """
    end = data.find(b"\r\n\r\n")
    if end >= 0:
        if end + 4 <= limit:
            return end + 4
    elif len(data) <= limit:
        if data and data[0] not in _FIRST_BYTES:
            raise HeadError(400, "the request line does not begin with a method")
        if b"\n" in data and _BARE_LF.search(data):
            raise HeadError(400, "a line of the head ends without CR")
        return 0
    if 0 <= data.find(b"\r\n") <= limit:
        raise HeadError(431, f"the request's head is larger than {limit} bytes")
    raise HeadError(414, f"the request line is longer than {limit} bytes")


def parse_head(data: bytes) -> Head:
    """``data`` is exactly one head with its blank line, as ``head_size`` measures it.

    Raises ``HeadError``, nothing else; the connection cannot be kept after it, since the body's framing is unknown.
    """
    text = data.decode("latin-1")
    line = _REQUEST_LINE.match(text)
    if line is None:
        raise HeadError(400, "the request line is malformed")
    method, target, major, minor = line.groups()
    if major != "1":
        raise HeadError(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    old = minor == "0"
    fields = _collect(_FIELDS.findall(text, line.end()))
    host = fields.get("HTTP_HOST")
    if host is None:
        if not old:
            raise HeadError(400, "the Host field is missing")
    elif _HOST.fullmatch(host) is None:
        raise HeadError(400, "the Host field is malformed")
    if target[0] == "/":
        path, _, query = target.partition("?")
    else:
        path, query = _other_form(method, target, fields)
    if "%" in path and _BAD_ESCAPE.search(path):
        # A signed URL with any letter altered is forbidden, whatever it reads as then.
        status = 403 if path.startswith(_SIGNED) else 400
        raise HeadError(status, "a % in the path is not followed by two hexadecimal digits")
    length = _body_length(fields, old)
    connection = fields.get("HTTP_CONNECTION")
    keep_alive = not old if connection is None else _keeps_alive(connection, old)
    expects = "HTTP_EXPECT" in fields and _expects_continue(fields["HTTP_EXPECT"], old)
    return Head(method, target, path, query, 0 if old else 1, fields, length, keep_alive, expects)


def _collect(matches: list[tuple[str, str, str]]) -> dict[str, str]:
    rest = matches.pop()[2] if matches else ""
    if rest != "\r\n":
        raise HeadError(400, _what_is_wrong(rest))
    fields: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    known = _KEYS
    for name, value, _ in matches:
        key = known.get(name) or _learn(name)
        if key == _DROPPED:
            continue
        if value[-1:] in _BLANKS:
            value = value.rstrip(" \t")
        if key in fields:
            repeated.setdefault(key, [fields[key]]).append(value)
        else:
            fields[key] = value
    for key, values in repeated.items():
        if key in _SINGLE:
            raise HeadError(400, f"the {_SINGLE[key]} field is repeated")
        fields[key] = ("; " if key == "HTTP_COOKIE" else ", ").join(values)
    return fields


def _what_is_wrong(rest: str) -> str:
    line = rest.partition("\r\n")[0]
    if line[:1] in (" ", "\t"):
        return "a field is folded over several lines"
    if "\n" in line or "\r" in line:
        return "a line of the head ends without CR LF"
    if re.match(rf"{_TOKEN}+[ \t]+:", line):
        return "there is a blank before the colon of a field"
    return "a field of the head is malformed or contains a control character"


def _learn(name: str) -> str:
    """The WSGI key of a field name. Names with an underscore are dropped: their key would equal another name's."""
    key = name.upper().replace("-", "_")
    if "_" in name:
        key = _DROPPED
    elif key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        key = "HTTP_" + key
    if len(_KEYS) < _KEYS_KEPT and len(name) <= 64:
        _KEYS[name] = key
    return key


def _other_form(method: str, target: str, fields: dict[str, str]) -> tuple[str, str]:
    """Path and query of ``*`` or of the absolute form, whose authority replaces Host (RFC 9112 §3.2.2, §3.2.4)."""
    if target == "*":
        if method != "OPTIONS":
            raise HeadError(400, "the target * is for OPTIONS only")
        return "*", ""
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise HeadError(400, "the request's target is not a path")
    authority, path, query = absolute.groups()
    if not authority or _HOST.fullmatch(authority) is None:
        raise HeadError(400, "the host within the request's target is malformed")
    fields["HTTP_HOST"] = authority
    if not path:
        path = "*" if method == "OPTIONS" and not query else "/"
    return path, query[1:]


def _body_length(fields: dict[str, str], old: bool) -> int | None:
    """RFC 9112 §6.1 and §6.3, without the leniencies that they allow."""
    announced = fields.get("CONTENT_LENGTH")
    coding = fields.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        if old:
            raise HeadError(400, "Transfer-Encoding does not exist in HTTP/1.0")
        if announced is not None:
            raise HeadError(400, "both Transfer-Encoding and Content-Length are given")
        if coding.lower() != "chunked":
            raise HeadError(400, "the only transfer coding known here is chunked")
        return None
    if announced is None:
        return 0
    if not (announced.isascii() and announced.isdigit()) or len(announced) > _LENGTH_DIGITS:
        raise HeadError(400, "Content-Length is not a number")
    return int(announced)


def _keeps_alive(connection: str, old: bool) -> bool:
    options = {option.strip(" \t") for option in connection.lower().split(",")}
    return "close" not in options and (not old or "keep-alive" in options)


def _expects_continue(expect: str, old: bool) -> bool:
    """RFC 9110 §10.1.1: in HTTP/1.0 the expectation is ignored."""
    wanted = {member.strip(" \t") for member in expect.lower().split(",")} - {""}
    if wanted - {"100-continue"}:
        raise HeadError(417, "the only expectation known here is 100-continue")
    return bool(wanted) and not old


def late_head(seconds: float) -> HeadError:
    """What a head that takes too long is answered with."""
    return HeadError(408, f"the request's head was not complete after {seconds:g} s")

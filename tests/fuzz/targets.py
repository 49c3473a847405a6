"""What is fuzzed: each target takes any bytes, and raises what it should not if the parser is wrong.

A parser may refuse its input with the errors that its docstring names. What it takes has to make sense: be within its
bounds, and mean the same when it is written and read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from lxml import etree

from appliance.accounts.tokens import is_well_formed
from appliance.errors import BadName, BadRequest, BodyIncomplete, NotFound, TooLarge
from providers.dav import xml_out
from providers.dav.checksums import parse_oc_checksum
from providers.dav.conditions import parse_etags, parse_if, submitted_tokens
from providers.dav.destination import ForeignDestination, parse_destination
from providers.dav.headers import parse_depth, parse_lock_token, parse_oc_mtime, parse_overwrite, parse_timeout
from providers.dav.paths import decode_path, encode_path
from providers.dav.xml_in import PropertyUpdate, parse_lockinfo, parse_mkcol, parse_propfind, parse_proppatch
from providers.front.credentials import basic_credentials, bearer_token
from providers.front.dates import format_http_date, format_iso_date, parse_http_date, parse_iso_date
from providers.front.ranges import UNSATISFIABLE, multipart_parts, parse_range
from providers.http.body import ChunkedBody
from providers.http.head import HeadError, head_size, parse_head
from providers.tus import protocol as tus
from providers.tus.metadata import Metadata
from tests.fuzz.stream import Stream

_HEAD_LIMIT = 65_536
_YEAR_9999 = 253_402_300_799


class Target(NamedTuple):
    """``seeds`` are what clients send; changed a little, they reach what random bytes never would."""

    check: Callable[[bytes], object]
    seeds: Sequence[bytes]


def _head(data: bytes) -> None:
    try:
        size = head_size(data, _HEAD_LIMIT)
        if not size:
            return
        head = parse_head(data[:size])
    except HeadError as error:
        assert error.status in (400, 414, 417, 431, 501, 505), error.status
        assert error.reason.isprintable()
        return
    assert 0 < size <= len(data)
    assert head.length is None or head.length >= 0
    assert head.path == "*" or head.path.startswith("/")
    assert all(name.startswith(("HTTP_", "CONTENT_")) and name == name.upper() for name in head.fields)
    assert all("\r" not in value and "\n" not in value and "\0" not in value for value in head.fields.values())


def _chunked(data: bytes) -> None:
    """The same bytes, however they arrive: at once, or in pieces as long as the first byte says."""
    at_once = _dechunked(data, len(data) + 1)
    in_pieces = _dechunked(data, 1 + (data[0] if data else 0) % 7)
    assert at_once == in_pieces


def _dechunked(data: bytes, step: int) -> tuple[bytes, bytes] | None:
    """The content and what follows the body; None if it breaks off."""
    stream = Stream(data, step)
    body = ChunkedBody(stream)
    try:
        content = body.read()
    except BodyIncomplete:
        return None
    assert body.done
    assert len(content) <= len(data)
    return content, stream.rest


def _xml(parse: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        try:
            parse(data)
        except (BadRequest, TooLarge):
            return

    return check


def _proppatch(data: bytes) -> None:
    try:
        _stored(parse_proppatch(data))
    except (BadRequest, TooLarge):
        return


def _mkcol(data: bytes) -> None:
    try:
        _stored(parse_mkcol(data).updates)
    except (BadRequest, TooLarge):
        return


def _stored(updates: Sequence[PropertyUpdate]) -> None:
    """Whatever is stored has to fit into a listing of others."""
    values = [update.value_xml for update in updates if update.value_xml is not None]
    empty = [xml_out.empty_property(update.name) for update in updates]
    listing = xml_out.multistatus_head() + xml_out.response("/x", [xml_out.propstat([*values, *empty])])
    document = etree.fromstring((listing + xml_out.multistatus_tail()).encode())
    assert len(document[0][1][0]) == len(values) + len(empty)
    for update, element in zip(
        [update for update in updates if update.value_xml is not None], document[0][1][0], strict=False
    ):
        assert element.tag == update.name


def _if(data: bytes) -> None:
    try:
        lists = parse_if(_text(data))
    except BadRequest:
        return
    assert lists
    assert all(each.conditions for each in lists)
    assert all(token in _text(data) for token in submitted_tokens(lists))


def _etags(data: bytes) -> None:
    found = parse_etags(_text(data))
    found.matches_strong('"a"')
    found.matches_weak(None)


def _destination(data: bytes) -> None:
    try:
        found = parse_destination(
            _text(data), scheme="http", host="files.example:8080", forwarded_hosts=("https://x.example",), prefix="/dav"
        )
    except (BadRequest, BadName, ForeignDestination):
        return
    again = encode_path(found.names, found.trailing_slash, "/dav")
    assert decode_path(again)[0][1:] == found.names


def _path(data: bytes) -> None:
    try:
        names, _ = decode_path(_text(data))
    except (BadRequest, BadName):
        return
    assert all(name and name not in (".", "..") and "\0" not in name for name in names)
    assert decode_path(encode_path(names, False, ""))[0] == names


def _range(data: bytes) -> None:
    size = 1_000 if len(data) % 2 else 0
    found = parse_range(_text(data), size)
    if found is None or found is UNSATISFIABLE:
        return
    assert found
    assert all(0 <= each.start < each.end_exclusive <= size for each in found)
    assert sum(each.end_exclusive - each.start for each in found) <= size
    multipart_parts(found, size, "text/plain", "boundary")


def _small_headers(data: bytes) -> None:
    """Depth, Overwrite, Timeout, Lock-Token, X-OC-Mtime, OC-Checksum, Authorization."""
    text = _text(data)
    readers: tuple[Callable[[], object], ...] = (
        lambda: parse_depth(text, "infinity", ("0", "1", "infinity")),
        lambda: parse_overwrite(text),
        lambda: parse_lock_token(text),
        lambda: parse_oc_mtime(text),
        lambda: parse_oc_checksum(text),
    )
    for read in readers:
        try:
            read()
        except BadRequest:
            continue
    assert 0 < parse_timeout(text, 3600, 86_400) <= 86_400
    basic_credentials(text)
    assert not is_well_formed(bearer_token(text) or text)


def _dates(data: bytes) -> None:
    text = _text(data)
    second = parse_http_date(text)
    if second is not None and 0 <= second <= _YEAR_9999:
        assert parse_http_date(format_http_date(second)) == second
    moment = parse_iso_date(text)
    if moment is not None and 0 <= moment <= _YEAR_9999 * 1_000_000:
        again = parse_iso_date(format_iso_date(moment))
        assert again is not None
        assert abs(again - moment) < 1_000_000


def _text(data: bytes) -> str:
    """As a header field reaches its reader."""
    return data.decode("latin-1")


def _document(root: bytes, inside: bytes) -> bytes:
    return b'<D:%s xmlns:D="DAV:">%s</D:%s>' % (root, inside, root)


_PUT = b"PUT http://h/dav/a HTTP/1.1\r\nHost: h:80\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n0123"
_OPTIONS = b"\r\nOPTIONS * HTTP/1.1\r\nHost:[::1]:8080\r\nX_Y: 1\r\nX-A:\tb\xff\r\n\r\n"
_TRAILERS = b'a;x="y"\r\n0123456789\r\nA\r\n0123456789\r\n000\r\nTrailer: 1\r\nB: 2\r\n\r\nGET / HTTP/1.1\r\n'
_EXCLUSIVE = b"<D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>"
_FOREIGN = b"""<a:propertyupdate xmlns:a="DAV:" xmlns:b="urn:b"><a:set xml:lang="de"><a:prop><b:c b:d="e"><b:f>g</b:f>
<!-- h --><![CDATA[<i>]]></b:c></a:prop></a:set></a:propertyupdate>"""

_SEEDS: dict[str, tuple[bytes, ...]] = {
    "head": (
        b"GET /dav/a%20b?x=1 HTTP/1.1\r\nHost: files.example\r\nUser-Agent: x\r\n\r\n",
        _PUT,
        b"PUT /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n",
        _OPTIONS,
    ),
    "chunked": (b"4\r\nabcd\r\n0\r\n\r\n", _TRAILERS, b"1\r\na\r\n" * 20 + b"0\r\n\r\n"),
    "propfind": (
        _document(b"propfind", b"<D:prop><D:getetag/><x:a xmlns:x='urn:x'/></D:prop>"),
        _document(b"propfind", b"<D:allprop/><D:include><D:supportedlock/></D:include>"),
        b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><propname/></propfind>',
    ),
    "proppatch": (
        _document(b"propertyupdate", b"<D:set><D:prop><a xmlns='urn:x'>1 &amp; 2</a></D:prop></D:set>"),
        _document(b"propertyupdate", b"<D:remove><D:prop><D:a/></D:prop></D:remove>"),
        _FOREIGN,
    ),
    "mkcol": (
        _document(b"mkcol", b"<D:set><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop></D:set>"),
        _document(b"mkcol", b"<D:set><D:prop><a xmlns='urn:x'>1 &amp; 2</a></D:prop></D:set>"),
    ),
    "lockinfo": (_document(b"lockinfo", _EXCLUSIVE + b"<D:owner><D:href>me</D:href></D:owner>"),),
    "if": (
        b'(<urn:uuid:1> ["etag"])',
        b'<http://h/dav/a> (Not <DAV:no-lock>) (["W"] <opaquelocktoken:2>)',
        b'</dav/a%20b> ([W/"x"])</dav/c>(<urn:uuid:3>)',
    ),
    "etags": (b'"a", W/"b" ,"c"', b"*", b'"\xe4"'),
    "destination": (
        b"http://files.example:8080/dav/a/b%3Bc/",
        b"/dav/%C3%A4?x",
        b"https://user:pw@X.example:443/dav/x#y",
        b"http://[::1]:8080/dav/",
    ),
    "path": (b"/dav/a%20b/./c;d/%C3%A4+e/", b"//x/%2e%2E/y", b"/\xc3\xa4/%F0%9F%92%BE"),
    "range": (b"bytes=0-499", b"bytes=-5, 10-,20-30", b" BYTES = 1-0"),
    "small-headers": (
        b"infinity",
        b"Second-3600, Infinite",
        b"<urn:uuid:1234>",
        b"1764230400.5",
        b"SHA1:da39a3ee5e6b4b0d3255bfef95601890afd80709 MD5:d41d8cd98f00b204e9800998ecf8427e",
        b"Basic YWRtaW46c2VjcmV0",
    ),
    "dates": (
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b"2026-11-27T05:00:00.123456+01:00",
        b"2026-11-27T23:59:60Z",
    ),
    "tus": (
        b"filename ZmlsbS5tcDQ=,filetype dmlkZW8vbXA0,is_confidential",
        b"sha1 Lve95gjOVATpfV8EL5X4nxwjKHE=",
        b"final;/api/v1/tus/0123456789abcdef0123456789abcdef http://h/tus/" + b"a" * 32,
        b"partial",
        b"1024",
    ),
}
_TUS_HEADERS = ("HTTP_UPLOAD_CHECKSUM", "HTTP_UPLOAD_CONCAT", "HTTP_UPLOAD_OFFSET", "CONTENT_TYPE")


def _tus(data: bytes) -> None:
    """Every header of tus has the same text."""
    text = data.decode("latin-1")
    environ = dict.fromkeys(_TUS_HEADERS, text)
    with suppress(BadRequest):
        checksum = tus.checksum_of(environ)
        assert checksum is not None
        assert checksum.hexdigests.keys() == checksum.digests.keys()
    with suppress(BadRequest, NotFound):
        concat = tus.concat_of(environ)
        assert concat is not None
        assert concat.is_partial != bool(concat.tokens)
        assert all(len(token) == 32 and token.isalnum() for token in concat.tokens)
    with suppress(BadRequest):
        assert 0 <= tus.number_of(environ, "Upload-Offset") < 10**18
    with suppress(BadRequest, TooLarge):
        noted = Metadata(text)
        assert noted.text.isascii()
        assert noted.told("filename", "name").encode().decode() == noted.told("filename", "name")


_CHECKS: dict[str, Callable[[bytes], None]] = {
    "head": _head,
    "chunked": _chunked,
    "propfind": _xml(parse_propfind),
    "proppatch": _proppatch,
    "mkcol": _mkcol,
    "lockinfo": _xml(parse_lockinfo),
    "if": _if,
    "etags": _etags,
    "destination": _destination,
    "path": _path,
    "range": _range,
    "small-headers": _small_headers,
    "dates": _dates,
    "tus": _tus,
}

TARGETS = {name: Target(check, _SEEDS[name]) for name, check in _CHECKS.items()}
"""By name, which is also that of its folder in ``found``."""

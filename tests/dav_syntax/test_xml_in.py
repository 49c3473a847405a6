"""The XML bodies of requests (RFC 4918 §14) as clients send them and as attackers do."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from appliance.errors import BadRequest, TooLarge
from providers.dav.xml_in import (
    MAX_DEPTH,
    MAX_NAMES,
    LockInfo,
    PropfindRequest,
    parse_lockinfo,
    parse_mkcol,
    parse_propfind,
    parse_proppatch,
    text_of,
)
from tests.http.harness import rss

D = 'xmlns:D="DAV:"'


def test_forked_process_parses_too() -> None:
    """The thread that parses is not in it."""
    body = f"<D:propertyupdate {D}><D:set><D:prop><D:a>1</D:a></D:prop></D:set></D:propertyupdate>".encode()
    parse_proppatch(body)
    child = multiprocessing.get_context("fork").Process(target=parse_proppatch, args=(body,))
    child.start()
    child.join(20)
    exitcode = child.exitcode
    child.kill()
    assert exitcode == 0


def test_long_namespace_in_many_names_is_refused() -> None:
    """Declared once, it would be a part of each name: a megabyte of body would be hundreds in memory."""
    space = "urn:" + "x" * 60_000
    names = "".join(f"<x:a{number}/>" for number in range(100))
    body = f'<D:propfind {D} xmlns:x="{space}"><D:prop>{names}</D:prop></D:propfind>'.encode()
    with pytest.raises(BadRequest, match="longer than"):
        parse_propfind(body)
    single = f'<D:propfind {D} xmlns:x="{space}"><D:prop><x:a/></D:prop></D:propfind>'.encode()
    assert parse_propfind(single).names == (f"{{{space}}}a",)


def _find(inside: str) -> PropfindRequest:
    return parse_propfind(f"<D:propfind {D}>{inside}</D:propfind>".encode())


def _lock(inside: str) -> LockInfo:
    return parse_lockinfo(f'<?xml version="1.0" encoding="utf-8" ?><D:lockinfo {D}>{inside}</D:lockinfo>'.encode())


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_parse_propfind_empty_body_asks_for_all(body: bytes) -> None:
    """RFC 4918 §9.1; Windows and rclone do it."""
    assert parse_propfind(body) == PropfindRequest("allprop")


@pytest.mark.parametrize(
    "inside, request_",
    [
        ("<D:allprop/>", PropfindRequest("allprop")),
        ("<D:propname/>", PropfindRequest("propname")),
        ("<D:prop/>", PropfindRequest("prop")),
        (
            "<D:prop><D:quota-available-bytes/><D:quota-used-bytes/></D:prop>",
            PropfindRequest("prop", ("{DAV:}quota-available-bytes", "{DAV:}quota-used-bytes")),
        ),
        (
            '<D:prop><A:appledoubleheader xmlns:A="http://www.apple.com/webdav_fs/props/"/><x/><D:getetag/><x/></D:prop>',
            PropfindRequest("prop", ("{http://www.apple.com/webdav_fs/props/}appledoubleheader", "x", "{DAV:}getetag")),
        ),
        (
            "<D:allprop/><D:include><D:supported-report-set/></D:include>",
            PropfindRequest("allprop", include=("{DAV:}supported-report-set",)),
        ),
        ('<e:extension xmlns:e="u"><D:prop/></e:extension><D:propname/>', PropfindRequest("propname")),
        ("<!-- c --><?pi x?><D:prop><!-- c --><D:getetag/></D:prop>", PropfindRequest("prop", ("{DAV:}getetag",))),
    ],
)
def test_parse_propfind_valid_body_gives_what_is_asked(inside: str, request_: PropfindRequest) -> None:
    """RFC 4918 §14.20; unknown elements are passed over."""
    assert _find(inside) == request_


def test_parse_propfind_default_namespace_and_utf16_are_read() -> None:
    """Prefixes and encodings are the client's choice."""
    text = '<?xml version="1.0" encoding="utf-16"?><propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'
    assert parse_propfind(text.encode("utf-16")) == PropfindRequest("prop", ("{DAV:}getetag",))
    assert parse_propfind(b'\xef\xbb\xbf<propfind xmlns="DAV:"><propname/></propfind>').mode == "propname"


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<D:allprop/><D:prop/>",
        "<D:propname/><D:allprop/>",
        "<D:prop/><D:prop/>",
        "<D:include/>",
        "<D:prop/><D:include><D:getetag/></D:include>",
        '<bar:foo xmlns:bar=""/>',  # litmus propfind_invalid2
        "<D:prop><D:" + "x" * 3 + "></D:prop>",
        "<prop xmlns='u'/>",
        "<D:prop>" + "".join(f"<D:p{i}/>" for i in range(MAX_NAMES + 1)) + "</D:prop>",
    ],
)
def test_parse_propfind_invalid_body_is_refused(inside: str) -> None:
    """One question at a time, in the namespace DAV:."""
    with pytest.raises(BadRequest):
        _find(inside)


HOSTILE = [
    b'<!DOCTYPE propfind><propfind xmlns="DAV:"><propname/></propfind>',
    b'<!DOCTYPE a [<!ENTITY x "aaaa"><!ENTITY y "&x;&x;&x;"><!ENTITY z "&y;">]><D:x xmlns:D="DAV:" a="&z;">&z;</D:x>',
    b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><propfind xmlns="DAV:"><propname/></propfind>',
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><propfind xmlns="DAV:"><prop>&x;</prop></propfind>',
    b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]><propfind xmlns="DAV:"><propname/></propfind>',
    b'<!DOCTYPE a><propfind xmlns="DAV:"><propname/></propfind>'.decode().encode("utf-16"),
    b'<?xml version="1.0" encoding="utf-7"?>'
    + '<!DOCTYPE a><propfind xmlns="DAV:"><propname/></propfind>'.encode("utf-7").replace(b"<", b"+ADw-"),
    b'<propfind xmlns="DAV:">&undefined;<propname/></propfind>',
    b'<propfind xmlns="DAV:"><prop><a:b/></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop><b a:c="1"/></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop><a:b:c xmlns:a="u"/></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop><a xmlns="}x"/></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop><x>&#1;</x></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop><x>\x01</x></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop><x\x01/></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop><x>\xff</x></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop><x>&#xFFFF;</x></prop></propfind>',
    b'<propfind xmlns="DAV:"><prop>',
    b'<propfind xmlns="DAV:"><propname/></propfind><x/>',
    b'<?xml version="1.0" encoding="no-such"?><propfind xmlns="DAV:"><propname/></propfind>',
    b"<propfind><propname/></propfind>",
    b'<propertyupdat xmlns="DAV:"/>',
    b"garbage",
    b"\0",
    b"{}",
    b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1),
    b"<a>" * 200_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("parser", [parse_propfind, parse_proppatch, parse_lockinfo, parse_mkcol])
def test_parsers_hostile_body_is_refused_at_once(parser: Callable[[bytes], object], body: bytes) -> None:
    """No DOCTYPE in any encoding, no entity, no depth, no broken name gets further than 400."""
    began = time.monotonic()
    with pytest.raises(BadRequest):
        parser(body)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("parser", [parse_propfind, parse_proppatch, parse_lockinfo, parse_mkcol])
def test_parsers_body_over_the_limit_is_too_large(parser: Callable[..., object]) -> None:
    """Before anything of it is parsed; the limit is the caller's."""
    with pytest.raises(TooLarge):
        parser(b"x" * (1024 * 1024 + 1))
    with pytest.raises(TooLarge):
        parser(b"x" * 5001, limit_bytes=5000)


SCOPE = "<D:lockscope><D:exclusive/></D:lockscope>"
TYPE = "<D:locktype><D:write/></D:locktype>"


@pytest.mark.parametrize(
    "inside, scope, owner",
    [
        (f"{SCOPE}{TYPE}<D:owner><D:href>DOMAIN\\user</D:href></D:owner>", "exclusive", "DOMAIN\\user"),
        (f"{SCOPE}{TYPE}<D:owner>Jane Doe</D:owner>", "exclusive", "Jane Doe"),  # Office
        (f"{TYPE}{SCOPE}", "exclusive", None),
        (f"<D:lockscope><D:shared/></D:lockscope>{TYPE}<x/>", "shared", None),
        (f"{SCOPE}{TYPE}<D:owner/>", "exclusive", ""),
    ],
)
def test_parse_lockinfo_client_body_is_read(inside: str, scope: str, owner: str | None) -> None:
    """RFC 4918 §14.11 as Windows, Office and litmus send it."""
    info = _lock(inside)
    assert info.scope == scope
    assert (info.owner_xml if info.owner_xml is None else text_of(info.owner_xml)) == owner


def test_parse_lockinfo_owner_is_a_whole_element() -> None:
    """It is shown again in lockdiscovery just as it came."""
    info = _lock(f"{SCOPE}{TYPE}<D:owner><D:href>http://www.apple.com/webdav_fs/</D:href></D:owner>")
    assert info.owner_xml == '<D:owner xmlns:D="DAV:"><D:href>http://www.apple.com/webdav_fs/</D:href></D:owner>'


@pytest.mark.parametrize(
    "inside",
    [
        "",
        SCOPE,
        TYPE,
        f"<D:lockscope/>{TYPE}",
        f"<D:lockscope><D:exclusive/><D:shared/></D:lockscope>{TYPE}",
        f"<D:lockscope><exclusive/></D:lockscope>{TYPE}",
        f"{SCOPE}<D:locktype/>",
        f"{SCOPE}<D:locktype><D:read/></D:locktype>",
        f"{SCOPE}{SCOPE}{TYPE}",
        f"{SCOPE}{TYPE}<D:owner>{'x' * 9000}</D:owner>",
    ],
)
def test_parse_lockinfo_invalid_body_is_refused(inside: str) -> None:
    """A lock of an unclear kind protects nobody."""
    with pytest.raises(BadRequest):
        _lock(inside)


def test_parse_lockinfo_empty_body_is_refused() -> None:
    """A refresh is the caller's to recognise."""
    with pytest.raises(BadRequest):
        parse_lockinfo(b"")


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            f"<D:propfind {D}>",
            "</D:propfind>",
            f"<D:propertyupdate {D}>",
            "</D:propertyupdate>",
            f"<D:lockinfo {D}>",
            "</D:lockinfo>",
            "<D:prop>",
            "</D:prop>",
            "<D:set>",
            "</D:set>",
            "<D:allprop/>",
            "<D:owner>",
            "</D:owner>",
            SCOPE,
            TYPE,
            "<a/>",
            "<a xmlns='u'>",
            "</a>",
            "&#1;",
            "&lt;",
            "text",
            "\U0001f4c1",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<?xml version='1.0'?>",
            "<!DOCTYPE a>",
            "\0",
        ]
    )
).map(lambda parts: "".join(parts).encode())


@settings(max_examples=300)
@given(st.one_of(st.binary(), FRAGMENTS, FRAGMENTS.map(lambda body: body.decode().encode("utf-16"))))
def test_parsers_any_bytes_raise_nothing_but_bad_request(body: bytes) -> None:
    """Whatever arrives, and what is accepted can be shown again."""
    for parser in (parse_propfind, parse_proppatch, parse_lockinfo, parse_mkcol):
        try:
            found = parser(body)
        except BadRequest:
            continue
        for update in found if isinstance(found, tuple) else getattr(found, "updates", ()):
            if update.value_xml is not None:
                assert etree.fromstring(update.value_xml).tag == update.name


def test_names_are_not_kept_for_ever() -> None:
    """libxml2 keeps the names that a thread has parsed; whoever sends new ones all the time fills no memory."""
    before = rss()
    for number in range(150):
        names = "".join(f"<a{each}x{number}{'q' * 1800}/>" for each in range(500))
        with pytest.raises(BadRequest):
            parse_propfind(f"<D:propfind {D}><D:prop>{names}</D:prop></D:propfind>".encode())
    assert rss() - before < 80_000_000

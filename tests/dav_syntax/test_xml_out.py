"""The XML of answers: valid, small, and what went in comes out (RFC 4918 §13, §14, §16)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from providers.dav.paths import encode_path
from providers.dav.xml_in import parse_proppatch
from providers.dav.xml_out import (
    CONTENT_TYPE,
    empty_property,
    error_body,
    escape,
    missing_propstat,
    multistatus_head,
    multistatus_tail,
    prop_document,
    propstat,
    response,
    response_prop,
    response_status,
    text_property,
)
from providers.front.dates import format_http_date, format_iso_date

D = "{DAV:}"
LOCAL_NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.\-]{0,20}\Z")
NAMESPACES = st.sampled_from(
    [
        "",
        "DAV:",
        "http://owncloud.org/ns",
        "urn:schemas-microsoft-com:",
        "http://example.com/neon/litmus/",
        "a&b",
        "http://www.w3.org/XML/1998/namespace",
    ]
)


def _clark(space: str, local: str) -> str:
    return f"{{{space}}}{local}" if space else local


def _multistatus(*pieces: str) -> Any:
    return etree.fromstring((multistatus_head() + "".join(pieces) + multistatus_tail()).encode())


@pytest.mark.parametrize(
    "text, escaped",
    [
        ("plain ü \U0001f4c1 'quotes\"", "plain ü \U0001f4c1 'quotes\""),
        ("a<b>&c", "a&lt;b&gt;&amp;c"),
        ("]]>", "]]&gt;"),
        ("a\tb\nc\rd", "a\tb\nc&#13;d"),
        ("a\0\x01\x0b\x1f\ufffe\uffff\ud800b", "a\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdb"),
    ],
)
def test_escape_table_keeps_xml_valid(text: str, escaped: str) -> None:
    """XML 1.0 §2.2 has no place for some characters; they are shown as replaced."""
    assert escape(text) == escaped


@given(st.text())
def test_escape_any_text_is_readable_again(text: str) -> None:
    """A parser gets the text, save for what XML cannot hold."""
    seen = etree.fromstring(f"<a>{escape(text)}</a>".encode()).text or ""
    assert len(seen) == len(text)
    assert all(got in (sent, "\ufffd") for got, sent in zip(seen, text, strict=True))


@pytest.mark.parametrize(
    "name, xml",
    [
        ("{DAV:}getetag", "<D:getetag/>"),
        ("{http://owncloud.org/ns}checksums", "<oc:checksums/>"),
        ("{urn:schemas-microsoft-com:}Win32FileAttributes", "<Z:Win32FileAttributes/>"),
        ("{http://example.com/}a", '<x:a xmlns:x="http://example.com/"/>'),
        ("{http://www.w3.org/XML/1998/namespace}a", "<xml:a/>"),
        ("a", '<a xmlns=""/>'),
        ("{}a", '<a xmlns=""/>'),
    ],
)
def test_empty_property_is_short_where_the_prefix_is_declared(name: str, xml: str) -> None:
    """Other namespaces are declared on the spot."""
    assert empty_property(name) == xml


@given(
    NAMESPACES, LOCAL_NAMES, st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"))
)
def test_properties_any_name_and_text_read_back(space: str, local: str, text: str) -> None:
    """A reader sees the same name in Clark notation and the same text."""
    name = _clark(space, local)
    root = _multistatus(response("/dav/", [propstat([empty_property(name), text_property(name, text)])]))
    empty, full = root.find(f".//{D}prop")
    assert (empty.tag, empty.text) == (name, None)
    assert (full.tag, full.text or "") == (name, text)


def test_empty_property_very_long_name_is_written() -> None:
    """Long names bypass the cache, not the answer."""
    assert empty_property("{DAV:}" + "x" * 5000) == "<D:" + "x" * 5000 + "/>"


def test_response_prop_found_and_missing_stand_in_two_propstats() -> None:
    """RFC 4918 §9.1: 200 for what is there, 404 for what is not."""
    root = _multistatus(response_prop("/dav/a", ["<D:getcontentlength>5</D:getcontentlength>"], ["{DAV:}quota", "x"]))
    (entry,) = root
    assert entry.findtext(f"{D}href") == "/dav/a"
    found, missing = entry.findall(f"{D}propstat")
    assert found.findtext(f"{D}status") == "HTTP/1.1 200 OK"
    assert [child.tag for child in found.find(f"{D}prop")] == [f"{D}getcontentlength"]
    assert missing.findtext(f"{D}status") == "HTTP/1.1 404 Not Found"
    assert [child.tag for child in missing.find(f"{D}prop")] == [f"{D}quota", "x"]


@pytest.mark.parametrize(
    "ok, missing, statuses",
    [
        (["<D:resourcetype/>"], [], ["200"]),
        ([], ["{DAV:}x"], ["404"]),
        ([], [], ["200"]),
    ],
)
def test_response_prop_has_a_propstat_whatever_was_asked(
    ok: list[str], missing: list[str], statuses: list[str]
) -> None:
    """RFC 4918 §14.24: an entry without propstat and status is invalid, also for an empty question."""
    (entry,) = _multistatus(response_prop("/dav/a", ok, missing))
    assert [one.text.split()[1] for one in entry.iter(f"{D}status")] == statuses
    assert all(one.find(f"{D}prop") is not None for one in entry.findall(f"{D}propstat"))


def test_propstat_failed_property_says_why() -> None:
    """A PROPPATCH of a protected property, and the others that failed with it."""
    root = _multistatus(
        response(
            "/dav/a",
            [
                propstat(["<D:getetag/>"], 403, condition="cannot-modify-protected-property", description="no & no"),
                propstat(['<x xmlns=""/>'], 424),
            ],
        )
    )
    refused, dependent = root.iter(f"{D}propstat")
    assert refused.find(f"{D}error/{D}cannot-modify-protected-property") is not None
    assert refused.findtext(f"{D}responsedescription") == "no & no"
    assert [child.tag for child in refused] == [
        f"{D}{name}" for name in ("prop", "status", "error", "responsedescription")
    ]
    assert dependent.findtext(f"{D}status") == "HTTP/1.1 424 Failed Dependency"


def test_missing_propstat_is_what_response_prop_writes() -> None:
    """So a listing can build it once."""
    assert missing_propstat(["{DAV:}x"]) in response_prop("/dav/a", [], ["{DAV:}x"])


@pytest.mark.parametrize("status, line", [(423, "HTTP/1.1 423 Locked"), (507, "HTTP/1.1 507 Insufficient Storage")])
def test_response_status_names_the_member(status: int, line: str) -> None:
    """RFC 4918 §14.24, the form without properties."""
    (entry,) = _multistatus(response_status("/dav/a&b", status, condition="lock-token-submitted"))
    assert [child.tag for child in entry] == [f"{D}href", f"{D}status", f"{D}error"]
    assert entry.findtext(f"{D}href") == "/dav/a&b"
    assert entry.findtext(f"{D}status") == line


def test_error_body_condition_holds_its_hrefs() -> None:
    """RFC 4918 §16: lock-token-submitted names the locked resource."""
    body = error_body("lock-token-submitted", ["/dav/a", "/dav/b&c"], "it is <locked>")
    root = etree.fromstring(body)
    assert root.tag == f"{D}error"
    assert [one.text for one in root.findall(f"{D}lock-token-submitted/{D}href")] == ["/dav/a", "/dav/b&c"]
    assert [one.text for one in root if etree.QName(one).localname == "message"] == ["it is <locked>"]


@pytest.mark.parametrize(
    "condition, tag",
    [
        ("quota-not-exceeded", f"{D}quota-not-exceeded"),
        ("{DAV:}propfind-finite-depth", f"{D}propfind-finite-depth"),
        ("{http://owncloud.org/ns}x", "{http://owncloud.org/ns}x"),
    ],
)
def test_error_body_condition_name_may_be_of_any_namespace(condition: str, tag: str) -> None:
    """DAV: is the default."""
    root = etree.fromstring(error_body(condition))
    assert [child.tag for child in root] == [tag]


def test_error_body_only_message_is_valid() -> None:
    """Errors without a precondition code have a body too."""
    assert len(etree.fromstring(error_body(None, (), "why"))) == 1
    assert len(etree.fromstring(error_body(None))) == 0


@given(st.lists(st.text()), st.one_of(st.none(), st.text()), st.text())
def test_documents_any_text_is_well_formed(hrefs: list[str], message: str | None, description: str) -> None:
    """Hrefs and messages come from requests."""
    etree.fromstring(error_body("no-conflicting-lock", hrefs, message))
    etree.fromstring(prop_document([text_property("{DAV:}displayname", description)]))
    etree.fromstring(
        (
            multistatus_head() + response_status(description, 403, description=message) + multistatus_tail(message)
        ).encode()
    )


def test_prop_document_lock_answer_reads_back() -> None:
    """The owner from a request stands in the answer without help."""
    (update,) = parse_proppatch(
        b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:owner>me<x/></D:owner></D:prop></D:set></D:propertyupdate>'
    )
    assert update.value_xml is not None
    root = etree.fromstring(prop_document(["<D:lockdiscovery>", update.value_xml, "</D:lockdiscovery>"]))
    assert root.tag == f"{D}prop"
    assert root.findtext(f"{D}lockdiscovery/{D}owner") == "me"


def test_stored_value_in_a_listing_keeps_namespaces() -> None:
    """Values bind prefixes of their own, even D, without disturbing the answer."""
    inside = "<A:set><A:prop><D:p><q/></D:p></A:prop></A:set>"
    (update,) = parse_proppatch(f'<A:propertyupdate xmlns:A="DAV:" xmlns:D="mine">{inside}</A:propertyupdate>'.encode())
    assert update.value_xml is not None
    root = _multistatus(response_prop("/dav/a", [update.value_xml, "<D:getetag/>"], []))
    assert [child.tag for child in root.find(f".//{D}prop")] == ["{mine}p", f"{D}getetag"]
    assert root.find(".//{mine}p/q") is not None


def test_listing_entry_is_small_and_on_one_line() -> None:
    """Windows reads a megabyte of answer: what a folder costs decides how many members it can show."""
    size = len("<D:getcontentlength></D:getcontentlength>123456")
    fragments = [
        "<D:resourcetype/>",
        text_property("{DAV:}creationdate", format_iso_date(1_795_000_000_000_000)),
        text_property("{DAV:}getcontentlength", "123456"),
        text_property("{DAV:}getlastmodified", format_http_date(1_795_000_000)),
        text_property("{DAV:}getetag", '"1a2b-3c4d5e"'),
    ]
    entry = response_prop(encode_path(("Documents", "report.docx"), is_folder=False), fragments)
    assert "\n" not in entry
    assert len(fragments[2]) == size
    assert len(entry.encode()) < 400


def test_content_type_names_the_charset() -> None:
    """What every tested client reads."""
    assert CONTENT_TYPE == "application/xml; charset=utf-8"
    assert multistatus_head().startswith('<?xml version="1.0" encoding="utf-8"?>')

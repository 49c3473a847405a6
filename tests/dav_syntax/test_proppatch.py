"""PROPPATCH bodies (RFC 4918 §4.3, §14.19): the order of steps, and values that mean the same anywhere."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from appliance.errors import BadRequest
from providers.dav.xml_in import MAX_DEPTH, MAX_NAMES, PropertyUpdate, parse_proppatch, text_of

D = 'xmlns:D="DAV:"'
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def _patch(inside: str, extra: str = "") -> tuple[PropertyUpdate, ...]:
    return parse_proppatch(f"<D:propertyupdate {D} {extra}>{inside}</D:propertyupdate>".encode())


def _value(inside: str, extra: str = "") -> str:
    """The stored value of the one property ``inside``."""
    (update,) = _patch(f"<D:set><D:prop>{inside}</D:prop></D:set>", extra)
    assert update.value_xml is not None
    return update.value_xml


def _canonical(element: Any) -> Any:
    """What RFC 4918 §4.3 wants kept of an element, comparable."""
    return (
        element.tag,
        sorted(element.attrib.items()),
        element.text or "",
        [(_canonical(child), child.tail or "") for child in element],
    )


@pytest.mark.parametrize("inside, refused", [(MAX_DEPTH - 3, False), (MAX_DEPTH - 2, True)])
def test_parsers_depth_limit_counts_the_root(inside: int, refused: bool) -> None:
    """Exactly ``MAX_DEPTH`` levels are read; propertyupdate, set and prop are three of them."""
    nested = "<x>" * inside + "</x>" * inside
    if refused:
        with pytest.raises(BadRequest):
            _value(nested)
    else:
        assert _value(nested).count("<x") == inside


def test_parse_proppatch_steps_keep_their_order() -> None:
    """RFC 4918 §9.2: set and remove are carried out in document order."""
    updates = _patch(
        "<D:set><D:prop><a>1</a><b>2</b></D:prop></D:set><x/><D:remove><D:prop><a/></D:prop></D:remove>"
        "<D:set><D:prop><a>3</a></D:prop></D:set>"
    )
    assert [(update.name, update.value_xml and text_of(update.value_xml)) for update in updates] == [
        ("a", "1"),
        ("b", "2"),
        ("a", None),
        ("a", "3"),
    ]


def test_parse_proppatch_explorer_body_gives_win32_properties() -> None:
    """What Windows sends after each copy; values stay small, since every listing repeats them."""
    updates = parse_proppatch(
        b'<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
        b"<D:set><D:prop><Z:Win32LastModifiedTime>Sun, 22 Nov 2026 10:11:12 GMT</Z:Win32LastModifiedTime>"
        b"<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"
    )
    assert updates == (
        PropertyUpdate(
            "{urn:schemas-microsoft-com:}Win32LastModifiedTime",
            '<Z:Win32LastModifiedTime xmlns:Z="urn:schemas-microsoft-com:">Sun, 22 Nov 2026 10:11:12 GMT'
            "</Z:Win32LastModifiedTime>",
        ),
        PropertyUpdate(
            "{urn:schemas-microsoft-com:}Win32FileAttributes",
            '<Z:Win32FileAttributes xmlns:Z="urn:schemas-microsoft-com:">00000020</Z:Win32FileAttributes>',
        ),
    )


def test_parse_proppatch_rclone_lastmodified_is_read() -> None:
    """Vendor owncloud falls back to it."""
    assert text_of(_value("<D:lastmodified>1700000000</D:lastmodified>")) == "1700000000"


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<D:prop/>",
        "<D:set/>",
        "<D:set><D:prop/><D:prop/></D:set>",
        "<D:set><a/></D:set>",
        "<D:set><D:prop><bar:foo xmlns:bar=''/></D:prop></D:set>",  # litmus propset with an empty namespace
        "<D:set><D:prop>" + "<a/>" * (MAX_NAMES + 1) + "</D:prop></D:set>",
    ],
)
def test_parse_proppatch_invalid_body_is_refused(inside: str) -> None:
    """RFC 4918 §14.19."""
    with pytest.raises(BadRequest):
        _patch(inside)


def test_parse_proppatch_empty_prop_changes_nothing() -> None:
    """Valid, if idle."""
    assert _patch("<D:set><D:prop/></D:set>") == ()


VALUES = [
    "<a/>",
    "<a>text</a>",
    "<a>&lt;&amp;&gt;&quot;</a>",
    "<a><![CDATA[<b>&]]></a>",
    "<a> \n two &#13; lines </a>",
    "<a>\U00010000 \U0010ffff ü</a>",  # litmus propset of high unicode
    '<a xmlns="http://example.com/neon/litmus/">v</a>',
    '<N:a xmlns:N="u"><N:b>x</N:b>mixed<c xmlns="">y</c>tail</N:a>',
    '<N:a xmlns:N="u" xmlns:M="v" M:k="1" k="2&#10;3&quot;"><M:b/></N:a>',
    '<a xmlns="u"><b xmlns="v"><c xmlns=""/></b></a>',
    '<Outer:a Outer:k="1"><Outer:b/></Outer:a>',
    "<D:displayname>x</D:displayname>",
    "<a>x<!-- c -->y<?pi z?>w</a>",
    '<a xml:space="preserve"> </a>',
]
EMBEDDINGS = [
    "<r>{}</r>",
    '<r xmlns="other">{}</r>',
    '<D:r xmlns:D="not-dav" xmlns:Outer="not-it" xmlns:N="n" xmlns:Z="z">{}</D:r>',
]


@pytest.mark.parametrize("inside", VALUES)
@pytest.mark.parametrize("around", EMBEDDINGS)
@pytest.mark.parametrize("default", ["", 'xmlns="default-namespace"'])
def test_parse_proppatch_value_keeps_its_meaning_in_any_document(inside: str, around: str, default: str) -> None:
    """RFC 4918 §4.3: names, attributes, children and text survive, wherever the value is shown."""
    extra = f'xmlns:Outer="outer" {default}'
    parser = etree.XMLParser(remove_comments=True, remove_pis=True)
    original = etree.fromstring(f"<D:p {D} {extra}>{inside}</D:p>", parser)[0]
    stored = _value(inside, extra)
    assert _canonical(etree.fromstring(around.format(stored))[0]) == _canonical(original)
    assert etree.fromstring(around.format(stored))[0].tail is None


def test_parse_proppatch_language_in_scope_comes_along() -> None:
    """RFC 4918 §4.3 wants xml:lang kept, also where an element outside the value says it; the nearest one holds."""
    (update,) = _patch('<D:set xml:lang="de"><D:prop xml:lang="en"><a>colour</a></D:prop></D:set>')
    assert update.value_xml is not None
    assert etree.fromstring(update.value_xml).get(XML_LANG) == "en"
    assert etree.fromstring(_value('<a xml:lang="fr"/>', 'xml:lang="en"')).get(XML_LANG) == "fr"
    assert etree.fromstring(_value('<D:a xml:lang=""/>', 'xml:lang="en"')).get(XML_LANG) in (None, "")


def test_parse_proppatch_prefix_that_a_text_uses_stays_declared() -> None:
    """RFC 4918 §4.3: values may hold qualified names, as XML Schema does."""
    stored = _value('<D:a t="xs:string">q:name</D:a>', 'xmlns:xs="schema" xmlns:q="q" xmlns:unused="n"')
    assert etree.fromstring(stored).nsmap == {"D": "DAV:", "xs": "schema", "q": "q"}


def test_parse_proppatch_prefixes_are_kept() -> None:
    """A SHOULD of RFC 4918 §4.3."""
    assert _value('<N:a xmlns:N="u"><M:b xmlns:M="v"/></N:a>') == '<N:a xmlns:N="u"><M:b xmlns:M="v"/></N:a>'


def test_parse_proppatch_large_value_takes_no_second() -> None:
    """A body at the limit with nothing but elements is still cheap."""
    body = f"<D:propertyupdate {D}><D:set><D:prop><x>{'<a/>' * 250_000}</x></D:prop></D:set></D:propertyupdate>"
    began = time.process_time()
    parse_proppatch(body.encode())
    assert time.process_time() - began < 5


@given(st.text())
def test_text_of_any_text_raises_nothing_but_bad_request(value_xml: str) -> None:
    """A stored value that is none is reported as what it is."""
    try:
        text_of(value_xml)
    except BadRequest:
        pass


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")))
def test_text_of_value_gives_the_text_that_was_set(text: str) -> None:
    """Through a PROPPATCH and back."""
    element = etree.Element("a")
    element.text = text
    stored = _value(etree.tostring(element, encoding="unicode"))
    assert text_of(stored) == text

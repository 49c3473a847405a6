"""Dead properties: what a client stores in one is what every client gets back, wherever the resource goes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import NAMESPACES, clark, parse, propfind

PREFIXES = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
VALUES = {
    "text": "<A:v>plain &amp; simple &lt;</A:v>",
    "empty": "<A:v/>",
    "blanks": "<A:v>  two\n lines\t</A:v>",
    "mixed": "<A:v>before<A:b>in<A:c/>side</A:b>between<A:b/>after</A:v>",
    "attributes": '<A:v A:one="1" two="&quot;2&quot;"><A:b three="3"/></A:v>',
    "language": '<A:v xml:lang="de-CH">Grüezi</A:v>',
    "other namespaces": '<A:v xmlns="urn:default"><inner xmlns:q="urn:q" q:a="1"><q:deep/></inner></A:v>',
    "no namespace": "<A:v><bare>x</bare></A:v>",
    "character data": "<A:v><![CDATA[<not>&markup;]]></A:v>",
    "beyond the plane": "<A:v>𝄞 日本語 \u200f</A:v>",
}


@pytest.fixture
def file(dav: Dav, area: str) -> str:
    """The path of a file."""
    dav.ok("PUT", f"{area}file", b"x")
    return f"{area}file"


def patch(dav: Dav, path: str, inner: str, extra: str = "") -> dict[str, int]:
    """A PROPPATCH that is answered with 207; what was refused."""
    (entry,) = parse(
        dav("PROPPATCH", path, f"<D:propertyupdate {PREFIXES} {extra}>{inner}</D:propertyupdate>".encode())
    ).values()
    return entry.refused


def canonical(text: str) -> str:
    """Comparable: names instead of prefixes."""
    return ET.canonicalize(text, rewrite_prefixes=True)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_value_comes_back_as_it_was_stored(dav: Dav, area: str, file: str, value: str) -> None:
    """RFC 4918 §4.3: elements, attributes, text, language and namespaces; also by allprop, and for a copy."""
    assert patch(dav, file, f"<D:set><D:prop>{value}</D:prop></D:set>") == {}
    stored = canonical(value.replace("<A:v", f'<A:v xmlns:A="{NAMESPACES["A"]}"', 1))
    dav.ok("COPY", file, headers={"Destination": f"{area}copy"})
    for path in (file, f"{area}copy"):
        for names in ([], ["A:v"]):
            (entry,) = propfind(dav, path, *names).values()
            told = canonical(ET.tostring(entry.values[clark("A:v")], encoding="unicode"))
            assert told == stored


def test_language_around_a_property_is_kept_with_it(dav: Dav, file: str) -> None:
    """RFC 4918 §4.3, §19: xml:lang of an element that is not stored."""
    assert patch(dav, file, "<D:set><D:prop><A:v>Grüezi</A:v></D:prop></D:set>", 'xml:lang="de-CH"') == {}
    (entry,) = propfind(dav, file, "A:v").values()
    assert entry.values[clark("A:v")].get(LANG) == "de-CH"


def test_updates_are_made_in_their_order_and_all_or_none(dav: Dav, file: str) -> None:
    """RFC 4918 §9.2: what is set and removed is gone; what is removed and was not there is no mistake."""
    assert (
        patch(
            dav,
            file,
            "<D:set><D:prop><A:a>1</A:a><A:b>1</A:b></D:prop></D:set><D:remove><D:prop><A:a/><A:c/></D:prop></D:remove>"
            "<D:set><D:prop><A:b>2</A:b></D:prop></D:set>",
        )
        == {}
    )
    (entry,) = propfind(dav, file, "A:a", "A:b", "A:c").values()
    assert (entry["A:b"], entry.refused) == ("2", {clark("A:a"): 404, clark("A:c"): 404})
    refused = patch(
        dav,
        file,
        "<D:remove><D:prop><A:b/></D:prop></D:remove><D:set><D:prop><A:a>1</A:a><D:resourcetype/></D:prop></D:set>",
    )
    assert refused == {clark("A:b"): 424, clark("A:a"): 424, clark("D:resourcetype"): 403}
    (entry,) = propfind(dav, file, "A:a", "A:b").values()
    assert (entry["A:b"], entry.refused) == ("2", {clark("A:a"): 404})


@pytest.mark.parametrize(
    "name",
    ["creationdate", "displayname", "getcontentlength", "getcontenttype", "getetag", "lockdiscovery", "resourcetype",
     "supportedlock", "quota-available-bytes", "quota-used-bytes", "sync-token", "supported-report-set"],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["set", "remove"])
def test_property_that_the_server_computes_is_protected(dav: Dav, area: str, name: str, verb: str) -> None:
    """RFC 4918 §15, RFC 4331 §3, RFC 6578 §4: 403 `cannot-modify-protected-property`, on files and folders."""
    dav.ok("PUT", f"{area}file", b"x")
    body = f"<D:propertyupdate {PREFIXES}><D:{verb}><D:prop><D:{name}/></D:prop></D:{verb}></D:propertyupdate>"
    for path in (area, f"{area}file"):
        answer = dav("PROPPATCH", path, body.encode())
        (entry,) = parse(answer).values()
        assert entry.refused == {clark(f"D:{name}"): 403}
        assert "<D:cannot-modify-protected-property/>" in answer.text


@pytest.mark.parametrize("sizes", [[70_000], [50_000] * 6])
def test_property_that_finds_no_room_is_507_and_nothing_is_set(dav: Dav, file: str, sizes: list[int]) -> None:
    """RFC 4918 §9.2.1: one that is too large, or all of them together; in the answer for each property."""
    large = "".join(f"<A:v{number}>{'x' * size}</A:v{number}>" for number, size in enumerate(sizes))
    update = f"<D:set><D:prop>{large}</D:prop></D:set><D:remove><D:prop><A:gone/></D:prop></D:remove>"
    expected = {clark(f"A:v{number}"): 507 for number in range(len(sizes))}
    assert patch(dav, file, update) == {**expected, clark("A:gone"): 424}
    (entry,) = propfind(dav, file, "A:v0").values()
    assert entry.refused == {clark("A:v0"): 404}


def test_elements_that_nobody_knows_are_passed_over(dav: Dav, area: str, file: str) -> None:
    """RFC 4918 §17, in each body that has a form."""
    odd = '<odd xmlns="urn:odd"><D:prop><D:getetag/></D:prop></odd>'
    find = f"<D:propfind {PREFIXES}>{odd}<D:prop><D:resourcetype/></D:prop></D:propfind>".encode()
    (entry,) = parse(dav("PROPFIND", file, find, {"Depth": "0"})).values()
    assert (list(entry.values), entry.refused) == ([clark("D:resourcetype")], {})
    assert patch(dav, file, f"{odd}<D:set>{odd}<D:prop><A:v>1</A:v></D:prop></D:set>") == {}
    lock = (
        f"<D:lockinfo {PREFIXES}>{odd}<D:lockscope><D:exclusive/></D:lockscope><D:locktype>{odd}<D:write/></D:locktype>"
        "</D:lockinfo>"
    )
    assert dav("LOCK", file, lock.encode()).status == 200
    mkcol = f"<D:mkcol {PREFIXES}>{odd}<D:set>{odd}<D:prop><A:v>1</A:v></D:prop></D:set></D:mkcol>".encode()
    assert dav("MKCOL", f"{area}new", mkcol, {"Content-Type": "text/xml"}).status == 201
    assert "A:v" in next(iter(propfind(dav, f"{area}new", "A:v").values()))

"""The XML bodies of PROPFIND, PROPPATCH, LOCK (RFC 4918 §14), MKCOL and REPORT, read so that no body can harm.

Any DOCTYPE is refused, so there are no entities to expand and nothing to fetch; size and depth are bounded before a
tree is built. Names are in Clark notation, ``{DAV:}getetag``, or bare where there is no namespace. Elements that are
not known are skipped (RFC 4918 §17). Any thread may call; the parsing itself is done in one of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from lxml import etree

from appliance.errors import BadRequest, TooLarge
from providers.dav.xml_thread import parsed_apart

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
# No client asks for more; each one costs something per entry of a listing.
MAX_NAMES: Final = 512
MAX_NAME_CHARS: Final = 65_536
MAX_UPDATE_CHARS: Final = 4 * 1024 * 1024
# An owner is repeated in every answer that shows the lock.
MAX_OWNER_CHARS: Final = 8192
_CACHED_BODY_BYTES: Final = 4096

_DAV: Final = "{DAV:}"
_XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_digits = re.compile(r"[0-9]{1,18}").fullmatch
_words = re.compile(r"[\w.\-]+").findall

Element = Any  # lxml comes without types


@dataclass(frozen=True, slots=True)
class PropfindRequest:
    """``names`` only with mode ``prop`` (may be empty there), ``include`` only with ``allprop``; no name twice."""

    mode: Literal["allprop", "propname", "prop"]
    names: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    # What a node lacks is not told (RFC 8144 §2.1): the client's preference, which does not stand in the body.
    minimal: bool = False


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """``token`` is empty for a client that knows nothing yet; ``limit`` None: as many responses as there are."""

    token: str
    deep: bool
    limit: int | None
    wanted: PropfindRequest


class UnsupportedReport(BadRequest):
    """A report that is not made here, or not of a file."""


@dataclass(frozen=True, slots=True)
class PropertyUpdate:
    """One step of a PROPPATCH. ``value_xml`` is the whole property element, or None to remove the property.

    The element carries every namespace and the xml:lang that it needs: it may be put into any document as it is.
    """

    name: str
    value_xml: str | None


class UnknownMkcol(BadRequest):
    """MKCOL with a body that is no DAV:mkcol: its meaning is not known (RFC 5689 §3)."""


@dataclass(frozen=True, slots=True)
class MkcolRequest:
    """``is_plain``: a folder and nothing else, as far as ``resourcetype`` is among the updates at all."""

    updates: tuple[PropertyUpdate, ...]
    is_plain: bool


@dataclass(frozen=True, slots=True)
class LockInfo:
    """``owner_xml`` is the whole owner element as in ``PropertyUpdate.value_xml``."""

    scope: Literal["exclusive", "shared"]
    owner_xml: str | None


def parse_propfind(body: bytes, *, limit_bytes: int = MAX_BODY_BYTES) -> PropfindRequest:
    """RFC 4918 §14.20. An empty body asks for all (Windows, rclone).

    Raises: BadRequest; TooLarge above ``limit_bytes``.
    """
    _require_length(body, limit_bytes)
    if not body.strip():
        return PropfindRequest("allprop")
    if len(body) <= _CACHED_BODY_BYTES:
        return _known_propfind(body)
    return parsed_apart(len(body), _propfind, body)


@lru_cache(maxsize=128)
def _known_propfind(body: bytes) -> PropfindRequest:
    # A client sends the same few bodies for as long as it lives.
    return parsed_apart(len(body), _propfind, body)


def _propfind(body: bytes) -> PropfindRequest:
    root = _parse(body, "propfind")
    choices = [child for child in root if child.tag in (_DAV + "allprop", _DAV + "propname", _DAV + "prop")]
    includes = [child for child in root if child.tag == _DAV + "include"]
    if len(choices) != 1:
        raise BadRequest(reason="the propfind element must hold exactly one of allprop, propname and prop")
    choice = choices[0]
    if choice.tag == _DAV + "allprop":
        return PropfindRequest("allprop", include=_names(includes))
    if includes:
        raise BadRequest(reason="the include element can only accompany allprop")
    return PropfindRequest("propname") if choice.tag == _DAV + "propname" else PropfindRequest("prop", _names([choice]))


def _names(parents: list[Element]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    chars = 0
    for child in (child for parent in parents for child in parent):
        # Made one by one: a long namespace that is declared once is a part of each name.
        name = str(child.tag)
        if name in names:
            continue
        chars += len(name)
        if chars > MAX_NAME_CHARS:
            raise BadRequest(reason=f"the names of the properties are longer than {MAX_NAME_CHARS} characters together")
        if len(names) == MAX_NAMES:
            raise BadRequest(reason=f"the body names more than {MAX_NAMES} properties")
        names[name] = None
    return tuple(names)


def parse_proppatch(body: bytes, *, limit_bytes: int = MAX_BODY_BYTES) -> tuple[PropertyUpdate, ...]:
    """RFC 4918 §14.19: the steps in document order, which is the order to apply them in; the same name may recur.

    Raises: BadRequest; TooLarge above ``limit_bytes``.
    """
    _require_length(body, limit_bytes)
    return parsed_apart(len(body), _proppatch, body)


def _proppatch(body: bytes) -> tuple[PropertyUpdate, ...]:
    root = _parse(body, "propertyupdate")
    groups = [child for child in root if child.tag in (_DAV + "set", _DAV + "remove")]
    if not groups:
        raise BadRequest(reason="the propertyupdate element must hold set or remove")
    return _updates(groups)


def _updates(groups: list[Element]) -> tuple[PropertyUpdate, ...]:
    updates: list[PropertyUpdate] = []
    chars = 0
    for group in groups:
        prop = _only_child(group, "prop")
        keep = group.tag == _DAV + "set"
        if len(updates) + len(prop) > MAX_NAMES:
            raise BadRequest(reason=f"the body changes more than {MAX_NAMES} properties")
        for child in prop:
            update = PropertyUpdate(str(child.tag), _standalone(child) if keep else None)
            chars += len(update.name) + len(update.value_xml or "")
            # As with names: what is declared outside of the elements is repeated in each of them.
            if chars > MAX_UPDATE_CHARS:
                raise BadRequest(reason=f"the properties are longer than {MAX_UPDATE_CHARS} characters together")
            updates.append(update)
    return tuple(updates)


def parse_mkcol(body: bytes, *, limit_bytes: int = MAX_BODY_BYTES) -> MkcolRequest:
    """RFC 5689 §5.1: the properties that a folder begins with, in document order.

    Raises: BadRequest; UnknownMkcol for another root element; TooLarge above ``limit_bytes``.
    """
    _require_length(body, limit_bytes)
    return parsed_apart(len(body), _mkcol, body)


def _mkcol(body: bytes) -> MkcolRequest:
    root = _parse(body, None)
    if root.tag != _DAV + "mkcol":
        raise UnknownMkcol(reason="the root element of the body must be mkcol in the namespace DAV:")
    types = root.iterfind(f"{_DAV}set/{_DAV}prop/{_DAV}resourcetype")
    # Before the values are taken out of the tree.
    is_plain = all({child.tag for child in each} == {_DAV + "collection"} for each in types)
    return MkcolRequest(_updates(root.findall(_DAV + "set")), is_plain)


def parse_sync(body: bytes, *, limit_bytes: int = MAX_BODY_BYTES) -> SyncRequest:
    """RFC 6578 §6.1, the one report that there is.

    Raises: BadRequest; UnsupportedReport for other reports; TooLarge above ``limit_bytes``.
    """
    _require_length(body, limit_bytes)
    return parsed_apart(len(body), _sync, body)


def _sync(body: bytes) -> SyncRequest:
    root = _parse(body, None)
    if root.tag != _DAV + "sync-collection":
        raise UnsupportedReport(reason="the only report is sync-collection in the namespace DAV:")
    level = _text_in(_only_child(root, "sync-level"))
    if level not in ("1", "infinite"):
        raise BadRequest(reason="the sync-level element must hold 1 or infinite")
    names = _names([_only_child(root, "prop")])
    token = _text_in(_only_child(root, "sync-token"))
    return SyncRequest(token, level == "infinite", _limit(root), PropfindRequest("prop", names))


def _limit(root: Element) -> int | None:
    """RFC 5323 §5.17."""
    if root.find(_DAV + "limit") is None:
        return None
    text = _text_in(_only_child(_only_child(root, "limit"), "nresults"))
    if not _digits(text):
        raise BadRequest(reason="the nresults element must hold a number")
    return int(text)


def _text_in(element: Element) -> str:
    return "".join(element.itertext()).strip()


def parse_lockinfo(body: bytes, *, limit_bytes: int = MAX_BODY_BYTES) -> LockInfo:
    """RFC 4918 §14.11. A LOCK without a body is a refresh: the caller tells it apart.

    Raises: BadRequest, also for an owner of more than ``MAX_OWNER_CHARS``; TooLarge above ``limit_bytes``.
    """
    _require_length(body, limit_bytes)
    return parsed_apart(len(body), _lockinfo, body)


def _lockinfo(body: bytes) -> LockInfo:
    root = _parse(body, "lockinfo")
    scopes = {child.tag for child in _only_child(root, "lockscope")} & {_DAV + "exclusive", _DAV + "shared"}
    if len(scopes) != 1:
        raise BadRequest(reason="the lockscope element must hold either exclusive or shared")
    if _DAV + "write" not in {child.tag for child in _only_child(root, "locktype")}:
        raise BadRequest(reason="the locktype element must hold write")
    owner = root.find(_DAV + "owner")
    owner_xml = None if owner is None else _standalone(owner)
    if owner_xml is not None and len(owner_xml) > MAX_OWNER_CHARS:
        raise BadRequest(reason=f"the owner element is longer than {MAX_OWNER_CHARS} characters")
    return LockInfo("shared" if _DAV + "shared" in scopes else "exclusive", owner_xml)


def text_of(value_xml: str) -> str:
    """The text of a ``value_xml``, that of nested elements included. Raises: BadRequest if it is no element."""
    try:
        body = value_xml.encode("utf-8")
    except UnicodeEncodeError:
        raise _not_well_formed() from None
    return parsed_apart(len(body), _text, body)


def _text(body: bytes) -> str:
    return "".join(_parse(body, None).itertext())


def _only_child(parent: Element, name: str) -> Element:
    found = parent.findall(_DAV + name)
    if len(found) != 1:
        shown = str(parent.tag).removeprefix(_DAV)
        raise BadRequest(reason=f"the {shown} element must hold one {name} element")
    return found[0]


class _Guard:
    """A parser target that builds nothing and stops at a DOCTYPE or at too deep a nesting."""

    def __init__(self) -> None:
        self._depth = 0

    def doctype(self, _name: str, _public_id: str | None, _system_id: str | None) -> None:
        raise BadRequest(reason="the body must not contain a DOCTYPE")

    def start(self, _tag: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadRequest(reason=f"the elements of the body are nested deeper than {MAX_DEPTH} levels")

    def end(self, _tag: str) -> None:
        self._depth -= 1

    def close(self) -> None:
        return None


def _parser(target: _Guard | None) -> Element:
    return etree.XMLParser(
        target=target,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )


def _require_length(body: bytes, limit_bytes: int) -> None:
    if len(body) > limit_bytes:
        raise TooLarge(what="the XML body", limit_bytes=limit_bytes)


def _parse(body: bytes, root_name: str | None) -> Element:
    try:
        # Two passes of one parser: the first sees the DOCTYPE before any of it takes effect, the second checks
        # namespaces, which a target parser does not.
        etree.fromstring(body, _parser(_Guard()))
        root = etree.fromstring(body, _parser(None))
    except (etree.LxmlError, ValueError, LookupError) as problem:
        raise _not_well_formed() from problem
    if root_name is not None and root.tag != _DAV + root_name:
        raise BadRequest(reason=f"the root element of the body must be {root_name} in the namespace DAV:")
    return root


def _not_well_formed() -> BadRequest:
    return BadRequest(reason="the body is not well-formed XML with namespaces")


def _standalone(element: Element) -> str:
    """``element`` serialised without its tail, so that nothing around it is needed to understand it.

    Namespaces from outside come along if a name uses them or a text might (a QName in content); comments and
    processing instructions do not. If an element has no namespace, the root says ``xmlns=""``.
    """
    names: set[str] = set()
    words: set[str] = set()
    for node in element.iter():
        names.add(node.tag)
        names.update(node.keys())
        words.update(_words(" ".join((*node.values(), node.text or "", "" if node is element else node.tail or ""))))
    spaces = {name[1:].rpartition("}")[0] for name in names if name.startswith("{")}
    scope = {
        prefix: uri
        for prefix, uri in element.nsmap.items()
        if uri and (prefix is None or uri in spaces or prefix in words)
    }
    langs = (node.get(_XML_LANG) for node in (element, *element.iterancestors()))
    lang = next((lang for lang in langs if lang is not None), "")
    root = etree.Element(element.tag, element.attrib, nsmap=scope)
    if lang:
        root.set(_XML_LANG, lang)
    root.text = element.text
    root.extend(list(element))
    shown: str = etree.tostring(root, encoding="unicode")
    if None not in scope and any(not node.tag.startswith("{") for node in root.iter()):
        local = etree.QName(root).localname
        name = f"{root.prefix}:{local}" if root.prefix else local
        return f'<{name} xmlns=""{shown[len(name) + 1 :]}'
    return shown

"""What Windows sets on every file that it copies in, and what of it a listing has to tell.

Explorer always asks for all properties, and reads at most 1,000,000 bytes of an answer. Four more properties with each
file would let it see half as many, so allprop leaves out those that say what the client knows or assumes anyway. Each
of them is kept as it was sent, and told when it is asked for by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from appliance import clock
from appliance.tree.nodes import FILE, FOLDER, Node
from providers.dav.xml_out import WIN32_NS
from providers.front.dates import parse_http_date

CREATED = f"{{{WIN32_NS}}}Win32CreationTime"
MODIFIED = f"{{{WIN32_NS}}}Win32LastModifiedTime"
_ACCESSED = f"{{{WIN32_NS}}}Win32LastAccessTime"
_ATTRIBUTES = f"{{{WIN32_NS}}}Win32FileAttributes"

# What Windows assumes of a file (archive, normal) and of a folder (directory) that has none.
_ASSUMED = {FILE: frozenset({0x20, 0x80, 0x00}), FOLDER: frozenset({0x10, 0x00})}
_TEXT = re.compile(r">\s*([^<>]*?)\s*</[^<>]*>\s*\Z")


def creation_second(properties: Mapping[str, str]) -> int | None:
    """When the client says that the file was made, in seconds since 1970; None if it said nothing that is a date."""
    value = properties.get(CREATED)
    return None if value is None else parse_http_date(_text(value))


def is_told_anyway(name: str, value_xml: str, node: Node) -> bool:
    """Whether allprop may leave this property of a node out: ``creationdate`` tells it, or it says nothing."""
    if name == _ACCESSED:
        # Nobody keeps it up to date.
        return True
    if name == CREATED:
        return parse_http_date(_text(value_xml)) is not None
    return name == _ATTRIBUTES and _number(_text(value_xml)) in _ASSUMED[node.kind]


def created_seconds(node: Node, properties: Mapping[str, str] | None) -> int:
    """What ``creationdate`` says: the client's word, or when the node was made here."""
    told = creation_second(properties) if properties else None
    return node.created_at // clock.SECOND if told is None else told


def _text(value_xml: str) -> str:
    found = _TEXT.search(value_xml)
    return "" if found is None else found[1]


def _number(text: str) -> int:
    """Attributes are eight hexadecimal digits; -1 for anything else."""
    return int(text, 16) if re.fullmatch(r"[0-9a-fA-F]{1,8}", text) else -1

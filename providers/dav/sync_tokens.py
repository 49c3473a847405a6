"""Sync tokens (RFC 6578): a cursor as a URI. Clients keep it and send it back; what it says is checked then."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final

from appliance.errors import BadName, CursorRefused
from appliance.files.sync import Cursor, Part
from appliance.tree.nodes import folder_etag
from appliance.tree.paths import Path, check_name
from appliance.tree.since import NOTHING, Mark

PREFIX: Final = "urn:holdfast:sync:"
# A path has at most 4,096 bytes, each of which JSON may write as six.
_MOST_CHARS: Final = 64 * 1024

_NUMBER: Final = "([0-9a-f]{1,15})"
# "-" stands for the state of a client that knows nothing.
_STATE: Final = "(-|[0-9a-f]{1,15})"
_token = re.compile(
    f"{PREFIX}([0-9a-zA-Z]{{1,64}}):{_NUMBER}:{_NUMBER}:{_STATE}"
    f"(?::{_STATE}:{_NUMBER}:([1i])(?::([gp]):([0-9a-zA-Z_-]+))?)?"
).fullmatch


def write_token(cursor: Cursor) -> str:
    """The URI; nothing in it needs escaping."""
    token = f"{PREFIX}{cursor.incarnation}:{cursor.tree_id:x}:{cursor.node_id:x}:{_state(cursor.seq)}"
    part = cursor.part
    if part is not None:
        token += f":{_state(part.since)}:{part.begun:x}:{'i' if part.deep else '1'}"
        if part.mark is not None:
            token += f":{'g' if part.mark.gone else 'p'}:{_way(part.mark.names)}"
    return token


def parse_token(text: str) -> Cursor:
    """Raises: CursorRefused for what no answer ever held."""
    found = _token(text) if len(text) <= _MOST_CHARS else None
    if found is None:
        raise _malformed()
    incarnation, tree_id, node_id, seq, since, begun, level, gone, way = found.groups()
    part = None
    if begun is not None:
        mark = None if way is None else Mark(_names(way), gone == "g")
        part = Part(_seq(since), int(begun, 16), level == "i", mark)
    return Cursor(incarnation, int(tree_id, 16), int(node_id, 16), _seq(seq), part)


def as_etag(token: str) -> str | None:
    """The ETag that a folder has while this is its sync token (RFC 6578 §5); None for what stands for no state."""
    try:
        cursor = parse_token(token)
    except CursorRefused:
        return None
    whole = cursor.part is None and cursor.seq != NOTHING
    return folder_etag(cursor.incarnation, cursor.node_id, cursor.seq) if whole else None


def _state(seq: int) -> str:
    return "-" if seq == NOTHING else f"{seq:x}"


def _seq(state: str) -> int:
    return NOTHING if state == "-" else int(state, 16)


def _way(names: Path) -> str:
    return base64.urlsafe_b64encode(json.dumps(names, ensure_ascii=False).encode()).decode().rstrip("=")


def _names(way: str) -> Path:
    try:
        names = json.loads(base64.urlsafe_b64decode(way + "=" * (-len(way) % 4)))
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise _malformed()
        for name in names:
            check_name(name)
    except (binascii.Error, ValueError, RecursionError, BadName):
        raise _malformed() from None
    return tuple(names)


def _malformed() -> CursorRefused:
    return CursorRefused(reason="this is no sync token of this server")

"""A folder as one ZIP file, made while it is sent.

Nothing is kept for it, so its length is not known ahead, and it cannot go on after a break. If something fails on the
way the connection is broken: a client must never take a part for the whole.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from urllib.parse import quote

from stream_zip import ZIP_AUTO, Method, stream_zip

from appliance import clock
from appliance.files import archive
from appliance.files.archive import Member
from appliance.files.context import Files
from appliance.principal import Principal
from appliance.tree.nodes import Node
from providers.api.request import Request
from providers.front.compression import compresses
from providers.front.content_types import content_type_of
from providers.front.messages import Answer

_FILE_MODE = stat.S_IFREG | 0o644
_FOLDER_MODE = stat.S_IFDIR | 0o755
# Media and archives would only cost time.
_LEVEL, _STORED = 1, 0
_PIECE = 262_144
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")
_DRIVE = re.compile(r"\A([A-Za-z]):")
# What the format's date can say.
_EARLIEST, _LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, tzinfo=UTC)


def get_zip(request: Request) -> Answer:
    """All below a folder."""
    files = request.api.uploads.files
    folder = archive.find_folder(files, request.principal, request.node_id)
    name = quote(f"{folder.name or 'files'}.zip", safe="")
    headers = [
        ("Content-Type", "application/zip"),
        ("Content-Disposition", f"attachment; filename*=UTF-8''{name}"),
        ("Cache-Control", "private, no-cache"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    ]
    if request.environ["REQUEST_METHOD"] == "HEAD":
        return Answer(200, headers, [])
    blocks = iter(_zip(files, request.principal, folder))
    # What fails at once is answered as an error.
    first = next(blocks)
    return Answer(200, headers, chain((first,), blocks))


def safe_names(names: Sequence[str]) -> list[str]:
    """Of the members of a folder: such that whoever unpacks them cannot be led out of it, and no two are equal."""
    taken: set[str] = set()
    # How often a name was there before: to begin with 2 each time would take as long as the square of it.
    counts: dict[str, int] = {}
    found: list[str] = []
    for name in names:
        unique = safe = _safe_name(name)
        while unique in taken:
            counts[safe] = counts.get(safe, 1) + 1
            unique = f"{safe} ({counts[safe]})"
        taken.add(unique)
        found.append(unique)
    return found


def _safe_name(name: str) -> str:
    """What an unpacker might take for a separator, a drive, this folder or the one above is none any more."""
    parts = _UNSAFE.split(_DRIVE.sub(r"\1_", name))
    return "_".join("_" * len(part) if part and part.strip(". ") == "" else part for part in parts)


def _zip(files: Files, principal: Principal, folder: Node) -> Iterable[bytes]:
    members = (_entry(files, principal, each) for each in archive.members(files, folder, safe_names))
    return stream_zip(members, chunk_size=_PIECE)


def _entry(files: Files, principal: Principal, member: Member) -> tuple[str, datetime, int, Method, Iterable[bytes]]:
    node, path = member.node, "/".join(member.path)
    at = _date(node)
    if node.is_folder:
        return f"{path}/", at, _FOLDER_MODE, ZIP_AUTO(0, level=_STORED), ()
    level = _LEVEL if compresses(content_type_of(node.name)) else _STORED
    return path, at, _FILE_MODE, ZIP_AUTO(node.bytes, level=level), _content(files, principal, node)


def _content(files: Files, principal: Principal, node: Node) -> Iterator[bytes]:
    yield from map(bytes, archive.content(files, principal, node))


def _date(node: Node) -> datetime:
    seconds = node.modified_at // clock.SECOND
    bounded = min(max(seconds, int(_EARLIEST.timestamp())), int(_LATEST.timestamp()))
    return datetime.fromtimestamp(bounded, UTC)

"""Names and paths: what can be stored, and how names compare."""

from __future__ import annotations

import re
import unicodedata

from appliance.errors import BadName

Path = tuple[str, ...]
"""The names from a root downwards; () is the root itself."""

NAME_LIMIT = 255
"""UTF-16 units in a name: what Windows and macOS can show."""

PATH_LIMIT = 4096
"""UTF-8 bytes in a path, separators included."""

DEPTH_LIMIT = 256
"""Names in a path."""

# Control characters, halves of surrogate pairs and non-characters cannot stand in XML: one such name would make
# its folder unlistable.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# XML can hold these control characters (C1), but people cannot see them, and terminals act on them. Names that were
# stored with one are still found; new ones are refused.
_INVISIBLE = re.compile("[\x80-\x9f]")


def name_key(name: str) -> str:
    """What lookups compare: NFC, so that macOS (NFD) and the others (NFC) mean the same file. Case counts.

    A name that cannot be stored gets a key that no stored name has: databases refuse to compare some of them at all.
    """
    if _UNPRINTABLE.search(name):
        return "/"
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def check_name(name: str) -> None:
    """Refuse a name that cannot be in the store, since no client could use it.

    Raises:
        BadName: with the reason.
    """
    if name in ("", ".", ".."):
        raise BadName(name=name, reason="is not a name")
    if "/" in name:
        raise BadName(name=name, reason="contains a slash")
    if _UNPRINTABLE.search(name):
        raise BadName(name=name, reason="contains a control character or one that is none")
    if len(name) > NAME_LIMIT or (not name.isascii() and len(name.encode("utf-16-le")) // 2 > NAME_LIMIT):
        raise BadName(name=name, reason=f"is longer than {NAME_LIMIT} characters")


def check_path(path: Path) -> None:
    """Refuse a path in which something new could not be stored.

    Raises:
        BadName: with the reason.
    """
    _check_stored(path)
    for name in path:
        if _INVISIBLE.search(name):
            raise BadName(name=name, reason="contains a control character")


def _check_stored(path: Path) -> None:
    if len(path) > DEPTH_LIMIT:
        raise BadName(name="/".join(path), reason=f"is deeper than {DEPTH_LIMIT} folders")
    for name in path:
        check_name(name)
    if sum(len(name.encode()) + 1 for name in path) > PATH_LIMIT:
        raise BadName(name="/".join(path), reason=f"is longer than {PATH_LIMIT} bytes")


def parse(text: str) -> Path:
    """A path as people type it: ``/``-separated, the first and last slash optional.

    Raises:
        BadName: nothing that is stored can have this path.
    """
    path = tuple(name for name in text.split("/") if name not in ("", "."))
    _check_stored(path)
    return path


def show(path: Path) -> str:
    """The path as people read it."""
    return "/" + "/".join(path)

"""A folder as a page, for people who open it in a browser."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from html import escape

from appliance import clock
from appliance.files.read import Listing
from appliance.tree.nodes import Node
from appliance.tree.paths import show
from providers.dav.paths import encode_name, encode_path

CONTENT_TYPE = "text/html; charset=utf-8"

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2733;"
    "background:#fff}h1{font-size:1.25rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #dde3e9}td:first-child{overflow-wrap:anywhere}"
    "td+td,th+th{white-space:nowrap;text-align:right}a{color:#0b5cad;text-decoration:none}a:hover{text-decoration:"
    "underline}@media(prefers-color-scheme:dark){body{color:#dde3e9;background:#14191f}a{color:#7db8f5}"
    "td,th{border-color:#2c3640}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = [
    ("Content-Type", CONTENT_TYPE),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'",
    ),
]

_ROWS_A_BLOCK = 200


def begin(title: str) -> str:
    """A page's head and heading."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
    )


def render(listing: Listing, *, prefix: str) -> Iterator[bytes]:
    """The page in blocks: folders first, then files, by name."""
    path = listing.place.path
    yield (
        f"{begin(show(path))}<table><thead><tr><th>Name</th><th>Size</th><th>Changed (UTC)</th></tr></thead><tbody>"
    ).encode("utf-8", "replace")
    if path:
        above = escape(encode_path(path[:-1], True, prefix))
        yield f'<tr><td><a href="{above}">..</a></td><td></td><td></td></tr>'.encode()
    members = sorted(listing.members, key=lambda node: (not node.is_folder, node.name.casefold()))
    base = encode_path(path, True, prefix)
    for start in range(0, len(members), _ROWS_A_BLOCK):
        rows = "".join([_row(node, base) for node in members[start : start + _ROWS_A_BLOCK]])
        yield rows.encode("utf-8", "replace")
    yield f"</tbody></table><p>{_summary(listing)}</p></body></html>\n".encode()


def _summary(listing: Listing) -> str:
    state = listing.place.state
    if state is None:
        return f"{listing.node.files:,} files, {_size(listing.node.bytes)} in and below this folder"
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(state.at // clock.SECOND))
    return f"As it was after change {state.seq:,}, of {made} UTC; nothing can be changed here"


def _row(node: Node, base: str) -> str:
    slash = "/" if node.is_folder else ""
    changed = time.strftime("%Y-%m-%d %H:%M", time.gmtime(node.modified_at // clock.SECOND))
    link = escape(base + encode_name(node.name) + slash)
    size = "" if node.is_folder else _size(node.bytes)
    return f'<tr><td><a href="{link}">{escape(node.name)}{slash}</a></td><td>{size}</td><td>{changed}</td></tr>'


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"

"""The description of the API as a page for people: without scripts, and made of the same."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2126;background:#fff}
h2{margin-top:2.5rem;border-bottom:1px solid #cdd3d9}
details{border:1px solid #cdd3d9;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}
code,.method{font:14px ui-monospace,monospace}
.method{display:inline-block;min-width:4.5rem;font-weight:700}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #e5e9ec}
@media(prefers-color-scheme:dark){body{color:#e3e6e9;background:#14181c}details,h2{border-color:#39424a}
td,th{border-color:#2a3138}a{color:#8cb8ff}}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def render(described: dict[str, Any]) -> str:
    """HTML; the style has to be allowed by ``POLICY``."""
    return "".join(_parts(described))


def _parts(described: dict[str, Any]) -> Iterator[str]:
    info = described["info"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>"
    yield '<p>For programs: <a href="openapi.json">openapi.json</a></p>'
    by_tag: dict[str, list[str]] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(path, method, operation))
    for tag, operations in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"
    yield "<h2>Documents</h2>"
    for name, schema in described["components"]["schemas"].items():
        yield (
            f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> {escape(schema.get("description", ""))}'
            f"</summary>{_fields(schema)}</details>"
        )
    yield "</body></html>"


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = [
        _row(f"<code>{escape(each['name'])}</code> ({each['in']})", _type(each["schema"]), each.get("description", ""))
        for each in operation.get("parameters", [])
    ]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        rows.append(_row("body", _type(content["schema"]), media_type))
    replies = []
    for status, reply in operation["responses"].items():
        if "$ref" not in reply:
            content = [_type(each["schema"]) for each in reply.get("content", {}).values()]
            replies.append(_row(status, " ".join(content), reply["description"]))
    errors = ", ".join(status for status, reply in operation["responses"].items() if "$ref" in reply)
    return (
        f'<details><summary><span class="method">{method.upper()}</span> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary><p>{escape(operation.get('description', ''))}</p>"
        f"{_table(rows)}<h4>Answers</h4>{_table(replies)}<p>Errors: {errors}</p></details>"
    )


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    return _table(
        [
            _row(
                f"<code>{escape(name)}</code>{'' if name in required else ' (may be missing)'}",
                _type(each),
                each.get("description", ""),
            )
            for name, each in schema.get("properties", {}).items()
        ]
    )


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    kind = schema.get("type", "")
    shown = " or ".join(kind) if isinstance(kind, list) else kind
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if shown.startswith("array"):
        return f"list of {_type(schema['items'])}" if "properties" not in schema["items"] else _inner(schema["items"])
    return escape(shown)


def _inner(schema: dict[str, Any]) -> str:
    return f"list of objects:{_fields(schema)}"


def _row(*cells: str) -> str:
    # The last one is text, those before are made here.
    *made, words = cells
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in made)}<td>{escape(words)}</td></tr>"


def _table(rows: list[str]) -> str:
    return f"<table>{''.join(rows)}</table>" if rows else ""

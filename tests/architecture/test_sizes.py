"""Files and functions stay small enough to be read at once, or say why not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE_LINES = 400
FUNCTION_LINES = 60

# Path, or path::function, and the reason. Whoever shortens one removes its line here.
ALLOWED: dict[str, str] = {
    "appliance/db/models.py": "the reference of the whole schema is one page",
    "appliance/errors.py": "the tree of all errors is one page",
}


def sources() -> Iterator[Path]:
    """All Python files but the released revisions, which nobody may shorten any more."""
    yield ROOT / "dev.py"
    for folder in ("appliance", "providers", "admin_ui", "migrations", "benchmarks", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.is_relative_to(ROOT / "migrations" / "versions"):
                yield path


@cache
def oversized() -> dict[str, int]:
    """What is over its limit, with its lines."""
    found = {}
    for path in sources():
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        if len(text.splitlines()) > FILE_LINES:
            found[name] = len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES:
                    found[f"{name}::{node.name}"] = lines
    return found


def test_file_or_function_over_its_limit_has_a_reason() -> None:
    """A file has at most 400 lines and a function at most 60, unless the list above says why."""
    assert {name: lines for name, lines in oversized().items() if not ALLOWED.get(name)} == {}


def test_reasons_name_only_what_is_over_its_limit() -> None:
    """The list shrinks when the code does."""
    assert set(ALLOWED) - set(oversized()) == set()

"""docs/rfc-coverage.md names a test for everything that it claims, and none that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "rfc-coverage.md"
_NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_CLAIM = re.compile(r"(yes|partly)\b")


def rows() -> list[list[str]]:
    """The cells of each row that has a test in its last column, or should."""
    found = []
    for table in re.split(r"\n\n+", PAGE.read_text(encoding="utf-8")):
        lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
        if lines and lines[0][-1].strip() == "shown by":
            found += [[cell.strip() for cell in line] for line in lines[2:]]
    return found


def functions(file: str) -> set[str]:
    """The test functions of a file below tests/; none if there is no such file."""
    path = ROOT / "tests" / file
    tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_tests_that_are_named_exist() -> None:
    """A test that was renamed takes its claim along."""
    named = _NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 100
    assert PAGE.read_text(encoding="utf-8").count("::") == len(named)
    known = {file: functions(file) for file, _ in named}
    assert [f"{file}::{name}" for file, name in named if name not in known[file]] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_claim_names_its_tests(row: list[str]) -> None:
    """What is there is shown by something; what is not is said in so many words."""
    assert len(row) == 3
    if _CLAIM.match(row[1]):
        assert _NAMED.search(row[2]), row
    else:
        assert row[1].startswith(("no", "asks nothing")), row


@pytest.mark.parametrize("rfc", ["4918", "4331", "5689", "6578", "8144", "9110", "7617"])
def test_every_rfc_of_the_overview_has_its_table(rfc: str) -> None:
    """And the link to it leads there."""
    text = PAGE.read_text(encoding="utf-8")
    (heading,) = re.findall(rf"^## (RFC {rfc}: .*)$", text, re.MULTILINE)
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    assert f"| [{rfc}](#{anchor}) |" in text


def test_page_is_found_from_the_start() -> None:
    """From the README and from the design's index."""
    assert "(docs/rfc-coverage.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(../rfc-coverage.md)" in (ROOT / "docs" / "design" / "README.md").read_text(encoding="utf-8")

"""What is written for people keeps the rules of the sources, and names only what there is."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from appliance.backends import s3_place

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "config.example.yaml", "docs/panel.md", "docs/s3.md", "docs/tls.md"]
)
def test_line_of_a_document_fits_a_window(name: str) -> None:
    """As long as one of the sources at most."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120] == []


def test_schema_refers_to_what_exists() -> None:
    """Whoever reads a column's meaning is sent to a module, or to something in one."""
    text = (ROOT / "appliance" / "db" / "models.py").read_text(encoding="utf-8")
    references = set(re.findall(r"\bappliance(?:\.\w+)+\b", text))
    assert references
    for reference in references:
        module, _, name = reference.rpartition(".")
        assert hasattr(import_module(module), name) or import_module(reference), reference


def test_readme_names_every_group_of_commands() -> None:
    """And the options of those that end what others began."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in (
        "user",
        "app-password",
        "token add",
        "versions",
        "restore",
        "trash",
        "check",
        "usage",
        "scrub status",
        "prune",
        "scrub --now",
        "repair",
        "backup",
        "check-backup",
        "restore-backup",
        "migrate database",
        "lock list",
        "lock break",
        "login blocked",
        "login unblock",
        "session list",
        "session end",
        "jobs list",
        "jobs run",
        "jobs pause",
        "tls self-signed",
    ):
        assert f"holdfast {command}" in text, command


def test_s3_page_names_what_can_be_set() -> None:
    """Each part of the place, and each variable that holds a key."""
    text = (ROOT / "docs" / "s3.md").read_text(encoding="utf-8")
    names = {*s3_place.PARAMETERS, s3_place.ACCESS_KEY, s3_place.SECRET_KEY, s3_place.SESSION_TOKEN, *s3_place.OF_AWS}
    assert {name for name in names if f"`{name}`" not in text} == set()

"""Rules about the sources that no linter knows."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("appliance", "providers", "admin_ui", "migrations")


def sources() -> Iterator[tuple[str, str]]:
    """Path below the root, and text, of each file of the product."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def imported(text: str) -> set[str]:
    """Top-level names of what a source imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def canonical(distribution: str) -> str:
    """A distribution's name as it is compared, without extras and versions."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", distribution, maxsplit=1)[0]).lower()


def test_environment_is_read_by_the_configuration_alone() -> None:
    """A setting that is read elsewhere would be neither documented nor checked; the command line passes it on."""
    reading = re.compile(r"\bos\.(environ|getenv)\b|from os import .*\b(environ|getenv)\b")
    readers = {path for path, text in sources() if reading.search(text)}
    assert {path for path in readers if not path.startswith(("appliance/cli/", "appliance/config/"))} == set()


def test_every_library_that_is_imported_is_a_declared_dependency() -> None:
    """What is there only because another library wants it can be gone tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonical(requirement) for requirement in project["dependencies"]}
    owners = packages_distributions()
    undeclared = {
        (path, name)
        for path, text in sources()
        for name in imported(text) - sys.stdlib_module_names - set(PACKAGES)
        if not declared & {canonical(owner) for owner in owners.get(name, [])}
    }
    assert undeclared == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_sources_is_a_package(package: str) -> None:
    """A folder without __init__.py works in a checkout and is missing from an installation."""
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_every_data_file_is_packaged() -> None:
    """Templates and the like are installed only where pyproject.toml names them."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    packaged = {
        path for package, globs in tables.items() for glob in globs for path in (ROOT / package).glob(f"{glob}/*")
    }
    packaged |= {path for package, globs in tables.items() for glob in globs for path in (ROOT / package).glob(glob)}
    data = {
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert data - packaged == set()


def test_image_is_built_from_every_package() -> None:
    """The Dockerfile names what it copies; a package that it forgets is missing in the image only."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE)) == set(PACKAGES)

"""The import contract covers the whole product, holds, and really fails when it is broken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("appliance", "providers", "admin_ui")


def named_layers(root: Path) -> set[str]:
    """Every module that the layers contract of this tree names."""
    config = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert set(config["root_packages"]) == set(PACKAGES)
    (contract,) = [contract for contract in config["contracts"] if contract["type"] == "layers"]
    return {name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")}


def unnamed(root: Path) -> set[str]:
    """Modules and packages directly below ``appliance`` that no layer covers, and faces likewise."""
    found = {
        f"{package}.{path.stem}"
        for package in PACKAGES
        for path in (root / package).iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path.is_dir() and any(path.rglob("*.py")))
    }
    layers = named_layers(root)
    return {module for module in found if module not in layers and module.partition(".")[0] not in layers}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter as the check command does, on the modules of this tree."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, text=True, capture_output=True, check=False, timeout=100,
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the product that may be broken."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_package_is_named_in_the_layers_contract() -> None:
    """What no layer names is not checked at all."""
    assert unnamed(ROOT) == set()


def test_package_missing_from_the_contract_is_found(tree: Path) -> None:
    """The test above would notice a new package and a new module."""
    (tree / "appliance" / "novelty").mkdir()
    (tree / "appliance" / "novelty" / "__init__.py").touch()
    (tree / "appliance" / "oddity.py").touch()
    (tree / "providers" / "face").mkdir()
    (tree / "providers" / "face" / "__init__.py").touch()
    assert unnamed(tree) == {"appliance.novelty", "appliance.oddity"}


def test_contract_holds(tree: Path) -> None:
    """The linter is content, with all contracts checked."""
    done = lint(tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("appliance/errors.py", "import appliance.config", "imports go one way"),
        ("appliance/backends/trespass.py", "import appliance.db", "imports go one way"),
        ("appliance/files/trespass.py", "import providers.dav", "imports go one way"),
        ("appliance/accounts/trespass.py", "import appliance.shares", "imports go one way"),
        ("admin_ui/trespass.py", "import providers.http", "imports go one way"),
        ("appliance/app.py", "import wsgidav", "the product knows neither HTTP libraries nor HTML"),
        ("appliance/serve/trespass.py", "import cheroot.server", "the product knows neither HTTP libraries nor HTML"),
        ("appliance/cli/trespass.py", "import jinja2", "the product knows neither HTTP libraries nor HTML"),
        ("providers/http/trespass.py", "import wsgidav.util", "wsgidav only in providers.dav"),
        ("providers/dav/trespass.py", "import cheroot.wsgi", "cheroot only in providers.http"),
        ("providers/dav/trespass.py", "import jinja2", "jinja2 only in admin_ui"),
        ("appliance/upkeep/trespass.py", "import apscheduler.triggers", "apscheduler only in appliance.jobs"),
        ("appliance/chunks/trespass.py", "import minio.error", "minio and urllib3 only in appliance.backends"),
        ("appliance/serve/trespass.py", "import urllib3.util", "minio and urllib3 only in appliance.backends"),
        ("appliance/serve/trespass.py", "import yaml", "yaml only in appliance.config"),
    ],
)
def test_contract_broken_on_purpose_fails_and_names_the_line(tree: Path, module: str, line: str, contract: str) -> None:
    """Each contract bites, and says where."""
    path = tree / module
    lines = [*(path.read_text(encoding="utf-8").splitlines() if path.exists() else []), line]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = lint(tree)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"^{contract} BROKEN$", done.stdout, re.MULTILINE)
    name = module.removesuffix(".py").replace("/", ".")
    assert re.search(rf"{re.escape(name)} -> \S+ \(l\.{len(lines)}\)", done.stdout)

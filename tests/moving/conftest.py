"""A store that is filled once and copied, and empty databases to move it to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.moving.places import copied
from tests.support.databases import PostgresqlTemplate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made in a process of its own, whose end gives the folder back."""
    data = tmp_path_factory.mktemp("filled") / "data"
    code = "import sys, pathlib; from tests.moving.places import populate; populate(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(data)], cwd=ROOT, check=True, timeout=100)
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    """A folder of the test's own."""
    return copied(filled, tmp_path / "store")


@pytest.fixture
def empty(postgresql_template: PostgresqlTemplate) -> Iterator[str]:
    """The URL of a database without a table."""
    with postgresql_template.another() as url:
        yield url

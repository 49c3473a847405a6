"""The database that servers of tests begin with: migrated, and without a row, as a start leaves it that is killed then.

Migrations would be half of what such a server costs. A test of the first start makes its ``Server`` by itself.
"""

from __future__ import annotations

import functools
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.databases import SqliteTemplate


def place_database(data: Path) -> None:
    """Make the data folder, with the database in it."""
    data.mkdir(mode=0o700)
    path = data / "holdfast.db"
    path.touch(mode=0o600)
    path.write_bytes(_migrated())


@functools.cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        return SqliteTemplate(Path(folder)).path.read_bytes()

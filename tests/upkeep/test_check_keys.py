"""``check`` between the data keys of the table and the blob that keeps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.backends.disk import DiskBackend
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.sealing import wrapping
from appliance.upkeep.check import check
from tests.sealing.keeping import Keeping
from tests.support.databases import on_sqlite

pytestmark = on_sqlite


@pytest.fixture
def keeping(database: Database, backend: DiskBackend, folder: Path) -> Keeping:
    """A store with two data keys."""
    made = Keeping(database, backend, folder)
    made.start()
    made.change().rotate()
    return made


def kinds(keeping: Keeping) -> list[str]:
    """The kinds of all findings."""
    return [finding.kind for finding in check(keeping.database, keeping.plain, read_data=False).findings]


def run(keeping: Keeping, text: str) -> None:
    """Change rows behind the product's back."""
    keeping.database.write(lambda session: session.run(Sql(text)))


def test_check_with_agreeing_keys_is_clean(keeping: Keeping) -> None:
    """The blob is no leftover either."""
    report = check(keeping.database, keeping.open(), read_data=True)
    assert report.findings == []
    assert report.notes == []


def remove(keeping: Keeping) -> None:
    """The blob is gone."""
    keeping.plain.delete("keys")


def spoil(keeping: Keeping) -> None:
    """It cannot be read."""
    keeping.plain.put("keys", [b"{"])


def forget(keeping: Keeping) -> None:
    """The database has a key that the blob lacks."""
    run(keeping, "INSERT INTO data_key VALUES ('00112233aabbccdd', x'00', '', 1, 2)")


def change(keeping: Keeping) -> None:
    """The blob has it with another byte, so that it opens nothing."""
    first, *others = wrapping.read_blob(keeping.plain, keeping.store_id)
    changed = first._replace(wrapped=bytes([first.wrapped[0] ^ 1, *first.wrapped[1:]]))
    wrapping.write_blob(keeping.plain, keeping.store_id, [changed, *others])


@pytest.mark.parametrize(("damage", "count"), [(remove, 2), (spoil, 1), (forget, 1), (change, 1)])
def test_check_with_a_key_that_only_the_database_has_finds_it(
    keeping: Keeping, damage: Callable[[Keeping], None], count: int
) -> None:
    """A store could not be rebuilt from its blobs."""
    damage(keeping)
    assert kinds(keeping) == ["data-key"] * count


@pytest.mark.parametrize("value", ["1", "NULL"])
def test_check_with_none_or_two_keys_in_use_finds_it(keeping: Keeping, value: str) -> None:
    """Exactly one is not retired."""
    run(keeping, f"UPDATE data_key SET retired_at = {value}")
    assert kinds(keeping) == ["data-key-newest"]

"""Uploads with one thing broken: the check finds exactly that."""

from __future__ import annotations

import pytest

from appliance.files.context import Files
from appliance.principal import Principal
from appliance.upkeep.check import check
from tests.files.person import Person
from tests.support.content import MIB, noise
from tests.support.damage import Damage
from tests.support.databases import on_sqlite
from tests.uploads.uploader import Uploader, part_of

CONTENT = noise(72 * MIB, seed=8)
FIRST = "(SELECT SUBSTR(manifest, 2, 32) FROM upload_part WHERE number = 1)"
BREAKS: dict[str, tuple[str, ...]] = {
    "upload-tree": ("UPDATE upload SET user_id = 99",),
    "upload-sums/bytes": ("UPDATE upload SET received = received + 1",),
    "upload-sums/parts": ("UPDATE upload SET parts = parts - 1",),
    "upload-part": ("INSERT INTO upload_part VALUES (99, 1, 0, 'e', 0, NULL, x'45')",),
    "upload-size": (
        "UPDATE upload_part SET size = size - 1 WHERE number = 2",
        "UPDATE upload SET received = received - 1",
    ),
    "upload-manifest/part": ("UPDATE upload_part SET seam = x'44' WHERE number = 2",),
    "upload-manifest/kind": ("UPDATE upload_part SET seam = x'58' WHERE number = 2",),
    "upload-manifest/small": (f"UPDATE upload SET entries = x'53{'00' * 36}'",),
    "upload-content/segment": ("DELETE FROM segment",),
    "upload-content/length": (f"UPDATE chunk SET length = length + 1 WHERE id = {FIRST}",),
}


@pytest.fixture
def half(files: Files, principal: Principal) -> Uploader:
    """Somebody who has sent most parts of a file, some of them put together already."""
    alice = Uploader.of(Person(files, principal))
    upload = alice.begin("/file", len(CONTENT), part_size=MIB)
    for number in range(1, 72):
        alice.put(upload, number, part_of(CONTENT, MIB, number))
    return alice


@on_sqlite
def test_check_with_one_thing_broken_finds_exactly_that(half: Uploader, damage: Damage) -> None:
    """One wrong row, one kind of finding; clean before, and afterwards."""
    files = half.person.files
    names = ("upload", "upload_part", "segment", "chunk")
    before = {name: half.person.rows(f"SELECT * FROM {name}") for name in names}
    assert check(files.database, files.chunks.backend, read_data=False).findings == []
    for name, statements in BREAKS.items():
        assert all(damage.sql(statement) for statement in statements), name
        found = check(files.database, files.chunks.backend, read_data=False).findings
        kinds = {finding.kind for finding in found}
        # A chunk whose row is wrong is wrong for the segment that names it as well.
        also = {"segment-content", "chunk-form", "garbage"} if name.startswith("upload-content") else set()
        kind = name.partition("/")[0]
        assert kind in kinds, name
        assert kinds - also == {kind}, name
        for table, rows in before.items():
            damage.sql(f"DELETE FROM {table}")
            for row in rows:
                marks = {f"c{index}": cell for index, cell in enumerate(row)}
                damage.sql(f"INSERT INTO {table} VALUES ({', '.join(':' + mark for mark in marks)})", **marks)
    assert check(files.database, files.chunks.backend, read_data=True).findings == []

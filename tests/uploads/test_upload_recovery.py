"""An unclean stop with ``durability: fast`` in the middle of an upload: parts whose bytes were lost come again."""

from __future__ import annotations

import io

import pytest

from appliance.backends.disk import DiskBackend
from appliance.chunks import identity
from appliance.upkeep import durable
from appliance.upkeep.check import check
from appliance.uploads import stream
from appliance.uploads.rows import Upload
from tests.support.content import MIB, noise
from tests.support.damage import Damage
from tests.support.databases import on_sqlite
from tests.uploads.uploader import Uploader, part_of

PARTS = 40
CONTENT = noise(PARTS * MIB, seed=6)


def recover(alice: Uploader) -> None:
    """What the next start does; what is left is clean."""
    backend = alice.person.files.chunks.backend
    assert isinstance(backend, DiskBackend)
    assert durable.recover(alice.person.files.database, backend) is not None
    identity.establish(alice.person.files.database, backend)
    assert check(alice.person.files.database, backend, read_data=True).findings == []


@on_sqlite
@pytest.mark.parametrize("part_size", [MIB, 0])
def test_parts_that_lost_bytes_are_taken_out(alice: Uploader, damage: Damage, part_size: int) -> None:
    """Wherever in the upload; a seam's chunks are lost with one as well. Of a stream, what follows goes too."""
    database = alice.person.files.database
    durable.begin_serving(database, fast=True)
    upload = alice.begin("/file", len(CONTENT), part_size=MIB)
    packs = {}
    for number in range(1, PARTS + 1):
        alice.put(upload, number, part_of(CONTENT, MIB, number))
        packs[number] = damage.packs()
    if not part_size:
        damage.sql("UPDATE upload SET part_size = 0")
    for number in (5, 30):
        for key in set(packs[number]) - set(packs[number - 1]):
            damage.delete(key)
    recover(alice)
    left = alice.status(upload)
    numbers = {number for number, _, _ in left.parts}
    assert left.upload.received == sum(size for _, size, _ in left.parts)
    assert left.upload.parts == len(numbers)
    if not part_size:
        assert max(numbers) < 5
        return
    assert {5, 30} & numbers == set()
    assert len(numbers) >= PARTS - 4
    for number in set(range(1, PARTS + 1)) - numbers:
        alice.put(upload, number, part_of(CONTENT, MIB, number))
    alice.complete(upload)
    alice.person.put("/whole", CONTENT)
    assert alice.manifest("/file") == alice.manifest("/whole")


@on_sqlite
def test_seam_that_lost_bytes_is_made_again(alice: Uploader, damage: Damage) -> None:
    """Its parts stay."""
    durable.begin_serving(alice.person.files.database, fast=True)
    upload = alice.begin("/file", 3 * MIB, part_size=MIB)
    for number in (1, 3):
        alice.put(upload, number, part_of(CONTENT, MIB, number))
    before = set(damage.packs())
    alice.put(upload, 2, part_of(CONTENT, MIB, 2))
    # The part's own pack comes first, then those of the two seams.
    _, *seams = sorted(set(damage.packs()) - before)
    for key in seams:
        damage.delete(key)
    recover(alice)
    assert len(alice.status(upload).parts) == 3
    assert alice.person.rows("SELECT COUNT(*) FROM upload_part WHERE seam IS NULL") == [(3,)]
    alice.complete(upload)
    assert alice.person.get("/file") == CONTENT[: 3 * MIB]


@on_sqlite
def test_stream_that_lost_bytes_goes_on_from_before_them(alice: Uploader, damage: Damage) -> None:
    """The client is told an offset that holds, and the file is whole in the end."""
    durable.begin_serving(alice.person.files.database, fast=True)
    upload = alice.begin("/file", len(CONTENT), part_size=0)
    packs = []
    for start in range(0, 6 * MIB, MIB):
        packs.append(set(damage.packs()))
        _append(alice, upload, start, CONTENT[start : start + MIB])
    for key in packs[3] - packs[2]:
        damage.delete(key)
    recover(alice)
    left = alice.status(upload).upload
    assert left.offset == left.received <= 2 * MIB
    assert left.offset % MIB == 0
    _append(alice, upload, left.offset, CONTENT[left.offset :])
    stream.complete_whole(alice.uploads, alice.person.principal, alice.status(upload).upload)
    alice.person.put("/whole", CONTENT)
    assert alice.person.get("/file") == CONTENT
    assert alice.manifest("/file") == alice.manifest("/whole")


def _append(who: Uploader, upload: Upload, offset: int, data: bytes) -> None:
    body = io.BytesIO(data)
    stream.append(who.uploads, who.person.principal, upload.token, offset, body, length=len(data))

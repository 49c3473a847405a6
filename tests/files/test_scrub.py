"""Scrub names exactly what is damaged, whatever was done to a store; reading goes on, and an upload heals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from appliance import faults
from appliance.accounts import users
from appliance.chunks import packing
from appliance.chunks.pack import HEADER_SIZE
from appliance.errors import BackendError, Damaged, HoldfastError
from appliance.upkeep import scrub
from appliance.upkeep.prune import prune
from appliance.upkeep.scrub_status import status
from tests.files.person import Person
from tests.files.scrubbing import checked, chunks_in, open_findings, outcomes, pack_of, scrub_all
from tests.support.content import MIB, noise, prose
from tests.support.damage import Damage
from tests.support.databases import on_sqlite
from tests.support.faults import BackendProxy

FILM = noise(3 * MIB)
TEXT = prose(300_000)


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB)


@pytest.fixture
def anna(alice: Person) -> Person:
    """With a film of several packs, a text in one, and small content."""
    alice.put("/film", FILM)
    alice.put("/text", TEXT)
    alice.put("/small", b"small content")
    return alice


def fails_to_read(who: Person, path: str) -> None:
    """A clean error, and not one wrong byte."""
    with pytest.raises(Damaged):
        who.get(path)


def heals(who: Person, path: str, content: bytes) -> None:
    """The same content again, and everything is as it was."""
    who.put(path, content)
    assert who.get(path) == content
    assert open_findings(who) == []
    assert checked(who) == []
    scrub_all(who)
    assert open_findings(who) == []


def test_intact_store_has_no_findings(anna: Person) -> None:
    """All packs and tables were read, and are verified from then on."""
    began = scrub.clock.now()
    done = scrub_all(anna)
    assert done.packs == len(anna.rows("SELECT id FROM pack")) >= 4
    assert done.bytes == anna.rows("SELECT SUM(size) FROM pack")[0][0]
    assert done.pages >= 3
    assert open_findings(anna) == []
    found = status(anna.files.database)
    assert began <= found.verified_since <= scrub.clock.now()
    assert found[2:] == (0, 0)
    assert found.stored_bytes > len(FILM)


def test_flipped_bit_is_one_chunk(anna: Person, damage: Damage) -> None:
    """Others are read, also of the same pack; the damaged one is no more than an error."""
    pack_id, key = pack_of(anna)
    digest, offset, size = chunks_in(anna, pack_id)[2]
    damage.flip(key, offset + size // 2)
    assert scrub_all(anna).findings == 1
    assert open_findings(anna) == [("chunk", digest)]
    assert checked(anna) == ["chunk-damaged"]
    assert anna.get("/text") == TEXT
    fails_to_read(anna, "/film")
    heals(anna, "/film", FILM)
    assert outcomes(anna) == {"healed": 1}
    assert status(anna.files.database)[2:] == (0, 1)


def test_truncated_pack_is_its_frame_and_what_was_cut_off(anna: Person, damage: Damage) -> None:
    """Chunks before the cut are intact, and not called damaged."""
    pack_id, key = pack_of(anna)
    cut = chunks_in(anna, pack_id)[4][1] + 10
    damage.truncate(key, cut)
    scrub_all(anna)
    lost = [("chunk", digest) for digest, offset, size in chunks_in(anna, pack_id) if offset + size > cut]
    assert open_findings(anna) == sorted([*lost, ("frame", str(pack_id))])
    assert sorted(checked(anna)) == sorted(["pack-size", *["chunk-damaged"] * len(lost)])
    assert anna.get("/text") == TEXT
    fails_to_read(anna, "/film")
    anna.put("/film", FILM)
    assert anna.get("/film") == FILM
    assert open_findings(anna) == [("frame", str(pack_id))], "its index is still lost"


def test_deleted_pack_is_all_that_lay_in_it(anna: Person, damage: Damage) -> None:
    """When all of it was stored anew nothing is left of it, its row neither."""
    pack_id, key = pack_of(anna)
    lost = chunks_in(anna, pack_id)
    damage.delete(key)
    scrub_all(anna)
    assert open_findings(anna) == sorted([("pack", str(pack_id)), *(("chunk", digest) for digest, _, _ in lost)])
    assert checked(anna) == ["pack-missing"]
    assert status(anna.files.database).damaged == len(lost)
    fails_to_read(anna, "/film")
    heals(anna, "/film", FILM)
    assert anna.rows(f"SELECT dropped_at IS NULL FROM pack WHERE id = {pack_id}") == [(False,)]
    assert outcomes(anna) == {"healed": len(lost) + 1}


def test_lost_table_of_chunks_is_every_chunk_that_a_version_names(anna: Person, damage: Damage) -> None:
    """Packs are intact; small content is still read."""
    lost = [digest for (pack_id,) in anna.rows("SELECT id FROM pack") for digest, _, _ in chunks_in(anna, pack_id)]
    damage.sql("DELETE FROM chunk")
    scrub_all(anna)
    assert open_findings(anna) == sorted(("chunk", digest) for digest in lost)
    assert anna.get("/small") == b"small content"
    fails_to_read(anna, "/text")
    anna.put("/text", TEXT)
    heals(anna, "/film", FILM)


@pytest.mark.parametrize("from_end", [1, 40, 200])
def test_damaged_index_is_the_frame_alone(anna: Person, damage: Damage, from_end: int) -> None:
    """Every chunk is read by its row."""
    pack_id, key = pack_of(anna)
    size = anna.files.chunks.backend.head(key) or 0
    damage.flip(key, size - from_end)
    scrub_all(anna)
    assert open_findings(anna) == [("frame", str(pack_id))]
    assert anna.get("/film") == FILM


def test_bytes_that_were_appended_are_the_frame(anna: Person, damage: Damage) -> None:
    """A blob has the length that was written."""
    pack_id, key = pack_of(anna)
    damage.append(key, b"x")
    scrub_all(anna)
    assert open_findings(anna) == [("frame", str(pack_id))]


@pytest.mark.parametrize(
    "change", ['"offset" = "offset" + 1', "xxh3 = xxh3 + 1", "length = length + 1", "pack_id = :other"]
)
def test_wrong_row_of_a_chunk_is_that_chunk(anna: Person, damage: Damage, change: str) -> None:
    """The pack's own index says otherwise, and the bytes are not there where the row says."""
    pack_id, _ = pack_of(anna)
    other, _ = pack_of(anna, first=False)
    digest = chunks_in(anna, pack_id)[1][0]
    damage.sql(f"UPDATE chunk SET {change} WHERE id = :id AND 0 < :other", id=bytes.fromhex(digest), other=other)
    scrub_all(anna)
    assert open_findings(anna) == [("chunk", digest)]
    scrub_all(anna)
    assert open_findings(anna) == [("chunk", digest)], "it is not intact for being looked at again"
    heals(anna, "/film", FILM)


@pytest.mark.parametrize(
    ("table", "path", "content"), [("small", "/small", b"small content"), ("segment", "/film", FILM)]
)
@pytest.mark.parametrize("spoil", ["DELETE FROM {}", "UPDATE {} SET data = :zeros"])
def test_content_in_tables_is_found_and_healed(
    anna: Person, damage: Damage, table: str, path: str, content: bytes, spoil: str
) -> None:
    """Wrong bytes in a row, and a row that is gone."""
    (row,) = anna.rows(f"SELECT sha256 FROM {table}")
    damage.sql(spoil.format(table), zeros=bytes(72))
    scrub_all(anna)
    assert open_findings(anna) == [(table, bytes(row[0]).hex())]
    fails_to_read(anna, path)
    heals(anna, path, content)


def test_what_is_intact_again_is_closed(anna: Person, damage: Damage) -> None:
    """As after somebody put the right blob back."""
    pack_id, key = pack_of(anna)
    _, offset, _ = chunks_in(anna, pack_id)[2]
    for _ in range(2):
        damage.flip(key, offset)
        scrub_all(anna)
        assert len(open_findings(anna)) == 1
        damage.flip(key, offset)
        scrub_all(anna)
        assert open_findings(anna) == []
    assert outcomes(anna) == {"intact": 2}
    blob = damage.take(key)
    scrub_all(anna)
    assert len(open_findings(anna)) > 5
    damage.put_back(key, blob)
    scrub_all(anna)
    assert open_findings(anna) == []
    assert checked(anna) == []


class Troubled(BackendProxy):
    """Reads of packs fail as told."""

    def __init__(self, who: Person, fails: Callable[[int], bool]) -> None:
        super().__init__(who.files.chunks.backend)
        self._fails = fails
        self.gets = 0

    def get(self, key: str, start: int, length: int) -> bytes:
        self.gets += 1
        if key.startswith("packs/") and self._fails(self.gets):
            raise BackendError(key=key, reason="Input/output error", temporary=True)
        return super().get(key, start, length)


@on_sqlite
def test_error_that_passes_is_no_damage(anna: Person) -> None:
    """Whatever fails is read once more."""
    failed: set[str] = set()

    class Tired(BackendProxy):
        """Fails at the first read of each pack, in the middle of those of its frame."""

        def get(self, key: str, start: int, length: int) -> bytes:
            if start > 0 and key not in failed:
                failed.add(key)
                raise BackendError(key=key, reason="the disk was asleep")
            return super().get(key, start, length)

    scrub.everything(anna.files.database, Tired(anna.files.chunks.backend))
    assert len(failed) == len(anna.rows("SELECT id FROM pack"))
    assert open_findings(anna) == []


@on_sqlite
def test_disk_that_cannot_read_any_more_is_damage(anna: Person, damage: Damage) -> None:
    """All that lies there; a read finds the same, and the disk may do better later."""
    scrub.everything(anna.files.database, Troubled(anna, lambda gets: True))
    packs = [each for each in open_findings(anna) if each[0] == "pack"]
    assert len(packs) == len(anna.rows("SELECT id FROM pack"))
    assert len(open_findings(anna)) == len(packs) + len(anna.rows("SELECT id FROM chunk"))
    scrub_all(anna)
    assert open_findings(anna) == []


def test_blobs_that_are_not_mounted_are_no_damage(anna: Person, damage: Damage) -> None:
    """A million findings would be wrong, and heal nothing."""
    damage.hide()
    with pytest.raises(BackendError, match="not there"):
        scrub_all(anna)
    assert open_findings(anna) == []
    damage.unhide()
    scrub_all(anna)
    assert open_findings(anna) == []


@on_sqlite
def test_interrupted_run_goes_on_where_it_was(anna: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pack is read once, however often it was interrupted."""
    monkeypatch.setattr(scrub, "_AT_A_TIME", 1)
    packs = len(anna.rows("SELECT id FROM pack"))
    runs = 0

    def interrupt(name: str) -> None:
        if name == "scrub.noted":
            raise BackendError(key="", reason="interrupted")

    while runs < 2:
        with faults.hooked(interrupt), pytest.raises(BackendError, match="interrupted"):
            scrub_all(anna)
        runs += 1
    assert scrub_all(anna).packs == packs - runs
    assert scrub_all(anna).packs == packs


@on_sqlite
def test_more_lost_rows_than_are_told_are_one_finding(
    anna: Person, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Millions of them would fill the database."""
    monkeypatch.setattr("appliance.upkeep.scrub_rows.MISSING_TOLD", 5)
    damage.sql("DELETE FROM chunk")
    scrub_all(anna)
    assert [what for what, _ in open_findings(anna)] == ["chunk"] * 5 + ["rows"]


@on_sqlite
def test_header_of_another_store_is_the_frame(anna: Person, damage: Damage) -> None:
    """A blob of the right size from a neighbour's store."""
    pack_id, key = pack_of(anna)
    damage.flip(key, HEADER_SIZE - 10)
    scrub_all(anna)
    assert open_findings(anna) == [("frame", str(pack_id))]


def test_scrub_while_others_store_and_remove_finds_nothing(anna: Person) -> None:
    """What is pruned under its eyes was not lost."""
    until = time.monotonic() + 4
    failed: list[BaseException] = []

    def work(number: int) -> None:
        turn = 0
        while time.monotonic() < until:
            turn += 1
            somebody = anna.newcomer(f"somebody{number}-{turn}")
            somebody.put("/film", noise(2 * MIB, seed=turn % 3))
            somebody.put("/small", noise(100, seed=turn))
            users.purge_user(anna.files.database, somebody.user)
            anna.files.chunks.writers.renew()
            prune(anna.files.database, anna.files.chunks.backend)

    def guarded(number: int) -> None:
        try:
            work(number)
        except HoldfastError as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    runs = 0
    while time.monotonic() < until:
        scrub_all(anna)
        runs += 1
    for thread in threads:
        thread.join()
    assert failed == []
    assert runs > 2
    assert anna.rows("SELECT * FROM finding") == []

"""Prune beside uploads, copies and other writers: what somebody is about to name stays."""

from __future__ import annotations

import contextlib
import random
import threading

import pytest

from appliance import faults
from appliance.chunks import packing
from appliance.db.sql import Sql
from appliance.errors import Unavailable
from appliance.upkeep import manifests
from appliance.upkeep.prune import prune
from tests.files.person import Person
from tests.files.pruning import (
    LARGE,
    OTHER,
    at_point,
    blobs,
    count,
    cut,
    held_up,
    prune_of,
    prune_ripe,
)
from tests.support.content import MIB, OpenStore, noise
from tests.support.faults import DatabaseProxy, in_threads
from tests.support.unnamed import unnamed


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB // 2)


def test_slow_upload_keeps_everything_that_it_has_stored(alice: Person) -> None:
    """Through any number of runs, and so does what it found; what broke off in its time waits for its end."""
    cut(alice, "/before")
    with held_up(alice, "/slow", LARGE) as put:
        packs = blobs(alice)
        for number in range(3):
            cut(alice, "/other", noise(7 * MIB, 10 + number))
            assert prune_ripe(alice).chunks == 0
        assert count(alice, "garbage") >= 4
        assert blobs(alice) > packs
    put.result()
    prune_ripe(alice)
    assert alice.get("/slow") == LARGE
    assert (count(alice, "garbage"), unnamed(alice.files.database)) == (0, [])


@pytest.mark.parametrize("point", ["prune.raised", "prune.marked", "prune.forgotten", "prune.dropped", "prune.removed"])
def test_upload_of_the_same_bytes_during_a_run_is_whole(alice: Person, point: str) -> None:
    """Whatever the run has taken by then: what is found is spared, what is gone is stored again."""
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()
    with at_point(point, lambda: alice.put("/film", LARGE)) as passed:
        prune_of(alice)
    assert passed
    assert alice.get("/film") == LARGE
    prune_ripe(alice)
    assert alice.get("/film") == LARGE
    assert unnamed(alice.files.database) == []


@pytest.mark.parametrize("at", [0, 6 * MIB])
def test_upload_that_began_before_the_run_and_finds_chunks_during_it_is_whole(alice: Person, at: int) -> None:
    """It is under way when the run reads what manifests name, and names what was left before."""
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()
    with held_up(alice, "/film", LARGE, at=at) as put:
        with at_point("prune.marked", put.finish) as passed:
            pruned = prune_of(alice)
        assert passed
    assert alice.get("/film") == LARGE
    assert pruned.chunks == 0 or at == 0


@pytest.mark.parametrize("point", ["prune.marked", "prune.forgotten"])
def test_copy_during_a_run_is_whole(alice: Person, point: str) -> None:
    """A copy names without storing; what it is a copy of was named when the run looked."""
    alice.put("/film", LARGE)
    cut(alice, "/other", OTHER)
    prune_of(alice)
    alice.files.chunks.writers.renew()
    with at_point(point, lambda: alice.copy("/film", "/copy").node) as passed:
        assert prune_of(alice).blobs > 0
    assert passed
    assert alice.get("/copy") == LARGE


def test_chunk_that_is_found_right_before_it_would_be_deleted_stays(alice: Person) -> None:
    """The run has read that nobody names it; the statement that deletes sees that somebody wants it."""
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()
    marked: list[str] = []

    def before_write() -> None:
        if "prune.marked" in marked and not alice.exists("/film"):
            alice.put("/film", LARGE)

    with faults.hooked(marked.append):
        prune(DatabaseProxy(alice.files.database, before_write), alice.files.chunks.backend)
    assert alice.get("/film") == LARGE


def test_least_epoch_of_all_writers_counts(alice: Person, open_store: OpenStore) -> None:
    """One process holds a slow upload, another one begins in the new epoch."""
    other = open_store(alice.files.database, alice.files.chunks.backend)
    with held_up(alice, "/slow", LARGE):
        cut(alice, "/film", OTHER)
        prune_of(alice)
        with other.writers.write() as write:
            assert write.epoch == 2
        assert prune_ripe(alice).chunks == 0
    assert alice.get("/slow") == LARGE
    other.writers.retire()
    assert prune_ripe(alice).chunks > 0


def test_upload_that_finds_what_another_left_and_breaks_off_as_well_leaves_nothing(alice: Person) -> None:
    """It has stored nothing itself, and what it found is wanted for longer: that is one more reason to look."""
    cut(alice, "/film")
    prune_of(alice)
    alice.files.chunks.writers.renew()
    cut(alice, "/film", LARGE, at=3 * MIB)
    prune_of(alice)
    assert (unnamed(alice.files.database) != []) == (count(alice, "garbage") > 0)
    prune_ripe(alice)
    assert (unnamed(alice.files.database), count(alice, "garbage")) == ([], 0)


def test_manifest_that_moves_while_they_are_read_is_not_missed(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where the run has not been yet to where it was already: manifests are read as they are at one moment."""
    alice.put("/first", b"")
    alice.put("/last", LARGE)
    cut(alice, "/other", OTHER)
    prune_of(alice)
    alice.files.chunks.writers.renew()
    first, last = (alice.node(path).id for path in ("/first", "/last"))
    monkeypatch.setattr(manifests, "_VERSIONS", Sql(manifests._VERSIONS.text.replace("LIMIT 2000", "LIMIT 1")))
    move = Sql("UPDATE version SET node_id = :target, seq = seq + :by WHERE node_id = :source AND size > 0")
    calls = iter(range(1_000_000))

    def stopping() -> bool:
        # The first call comes with the first page, which is the first file's.
        if next(calls) == 0:
            alice.files.database.write(lambda session: session.run(move, source=last, target=first, by=-1000))
        return False

    assert prune(alice.files.database, alice.files.chunks.backend, stopping=stopping).blobs > 0
    alice.files.database.write(lambda session: session.run(move, source=first, target=last, by=1000))
    assert alice.get("/last") == LARGE


def _storm(alice: Person, done: threading.Event, seed: int) -> dict[str, bytes]:
    """Uploads of contents that all threads know, most of them broken off; returns what was acknowledged."""
    rng = random.Random(seed)
    acknowledged = {}
    for number in range(25):
        content = noise(6 * MIB, 100 + rng.randrange(12))[: rng.choice([3_000, 200_000, 6 * MIB, 6 * MIB, 6 * MIB])]
        path = f"/{seed}-{number}"
        if rng.random() < 0.7:
            cut(alice, path, content)
            continue
        with contextlib.suppress(Unavailable):
            alice.put(path, content)
            acknowledged[path] = content
    done.set()
    return acknowledged


def test_uploads_beside_runs_without_end_lose_nothing_and_leave_nothing(alice: Person) -> None:
    """Same chunks found, stored, broken off and forgotten at the same time; in the end only what is named is there."""
    done = [threading.Event() for _ in range(3)]
    runs = []

    def work(number: int) -> dict[str, bytes]:
        if number < 3:
            return _storm(alice, done[number], number)
        while not all(event.is_set() for event in done):
            alice.files.chunks.writers.renew()
            runs.append(prune_of(alice))
        return {}

    acknowledged: dict[str, bytes] = {}
    for each in in_threads(4, work, seconds=240):
        acknowledged |= each
    assert len(acknowledged) > 10
    for path, content in acknowledged.items():
        assert alice.get(path) == content
    prune_ripe(alice)
    assert (unnamed(alice.files.database), count(alice, "garbage")) == ([], 0)
    assert blobs(alice) == count(alice, "pack")
    assert sum(run.chunks for run in runs) > 0, "no run met anything"

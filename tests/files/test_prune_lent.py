"""No blob goes while somebody may have a URL of it: whoever reads past the server is never cut off by prune."""

from __future__ import annotations

import pytest

from appliance import clock
from appliance.accounts import users
from appliance.chunks import packing
from appliance.chunks.lending import Loan
from appliance.chunks.manifest import Entry
from appliance.files import read
from appliance.tree.paths import parse
from appliance.upkeep.dropped import SKEW_S
from appliance.upkeep.merging import small_packs
from appliance.upkeep.prune import Pruned, prune, tidy
from tests.files.conftest import Clock
from tests.files.person import Person
from tests.files.pruning import LARGE, blobs, count, stored
from tests.support.content import MIB, noise
from tests.support.giving import Giving

URL_S = 77


@pytest.fixture(autouse=True)
def packs_of_half_a_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of several packs needs few megabytes."""
    monkeypatch.setattr(packing, "PACK_SIZE", MIB // 2)


@pytest.fixture
def giving(alice: Person) -> Giving:
    """Her backend, with URLs."""
    return Giving(alice.files.chunks.backend, seconds=URL_S)


def lend(who: Person, giving: Giving, path: str, monkeypatch: pytest.MonkeyPatch) -> Loan:
    """All chunks of a file."""
    chunks = who.files.chunks
    opened = read.open_path(who.files, who.principal, parse(path))
    entries: list[Entry] = chunks.entries(opened.manifest, 0, 10_000)
    with monkeypatch.context() as patched:
        patched.setattr(chunks, "backend", giving)
        loan = chunks.lend(entries)
    assert len(loan.chunks) == len({entry.id for entry in entries}) > 0
    return loan


def are_there(loan: Loan, giving: Giving) -> bool:
    """Whether all that was lent can be read."""
    sizes = [giving.head(run.url.split()[0]) for run in loan.runs]
    return all(size is not None and size >= run.end for size, run in zip(sizes, loan.runs, strict=True))


def prune_twice(who: Person, giving: Giving) -> Pruned:
    """With the renewal of leases in between."""
    prune(who.files.database, giving)
    who.files.chunks.writers.renew()
    return prune(who.files.database, giving)


def test_blob_stays_until_every_url_of_it_has_expired(
    alice: Person, giving: Giving, wall: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows go at once; the blobs when the clocks of all agree that it is over."""
    bob = alice.newcomer("bob")
    bob.put("/film", LARGE)
    loan = lend(bob, giving, "/film", monkeypatch)
    users.purge_user(alice.files.database, bob.user)
    done = prune_twice(alice, giving)
    packs = blobs(alice)
    assert (stored(alice), done.blobs, done.waiting) == (0, 0, packs)
    assert packs > 3
    wall.at = loan.expires_at
    assert prune(alice.files.database, giving).waiting == packs
    assert are_there(loan, giving)
    wall.advance(SKEW_S - 1)
    assert (prune(alice.files.database, giving).waiting, blobs(alice)) == (packs, packs)
    wall.advance(1)
    done = prune(alice.files.database, giving)
    assert (done.blobs, done.waiting, blobs(alice), count(alice, "pack")) == (packs, 0, 0, 0)


def test_pack_that_was_merged_stays_as_well(
    alice: Person, giving: Giving, wall: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is not gone, and what was told of where it lies is still right for a while."""
    content = [noise(20_000, seed) for seed in range(20)]
    for number, each in enumerate(content):
        alice.put(f"/{number}", each)
    loan = lend(alice, giving, "/5", monkeypatch)
    before = blobs(alice)
    database = alice.files.database
    done = tidy(database, giving, small_packs(database), source=giving)
    assert (done.blobs, done.waiting) == (0, done.repacked)
    assert done.repacked > 5
    assert are_there(loan, giving)
    assert blobs(alice) > before
    wall.advance(URL_S + SKEW_S)
    assert prune(database, giving).blobs == done.repacked
    assert not are_there(loan, giving)
    assert [alice.get(f"/{number}") for number in range(20)] == content


def test_nothing_waits_where_no_urls_are_given(alice: Person, giving: Giving, wall: Clock) -> None:
    """Whatever the clocks say."""
    bob = alice.newcomer("bob")
    bob.put("/film", LARGE)
    users.purge_user(alice.files.database, bob.user)
    giving.seconds = 0
    wall.advance(-clock.DAY // clock.SECOND)
    done = prune_twice(alice, giving)
    assert (done.waiting, blobs(alice)) == (0, 0)
    assert done.blobs > 3

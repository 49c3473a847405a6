"""Every order of the steps of uploads, reads, prune, repacking, undo, sweep, the death of a writer and new epochs.

Real code on a real database: threads that hand over to each other at fault points, in orders that are walked through
one by one, or drawn by chance. Whatever the order is, what was acknowledged can be read, and in the end only what is
named is there.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from appliance.accounts import users
from appliance.chunks import packing
from appliance.db.sql import Sql
from appliance.errors import Unavailable
from appliance.files.context import Files
from appliance.upkeep import merging
from appliance.upkeep.check import check
from appliance.upkeep.prune import Policy, prune, undo
from appliance.upkeep.sweep import declare_all_dead, sweep
from tests.files.person import Person
from tests.files.pruning import blobs, count, prune_ripe
from tests.files.turns import Choose, Turns
from tests.support.content import OpenStore, noise
from tests.support.databases import on_sqlite
from tests.support.unnamed import unnamed

KIB = 1024
AT_ONCE = Policy()
HOLDS = Policy(quarantine_s=3600)
_IN_NO_PACK = """
    SELECT c.id FROM chunk c LEFT JOIN pack p ON p.id = c.pack_id AND p.dropped_at IS NULL WHERE p.id IS NULL
"""

# They stay for a day, and each would be swept in each round.
_FORGET_THE_DEAD = Sql("DELETE FROM writer WHERE state = 'dead'")


@pytest.fixture(autouse=True)
def tiny_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that little content makes several, and few are many."""
    monkeypatch.setattr(packing, "PACK_SIZE", 60 * KIB)
    monkeypatch.setattr(merging, "MERGED_FROM", 4)


class World:
    """Two processes over one store. Each round has contents of its own, of which somebody who is gone left most."""

    def __init__(self, alice: Person, other: Files) -> None:
        self.alice = alice
        self.other = Person(other, alice.principal)
        self.expected: dict[str, bytes] = {}
        self._round = 0

    def begin(self) -> None:
        """What was there before the round is kept; what bob leaves behind is garbage in part."""
        self._round += 1
        self.left = noise(180 * KIB, 2 * self._round)
        self.fresh = noise(70 * KIB, 2 * self._round + 1)
        bob = self.alice.newcomer(f"bob{self._round}")
        bob.put("/left", self.left)
        bob.put("/note", f"note {self._round}".encode())
        self.put(self.alice, "kept", self.left[: 50 * KIB])
        users.purge_user(self.alice.files.database, bob.user)

    def hold(self) -> None:
        """What was left is in quarantine, and there is one more reason to look."""
        self.renew()
        self.prune(HOLDS)
        self.renew()
        self.prune(HOLDS)
        ben = self.alice.newcomer(f"ben{self._round}")
        ben.put("/left", noise(20 * KIB, -self._round))
        users.purge_user(self.alice.files.database, ben.user)
        self.prune(HOLDS)
        self.renew()

    def put(self, who: Person, name: str, content: bytes) -> None:
        """Acknowledged, or refused because the writer counts as dead; then once more, as clients do."""
        path = f"/{self._round}-{name}"
        with contextlib.suppress(Unavailable):
            who.put(path, content)
            self.expected[path] = content

    # -- what goes on at the same time

    def store_again(self) -> None:
        """What was left is found, or stored anew; then a part of it with something new, and once more."""
        self.put(self.alice, "again", self.left)
        self.put(self.alice, "more", self.left[: 90 * KIB] + self.fresh)

    def store_elsewhere(self) -> None:
        """The same, by another process."""
        self.put(self.other, "elsewhere", self.left)
        self.put(self.other, "copy", self.fresh)

    def read(self) -> None:
        """What was there all the time, whole each time."""
        path = f"/{self._round}-kept"
        for _ in range(3):
            assert self.alice.get(path) == self.left[: 50 * KIB]

    def prune(self, policy: Policy = AT_ONCE) -> None:
        """Two runs: the epoch of the first is followed by whoever renews meanwhile."""
        for _ in range(2):
            prune(self.alice.files.database, self.alice.files.chunks.backend, policy)

    def renew(self) -> None:
        """Leases, and with them epochs."""
        for _ in range(2):
            self.alice.files.chunks.writers.renew()
            self.other.files.chunks.writers.renew()

    def die(self) -> None:
        """Both processes are taken for dead, and what they have not named is swept."""
        declare_all_dead(self.alice.files.database)
        sweep(self.alice.files.database, self.alice.files.chunks.backend)

    def undo(self) -> None:
        """What is in quarantine by then."""
        undo(self.alice.files.database)

    # -- afterwards

    def end(self) -> None:
        """No row was left without its pack; all that was acknowledged is there, and nothing else."""
        assert self.alice.rows(_IN_NO_PACK) == []
        self.renew()
        prune_ripe(self.alice)
        self.renew()
        sweep(self.alice.files.database, self.alice.files.chunks.backend)
        prune_ripe(self.alice)
        self.alice.files.database.write(lambda session: session.run(_FORGET_THE_DEAD))
        for path, content in self.expected.items():
            assert self.alice.get(path) == content
        assert unnamed(self.alice.files.database) == []
        assert (count(self.alice, "forgotten"), count(self.alice, "garbage")) == (0, 0)
        assert blobs(self.alice) == count(self.alice, "pack")
        if self._round % 20 == 0:
            assert check(self.alice.files.database, self.alice.files.chunks.backend, read_data=True).findings == []
            for path in self.expected:
                self.alice.remove(path)
            self.expected.clear()


@pytest.fixture
def world(alice: Person, open_store: OpenStore) -> World:
    """Over the store of ``alice``."""
    other = open_store(alice.files.database, alice.files.chunks.backend)
    return World(alice, Files(alice.files.database, other, max_file_bytes=1 << 40, free_bytes=lambda: None))


def switching(order: Sequence[tuple[str, int]]) -> Choose:
    """One actor for so many steps, then the next one; behind the last, whoever comes first."""
    plan: Iterator[str] = itertools.chain.from_iterable([name] * steps for name, steps in order)

    def choose(ready: Sequence[str]) -> str:
        for name in plan:
            if name in ready:
                return name
        return ready[0]

    return choose


@pytest.mark.parametrize("what", ["store_again", "store_elsewhere", "read", "undo"])
@pytest.mark.parametrize("policy", [AT_ONCE, HOLDS])
@pytest.mark.parametrize("stride", [14, pytest.param(1, marks=pytest.mark.soak)])
@on_sqlite
def test_every_order_of_one_beside_prune(world: World, what: str, policy: Policy, stride: int) -> None:
    """For each step of one and each step of the other: so far the one, then so far the other, then both to the end."""
    for one, other in itertools.product(range(0, 14, stride), range(16)):
        world.begin()
        world.renew()
        if what == "undo":
            world.hold()
        actors: dict[str, Callable[[], None]] = {what: getattr(world, what), "prune": lambda: world.prune(policy)}
        Turns(actors, switching([(what, one), ("prune", other), (what, 99)])).run()
        world.end()


def everybody(world: World, policy: Policy) -> dict[str, Callable[[], None]]:
    """All at the same time."""
    return {
        "again": world.store_again,
        "elsewhere": world.store_elsewhere,
        "read": world.read,
        "prune": lambda: world.prune(policy),
        "other prune": world.prune,
        "renew": world.renew,
        "die": world.die,
        "undo": world.undo,
    }


def walk(world: World, seeds: range) -> None:
    """An order by chance for each; some actors stay away."""
    for seed in seeds:
        chance = random.Random(seed)
        world.begin()
        actors = everybody(world, chance.choice([AT_ONCE, HOLDS]))
        for name in chance.sample(sorted(actors), chance.randrange(5)):
            del actors[name]
        turns = Turns(actors, chance.choice)
        try:
            turns.run()
            world.end()
        except BaseException:
            print(f"seed {seed}: {' '.join(turns.trace)}")
            raise


def test_orders_by_chance_lose_nothing_and_leave_nothing(world: World) -> None:
    """Eight actors, of which some stay away."""
    walk(world, range(40))


@pytest.mark.soak
@pytest.mark.parametrize("block", range(10))
def test_thousands_of_orders_by_chance(world: World, block: int) -> None:
    """The same for as long as it takes."""
    walk(world, range(1000 + 500 * block, 1500 + 500 * block))

"""Years of somebody's changes, and what the tree held after each of them."""

from __future__ import annotations

import random
from collections.abc import Iterator

from appliance import clock, moments, retention
from appliance.errors import HoldfastError, MomentGone
from appliance.files import read
from appliance.moments import Moment
from appliance.tree.paths import parse
from appliance.upkeep import expire
from appliance.upkeep.expire import Expired, Rules
from tests.files.conftest import Clock
from tests.files.person import Person

State = dict[str, bytes | None]
HOUR = 3600
DAY = 24 * HOUR
RULES = Rules(retention.parse(retention.DEFAULT), 30 * clock.DAY)


def run(alice: Person, rules: Rules = RULES) -> Expired:
    """A run at the wall clock's present."""
    return expire.expire(alice.files.database, rules)


def state_at(alice: Person, moment: Moment, path: str = "/") -> State:
    """Every file with its bytes, and every folder, as they were."""
    found: State = {}
    for node in read.list_path(alice.files, alice.principal, parse(path), members=True, moment=moment).members:
        below = f"{path.rstrip('/')}/{node.name}"
        found[below] = None
        if node.is_folder:
            found |= state_at(alice, moment, below)
        else:
            opened = read.open_path(alice.files, alice.principal, parse(below), moment=moment)
            found[below] = b"".join(map(bytes, read.content(alice.files, opened, 0, opened.node.bytes)))
    return found


class Life:
    """Random changes over years, with what the tree held after each of them."""

    def __init__(self, alice: Person, wall: Clock, seed: int) -> None:
        self.alice = alice
        self._wall = wall
        self._random = random.Random(seed)
        self.states: list[tuple[int, int, State]] = []
        alice.mkdir("/a", "/b", "/a/x")
        self._remember()

    def go_on(self, steps: int, most_s: float) -> None:
        """So many changes, up to ``most_s`` apart."""
        paths = [f"{folder}/{name}" for folder in ("", "/a", "/b", "/a/x", "/b/y") for name in "fgxy"]
        for step in range(steps):
            self._wall.advance(self._random.expovariate(3 / most_s))
            one, other = self._random.sample(paths, 2)
            try:
                self._change(one, other, step)
            except HoldfastError:
                continue
            self._remember()

    def _change(self, one: str, other: str, step: int) -> None:
        match self._random.randrange(12):
            case 0:
                self.alice.mkdir(one)
            case 1 | 2:
                self.alice.remove(one)
            case 3:
                self.alice.copy(one, other)
            case 4 | 5:
                self.alice.move(one, other)
            case 6:
                for removed in self.alice.trash()[:1]:
                    self.alice.put_back(removed)
            case _:
                self.alice.put(one, self._random.randbytes(self._random.choice((5, 5, 9_000))) + b"%d" % step)

    def _remember(self) -> None:
        self.states.append((self.alice.seq(), self.alice.now(), self.alice.state()))

    def opened(self) -> Iterator[tuple[int, bool]]:
        """The time of each state, and whether it opens; if it does, it is what it was."""
        for seq, at, state in self.states:
            try:
                assert state_at(self.alice, Moment(seq=seq)) == state
                assert state_at(self.alice, Moment(at=at)) == state
            except MomentGone as gone:
                state_at(self.alice, moments.parse(gone.nearest))
                yield at, False
            else:
                yield at, True

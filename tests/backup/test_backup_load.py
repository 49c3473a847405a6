"""Backups of a store that is written all the time, while prune runs in a loop without any grace."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from appliance.accounts import users
from appliance.errors import HoldfastError
from appliance.files import write
from appliance.tree.paths import parse
from appliance.upkeep import prune, sweep
from tests.backup.places import Place, started, tree_at
from tests.files.person import Person
from tests.support.content import Body, noise

BACKUPS = 3


@dataclass
class Load:
    """Threads that work until they are told to stop."""

    place: Place
    done: threading.Event = field(default_factory=threading.Event)
    removed: int = 0
    changes: int = 0
    errors: list[BaseException] = field(default_factory=list)

    def write(self, name: str, seed: int) -> None:
        """Files of all sizes come, change, move and go."""
        person, chance = Person.of(self.place.files, name), random.Random(seed)
        for number in range(10**9):
            if self.done.is_set():
                return
            path = f"/{name} {chance.randrange(20)}"
            size = chance.choice([0, 100, 5_000, 90_000, 400_000])
            person.put(path, noise(size, seed=chance.randrange(50)))
            if number % 5 == 4:
                person.remove(path)
            elif number % 7 == 6:
                person.copy(path, f"/copied {number}")
            self.changes += 1

    def churn(self) -> None:
        """Users who come with large files and are purged; uploads that break off."""
        files = self.place.files
        for number in range(10**9):
            if self.done.is_set():
                return
            person = (
                Person.new(files, f"guest{number}") if number < 1 else Person.of(files, "ben").newcomer(f"g{number}")
            )
            person.put("/file", noise(150_000, seed=10_000 + number))
            body = Body(noise(2_500_000, seed=20_000 + number), fail_at=2_400_000)
            with pytest.raises(ConnectionResetError):
                write.put_file(files, person.principal, parse("/broken"), body, length=2_500_000)
            users.purge_user(files.database, person.user)

    def prune(self) -> None:
        """Whatever is ripe goes at once."""
        files = self.place.files
        while not self.done.is_set():
            files.chunks.writers.renew()
            pruned = prune.prune(files.database, files.chunks.backend)
            self.removed += pruned.blobs
            sweep.sweep(files.database, files.chunks.backend)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (HoldfastError, AssertionError, OSError) as error:
            self.errors.append(error)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """While what is within happens."""
        works = [lambda: self.write("anna", 1), lambda: self.write("ben", 2), self.churn, self.prune]
        threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.done.set()
            for thread in threads:
                thread.join(60)
        assert self.errors == []
        assert not any(thread.is_alive() for thread in threads)


@pytest.mark.timeout(300)
def test_backup_under_load_is_the_moment_that_it_names(place: Place) -> None:
    """Restored it is clean to the last byte, and each tree is what it was after the change that the snapshot tells."""
    load = Load(place)
    taken, changes = [], []
    with load.going_on():
        for _ in range(BACKUPS):
            changes.append(load.changes)
            taken.append(place.take())
        while load.changes < changes[-1] + 20 or load.removed < 3:
            assert not load.errors
    assert changes == sorted(set(changes)), "nothing was written between the backups"
    place.require_clean_backup()
    for each in (taken[0], taken[-1]):
        name = f"restored {each.snapshot.number}"
        place.restore(name, number=each.snapshot.number)
        states = {tree.owner: tree for tree in each.snapshot.trees}
        assert {"anna", "ben"} <= set(states)
        with started(place.scratch / name) as appliance:
            for owner, tree in states.items():
                there = tree_at(appliance.files, tree.tree_id, tree.seq)
                if owner in ("anna", "ben"):
                    assert there == tree_at(place.files, tree.tree_id, tree.seq)
                    assert Person.of(appliance.files, owner).state() == there

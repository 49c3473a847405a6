"""Many at once on one tree: nothing is lost, nothing is half done, and readers see whole states."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.errors import HoldfastError
from tests.files.person import Person
from tests.support.content import noise

THREADS = 8
NAMES = "abcd"


class Worker:
    """One client: random verbs on few names, so that they get in each other's way."""

    def __init__(self, who: Person, seed: int) -> None:
        self._who = who
        self._chosen = random.Random(seed)
        self._seed = seed
        self._count = 0
        # (node id, version's seq, content) of every PUT that was acknowledged.
        self.stored: list[tuple[int, int, bytes]] = []
        self.refused = 0

    def run(self, until: float, steps: int) -> None:
        for _ in range(steps):
            if time.monotonic() > until:
                return
            try:
                self._step()
            except HoldfastError:
                self.refused += 1

    def _path(self) -> str:
        return "/" + "/".join(self._chosen.choice(NAMES) for _ in range(self._chosen.randint(1, 3)))

    def _put(self) -> None:
        self._count += 1
        content = f"{self._seed} {self._count}".encode()
        if self._chosen.random() < 0.1:
            content += noise(60_000, self._seed)
        written = self._who.put(self._path(), content)
        assert written.node.version_seq is not None
        self.stored.append((written.node.id, written.node.version_seq, content))

    def _step(self) -> None:
        who, path, other = self._who, self._path(), self._path()
        verb = self._chosen.choice(
            ["put", "put", "put", "mkdir", "mkdir", "move", "copy", "remove", "trash", "version", "at", "patch", "lock"]
        )
        if verb == "put":
            self._put()
        elif verb == "mkdir":
            who.mkdir(path)
        elif verb in ("move", "copy"):
            getattr(who, verb)(path, other, overwrite=self._chosen.random() < 0.5)
        elif verb == "remove":
            who.remove(path)
        elif verb == "trash":
            removed = who.trash()[:5]
            if removed:
                who.put_back(self._chosen.choice(removed), other if self._chosen.random() < 0.5 else None)
        elif verb == "version":
            who.restore_version(path, self._chosen.choice(who.versions(path)).seq)
        elif verb == "at":
            who.restore_at(path, who.now() - self._chosen.randint(0, 50_000))
        elif verb == "patch":
            who.patch(path, [("{x}y", "<y/>")])
        else:
            token = who.lock(path, depth="0").lock.token
            who.unlock(path, token)


def watch(who: Person, done: threading.Event) -> int:
    """Read until the others are done; every listing is of one moment. Returns how often."""
    count = 0
    while not done.is_set():
        listing = who.listing("/", with_properties=True, with_checksums=True)
        assert listing.node.bytes == sum(member.bytes for member in listing.members)
        assert listing.node.files == sum(member.files for member in listing.members)
        assert listing.node.subtree_seq >= max((member.subtree_seq for member in listing.members), default=0)
        count += 1
    return count


def work_together(who: Person, seconds: float, steps: int, seed: int) -> list[Worker]:
    """Let eight clients work and one watch; then every acknowledged PUT has to be there."""
    workers = [Worker(who, seed + number) for number in range(THREADS)]
    done = threading.Event()
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(THREADS + 1) as pool:
        watching = pool.submit(watch, who, done)
        try:
            for future in [pool.submit(worker.run, until, steps) for worker in workers]:
                future.result()
        finally:
            done.set()
        assert watching.result() > 0
    for worker in workers:
        for node_id, seq, content in worker.stored:
            assert who.content_of(node_id, seq) == content
    return workers


def test_eight_threads_of_mixed_operations_lose_nothing(alice: Person) -> None:
    """Every PUT that was answered is a version; listings were whole; the check that follows is clean."""
    workers = work_together(alice, 20, 150, seed=1)
    assert sum(len(worker.stored) for worker in workers) > 20
    numbers = [(node_id, seq) for worker in workers for node_id, seq, _ in worker.stored]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_eight_threads_of_mixed_operations_for_minutes(alice: Person) -> None:
    """The same for as long as it takes to meet what is rare."""
    workers = work_together(alice, 120, 1_000_000, seed=int(time.time()))
    stored, refused = (sum(counts) for counts in zip(*((len(w.stored), w.refused) for w in workers), strict=True))
    print(f"{stored} PUTs acknowledged, {refused} requests refused, {alice.seq()} changes")

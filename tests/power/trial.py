"""Cuts the power at many moments of a recording, and holds what a start makes of it against what was promised."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import xxhash

from tests.power import trace
from tests.power.disk import Disk
from tests.power.observe import Observed, observe, write
from tests.power.powercut import Adversary, Chaos, InOrder, Keeping, PowerCut
from tests.power.promises import Promises
from tests.power.recorder import Recorded
from tests.power.story import Story

Cut = tuple[int, Adversary]

KILL = Keeping(keeps_names=True, keeps_data=True)
"""Loses nothing."""

_JUST_BEFORE = 150


@dataclass
class Tally:
    """``tried`` counts cuts, ``distinct`` the disks among them that were not the same as another one."""

    tried: int = 0
    distinct: int = 0
    by_adversary: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.tried += other.tried
        self.distinct += other.distinct
        self.by_adversary += other.by_adversary
        self.broken += other.broken

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.by_adversary.items()))
        return f"{self.tried} power cuts tried ({kinds}), {self.distinct} different disks, {len(self.broken)} broken"


class Trial:
    """A recording, the disk that it makes, and a folder to try things in."""

    def __init__(
        self,
        recorded: Recorded,
        disk: Disk,
        scratch: Path,
        *,
        durability: str,
        judge: Callable[[Observed, int], list[str]],
        told: Sequence[int] = (),
    ) -> None:
        """``judge`` says what of the promises does not hold after a cut, ``told`` when somebody was told something."""
        self.recorded = recorded
        self.disk = disk
        self._scratch = scratch
        self._durability = durability
        self.judge = judge
        self._told = told
        self._numbers = itertools.count()
        self._seen: dict[bytes, Observed | str] = {}

    @classmethod
    def of_story(cls, story: Story, scratch: Path, *, forget: Sequence[str] = ()) -> Trial:
        """``forget`` leaves syncs of paths out, in which one of these patterns is found."""
        promises = Promises(story)
        trial = cls(
            story.recorded,
            story.recorded.disk(forget),
            scratch,
            durability=story.durability,
            judge=promises.broken,
            told=story.answer_moments(),
        )
        whole = trial.observed(story.recorded.end, KILL)
        assert isinstance(whole, Observed), whole
        promises.learn(whole)
        assert promises.broken(whole, story.recorded.end) == []
        return trial

    @property
    def moments(self) -> list[int]:
        """All at which a cut leaves something else than one just before."""
        return sorted({*self.disk.changed, *self.disk.synced, *self._told})

    @property
    def sync_moments(self) -> list[int]:
        """Right after each sync and as each answer leaves."""
        return sorted({*self.disk.synced, *self._told})

    def run(self, cuts: Sequence[Cut], *, enough: int = 5) -> Tally:
        """Stops after so many broken promises."""
        tally = Tally()
        known = len(self._seen)
        for at, adversary in cuts:
            tally.tried += 1
            tally.by_adversary[type(adversary).__name__] += 1
            observed = self.observed(at, adversary)
            broken = [observed] if isinstance(observed, str) else self.judge(observed, at)
            if broken:
                kept = self._scratch / f"broken-{at}-{os.getpid()}-{len(tally.broken)}"
                write(PowerCut(self.disk, at).survivors(replace(adversary)), kept)
                tally.broken.append(f"{adversary} at {at} ({self._around(at)}; disk: {kept}): {'; '.join(broken)}")
                if len(tally.broken) >= enough:
                    break
        tally.distinct = len(self._seen) - known
        return tally

    def run_parallel(self, cuts: Sequence[Cut]) -> Tally:
        """The same in one process a core."""
        workers = len(os.sched_getaffinity(0))
        # Neighbours in time stay together: their disks are often the same.
        size = -(-len(cuts) // (workers * 8))
        tally = Tally()
        with ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("fork"), initializer=_take, initargs=(self,)
        ) as pool:
            for part in pool.map(_run, [cuts[at : at + size] for at in range(0, len(cuts), size)]):
                tally.add(part)
        return tally

    def observed(self, at: int, adversary: Adversary) -> Observed | str:
        """What the start says, or why there was none."""
        survivors = PowerCut(self.disk, at).survivors(replace(adversary))
        name = _digest(survivors)
        if name not in self._seen:
            root = self._scratch / f"{os.getpid()}-{next(self._numbers)}"
            write(survivors, root)
            try:
                self._seen[name] = observe(root, self._durability)
            except Exception as error:  # noqa: BLE001 - whatever it is, the store did not start
                self._seen[name] = f"{type(error).__name__}: {error}"
            shutil.rmtree(root)
        return self._seen[name]

    def _around(self, at: int) -> str:
        """The last calls before a cut."""
        last = [call for call in self.recorded.log if at - 100 < call.begun < at and call.name != "sendto"]
        return ", ".join(f"{call.name} {_shown(call)}" for call in last[-4:])


def _shown(call: trace.Call) -> str:
    path = call.opened or trace.descriptor(call.arguments[0])
    return path.rpartition("/data/")[2] or "?"


def _digest(survivors: dict[str, bytes | None]) -> bytes:
    found = xxhash.xxh3_128()
    for path, content in sorted(survivors.items()):
        found.update(f"{path}\0{-1 if content is None else len(content)}\0".encode())
        found.update(content or b"")
    return found.digest()


# The trial of a child process, made by fork.
_trial: list[Trial] = []


def _take(trial: Trial) -> None:
    _trial.append(trial)


def _run(cuts: Sequence[Cut]) -> Tally:
    return _trial[0].run(cuts)


def few(moments: Sequence[int], count: int) -> list[Cut]:
    """At most so many cuts, evenly over the moments, each with the next adversary."""
    step = max(1, -(-len(moments) // count))
    turns = itertools.cycle(range(6))
    return [(at, _adversary(next(turns), at)) for at in moments[::step]]


def chaos(moments: Sequence[int], seeds: int) -> list[Cut]:
    """Random losses at each of them, so many times."""
    return [(at, _adversary(4, at, seed)) for at in moments for seed in range(seeds)]


def _adversary(turn: int, at: int, seed: int = 0) -> Adversary:
    choose = random.Random(1000 * at + seed)
    kinds = (Adversary(), Keeping(keeps_names=True, keeps_data=False), Keeping(keeps_names=False, keeps_data=True))
    if turn < 3:
        return kinds[turn]
    return InOrder(at - choose.randrange(_JUST_BEFORE)) if turn == 3 else Chaos(choose.randrange(1 << 30))


def every(trial: Trial, seeds: int) -> list[Cut]:
    """Chaos at all moments, so many times each, and every other adversary around syncs and answers."""

    def cuts() -> Iterator[Cut]:
        around = set(trial.sync_moments)
        for at in trial.moments:
            yield from ((at, _adversary(turn, at)) for turn in range(4) if at in around)
            yield from ((at, _adversary(4, at, seed)) for seed in range(seeds))

    return list(cuts())

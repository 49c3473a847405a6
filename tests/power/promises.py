"""What has to hold after a power cut, for ``safe`` and for ``fast``."""

from __future__ import annotations

from collections.abc import Iterator

from tests.power.observe import Observed
from tests.power.story import Lane, Step, Story, Tree, Versions, digest

NOTHING = digest(b"")


class Promises:
    """Compares what a store says with what was answered before the cut."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._store_id = self._incarnation = ""
        printed = story.recorded.printed
        self._announced = printed["Holdfast serves"]
        self._stopping = printed["mark stopping"]
        self._stopped = printed["mark stopped"]

    def learn(self, whole: Observed) -> None:
        """Which store it was, from what it is after the end of the recording with nothing lost."""
        self._store_id = whole.store_id
        self._incarnation = whole.incarnation

    def broken(self, observed: Observed, at: int) -> list[str]:
        """What does not hold."""
        return [*self._of_store(observed, at), *self._of_users(observed, at), *self._of_lanes(observed, at)]

    # -- when ---------------------------------------------------------------------------------------------------------

    def _last(self, moments: list[int], at: int) -> int:
        return max((moment for moment in moments if moment < at), default=-1)

    def _is_serving(self, at: int) -> bool:
        """Whether a server was announced that was not told to stop yet."""
        return self._last(self._announced, at) > self._last(self._stopping, at)

    def _kept_until(self, at: int) -> int:
        """What was answered before this moment has to be there: with ``fast``, what an orderly stop has synced."""
        return at if self._story.durability == "safe" else self._last(self._stopped, at)

    # -- what ---------------------------------------------------------------------------------------------------------

    def _of_store(self, observed: Observed, at: int) -> Iterator[str]:
        if self._last(self._announced, at) < 0:
            return
        if observed.store_id != self._store_id:
            yield "the store is another one"
        is_same = observed.incarnation == self._incarnation
        if self._story.durability == "safe" and not is_same:
            yield "the incarnation changed"
        if self._story.durability == "fast" and self._is_serving(at) and is_same:
            yield "the incarnation is the same, and commits may be missing"

    def _of_users(self, observed: Observed, at: int) -> Iterator[str]:
        required, _ = self._story.users(self._kept_until(at))
        _, possible = self._story.users(at)
        if not required <= observed.users <= possible:
            yield f"users {sorted(observed.users)}, told were {sorted(required)}"

    def _of_lanes(self, observed: Observed, at: int) -> Iterator[str]:
        strangers = {path.split("/")[1] for path in observed.tree} - {lane.name for lane in self._story.lanes}
        if strangers:
            yield f"nobody made {sorted(strangers)}"
        for lane in self._story.lanes:
            stored = {path: what for path, what in observed.tree.items() if path.split("/")[1] == lane.name}
            low = self._story.answered(lane, self._kept_until(at))
            high = self._story.answered(lane, at) + 1
            candidates = lane.steps[low : high + 1]
            if self._story.durability == "safe":
                fitting = [step for step in candidates if step.tree == stored]
                yield from self._unless_fitting(lane, fitting, candidates, stored)
                yield from _etags_of_others(fitting, observed)
            else:
                kept = lane.steps[low].tree
                fitting = [step for step in candidates if _is_set_back(stored, step.tree, kept)]
                yield from self._unless_fitting(lane, fitting, candidates, stored)

    @staticmethod
    def _unless_fitting(lane: Lane, fitting: list[Step], candidates: list[Step], stored: Tree) -> Iterator[str]:
        if fitting:
            return
        last = candidates[-1]
        difference = [path for path in {**stored, **last.tree} if stored.get(path, ()) != last.tree.get(path, ())]
        possible = [step.what for step in candidates]
        yield f"/{lane.name} is in no state of after {possible}; beside the last: {sorted(difference)}"


def _etags_of_others(fitting: list[Step], observed: Observed) -> Iterator[str]:
    if fitting and not any(all(observed.etags[path] == etag for path, etag in step.etags.items()) for step in fitting):
        yield "an ETag that was answered is another one now"


def _is_set_back(stored: Tree, then: Tree, kept: Tree) -> bool:
    """Whether all is there as it was, but for versions that were lost: each file shows one that was sent, or none."""
    return stored.keys() == then.keys() and all(
        _versions_are_left(versions, then[path], kept.get(path)) for path, versions in stored.items()
    )


def _versions_are_left(found: Versions | None, sent: Versions | None, kept: Versions | None) -> bool:
    if found is None or sent is None:
        return found is sent
    is_continued = kept is not None and sent[: len(kept)] == kept
    return set(found) <= {*sent, NOTHING} and (not is_continued or set(kept or ()) <= set(found))

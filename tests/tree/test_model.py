"""Random operations of two users, on the product and on a model of it: after each step both are the same."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from appliance.db.sql import SQLITE
from appliance.errors import HoldfastError
from tests.files.person import Person
from tests.tree.comparison import Twin
from tests.tree.model import Model, Path, refusal

NAMES = ("a", "b", "c", "A", "\u00e9", "e\u0301")
CONTENTS = (b"", b"ten bytes.", b"ten others", b"twenty bytes of text")

user = st.integers(0, 1)
# What an operation works on is chosen by a generator of its own: drawn one by one, the same few values come again
# and again, and most operations are refused.
seed = st.integers(0, 2**32 - 1)


class Choice(random.Random):
    """Chooses so that most operations pass, and each refusal happens."""

    def there(self, model: Model) -> Path:
        """Mostly something that exists."""
        paths = [path for path, _ in model.root.walk() if path]
        return self.choice(paths) if paths and self.random() < 0.9 else self.any()

    def spot(self, model: Model) -> Path:
        """Mostly a name in a folder that exists; it may be taken."""
        folders = [path for path, node in model.root.walk() if node.is_folder]
        return (*self.choice(folders), self.choice(NAMES)) if self.random() < 0.9 else self.any()

    def any(self) -> Path:
        """Any path at all."""
        return tuple(self.choices(NAMES, k=self.randint(0, 3)))


def text(path: Path) -> str:
    """As the person types it."""
    return "/" + "/".join(path)


class Machine(RuleBasedStateMachine):
    """Two new users in a store that many machines share one after the other."""

    twins: list[Twin]

    def __init__(self, newcomer: Callable[[], Person], stride: int) -> None:
        """At the end every moment of the past is compared whose number is a multiple of ``stride``."""
        super().__init__()
        self._newcomer = newcomer
        self._stride = stride

    @initialize()
    def arrive(self) -> None:
        """Both begin with a few things, so that there is something to get in the way of."""
        self.twins = [Twin(self._newcomer()) for _ in range(2)]
        for twin in self.twins:
            folders: list[Path] = [("a",), ("a", "c"), ("\u00e9",)]
            for path in folders:
                twin.who.mkdir(text(path))
                twin.model.make_folder(path)
                twin.remember()
            files: list[Path] = [("a", "b"), ("a", "c", "a"), ("b",), ("a", "b")]
            for number, path in enumerate(files):
                twin.who.put(text(path), b"x" * (10 * number))
                twin.model.put(path, b"x" * (10 * number))
                twin.compare()
                twin.remember()
        # The second one has a limit from the beginning.
        self.set_quota(1, 40)

    def step(self, index: int, what: str, real: Callable[[Person], object], model: Callable[[Model], object]) -> None:
        """Do both; the same error or none, and afterwards both users' trees are what the models say."""
        twin = self.twins[index]
        expected = refusal(lambda: model(twin.model))
        note(f"{what} -> {expected.__name__ if expected else 'passes'}")
        raised = None
        try:
            real(twin.who)
        except HoldfastError as error:
            raised = type(error)
        assert raised is expected
        if raised is None:
            twin.remember()
        twin.compare()
        twin.compare_past(len(twin.moments) // 2)
        self.twins[1 - index].compare_unchanged()

    @rule(index=user, seed=seed)
    def put_new(self, index: int, seed: int) -> None:
        chosen = Choice(seed)
        self._put(index, chosen.spot(self.twins[index].model), chosen.choice(CONTENTS))

    @rule(index=user, seed=seed)
    def put_again(self, index: int, seed: int) -> None:
        chosen = Choice(seed)
        self._put(index, chosen.there(self.twins[index].model), chosen.choice(CONTENTS))

    def _put(self, index: int, path: Path, content: bytes) -> None:
        self.step(
            index,
            f"put {path} {content!r}",
            lambda who: who.put(text(path), content),
            lambda model: model.put(path, content),
        )

    @rule(index=user, seed=seed)
    def make_folder(self, index: int, seed: int) -> None:
        path = Choice(seed).spot(self.twins[index].model)
        self.step(
            index, f"make folder {path}", lambda who: who.mkdir(text(path)), lambda model: model.make_folder(path)
        )

    @rule(index=user, seed=seed)
    def remove(self, index: int, seed: int) -> None:
        path = Choice(seed).there(self.twins[index].model)
        self.step(index, f"remove {path}", lambda who: who.remove(text(path)), lambda model: model.remove(path))

    @rule(index=user, seed=seed)
    def move(self, index: int, seed: int) -> None:
        chosen, model = Choice(seed), self.twins[index].model
        one, two, overwrite = chosen.there(model), chosen.spot(model), chosen.random() < 0.7
        self.step(
            index,
            f"move {one} {two} {overwrite=}",
            lambda who: who.move(text(one), text(two), overwrite=overwrite),
            lambda model: model.move(one, two, overwrite=overwrite),
        )

    @rule(index=user, seed=seed)
    def copy(self, index: int, seed: int) -> None:
        chosen, model = Choice(seed), self.twins[index].model
        one, two, overwrite, deep = (
            chosen.there(model),
            chosen.spot(model),
            chosen.random() < 0.7,
            chosen.random() < 0.8,
        )
        self.step(
            index,
            f"copy {one} {two} {overwrite=} {deep=}",
            lambda who: who.copy(text(one), text(two), overwrite=overwrite, deep=deep),
            lambda model: model.copy(one, two, overwrite=overwrite, deep=deep),
        )

    @precondition(lambda self: any(twin.model.trash for twin in self.twins))
    @rule(index=user, seed=seed)
    def put_back(self, index: int, seed: int) -> None:
        chosen = Choice(seed)
        index = index if self.twins[index].model.trash else 1 - index
        twin = self.twins[index]
        removed = chosen.choice(twin.model.trash)
        (real,) = [each for each in twin.who.trash() if each.node_id == removed.node.real]
        target = chosen.spot(twin.model) if chosen.random() < 0.4 else None
        self.step(
            index,
            f"put back {removed.path} to {target}",
            lambda who: who.put_back(real, None if target is None else text(target)),
            lambda model: model.put_back(removed, target),
        )

    @rule(index=user, seed=seed)
    def restore_version(self, index: int, seed: int) -> None:
        chosen, model = Choice(seed), self.twins[index].model
        path = chosen.choice([chosen.there(model), *model.files_ever()])
        found = model.versions(path)
        version = chosen.choice(found) if found else None
        reals = [each.real for each in found if each.real is not None]
        name = "1"
        if version is not None and version.real is not None:
            node_id, seq = version.real
            # The copies that one change made have one number, and can come to the same path one after the other.
            name = f"{seq}.{node_id}" if sum(real[1] == seq for real in reals) > 1 else str(seq)
        self.step(
            index,
            f"restore version {name} of {path}",
            lambda who: who.restore_version(text(path), name),
            lambda model: model.restore_version(path, version),
        )

    @rule(index=user, seed=seed)
    def restore_at(self, index: int, seed: int) -> None:
        chosen, twin = Choice(seed), self.twins[index]
        moment = chosen.randrange(len(twin.moments))
        at, then = twin.moments[moment][1], twin.model.history[moment]
        path = () if chosen.random() < 0.2 else chosen.there(twin.model)
        counts: list[int] = []
        self.step(
            index,
            f"restore {path} at moment {moment}",
            lambda who: counts.append(who.restore_at(text(path), at)),
            lambda model: counts.append(model.restore_at(path, then)),
        )
        assert counts[:1] == counts[1:]

    @rule(index=user, seed=seed)
    def patch(self, index: int, seed: int) -> None:
        path = Choice(seed).there(self.twins[index].model)
        self.step(
            index,
            f"patch {path}",
            lambda who: who.patch(text(path), [("{urn:x}n", "<n/>")], modified_at=1),
            lambda model: model.existing(path),
        )

    @rule(index=user, room=st.sampled_from([None, -10, 0, 10, 20, 30, 40]))
    def set_quota(self, index: int, room: int | None) -> None:
        """Leave so many bytes of room; less than nothing where somebody is over a quota that was lowered."""
        twin = self.twins[index]
        quota = None if room is None else max(0, twin.model.root.bytes + room)

        def limit(model: Model) -> None:
            model.quota = quota

        self.step(index, f"quota {quota}", lambda who: who.set_quota(quota), limit)

    def teardown(self) -> None:
        """Both trees are still what they have to be, and so is their past."""
        for twin in getattr(self, "twins", []):
            twin.compare()
            for index in range(0, len(twin.moments), self._stride):
                twin.compare_past(index)


def run(alice: Person, *, examples: int, steps: int, stride: int, derandomize: bool) -> None:
    """Machines one after the other, in the one store."""
    numbers = itertools.count(1)

    def newcomer() -> Person:
        return alice.newcomer(f"newcomer{next(numbers)}")

    run_state_machine_as_test(
        lambda: Machine(newcomer, stride),  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


# Most of this is for finding the shortest operations that fail.
@pytest.mark.timeout(900)
def test_random_operations_leave_what_the_model_says(alice: Person) -> None:
    """Tree, content, totals, trash, quota, versions and past, whatever was done in whatever order."""
    # PostgreSQL answers each of the many questions of the comparison several times slower.
    examples = 80 if alice.files.database.dialect is SQLITE else 12
    run(alice, examples=examples, steps=30, stride=7, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_random_operations_leave_what_the_model_says(alice: Person) -> None:
    """The same with other operations each time, and more of them."""
    examples = 400 if alice.files.database.dialect is SQLITE else 60
    run(alice, examples=examples, steps=60, stride=1, derandomize=False)

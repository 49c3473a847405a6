"""Random operations of two users, on the product and on a model of it: after each step both are the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from appliance.errors import HoldfastError
from tests.files.person import Person
from tests.tree.comparison import Twin
from tests.tree.model import Model, Path, refusal

NAMES = ("a", "b", "c", "A", "\u00e9", "e\u0301")

number = st.integers(0, 40)
name = st.sampled_from(NAMES)
content = st.sampled_from([b"", b"x", b"seven b", b"twenty bytes of text"])
user = st.integers(0, 1)
# Something that is there, a name in a folder that is there, or any path at all: most operations are to succeed.
place = st.tuples(
    st.sampled_from(["there"] * 4 + ["in a folder"] * 5 + ["anywhere"]), number, st.lists(name, min_size=1, max_size=3)
)
Place = tuple[str, int, list[str]]


def path_of(model: Model, chosen: Place) -> Path:
    """The path that a drawn place means in this model."""
    how, index, names = chosen
    there = [(path, node.is_folder) for path, node in model.root.walk()]
    if how == "there":
        return there[1 + index % (len(there) - 1)][0] if len(there) > 1 else ()
    if how == "in a folder":
        folders = [path for path, is_folder in there if is_folder]
        return (*folders[index % len(folders)], names[0])
    return tuple(names[: index % 4])


def text(path: Path) -> str:
    """As the person types it."""
    return "/" + "/".join(path)


class Machine(RuleBasedStateMachine):
    """Two new users in a store that many machines share one after the other."""

    twins: list[Twin]

    def __init__(self, newcomer: Callable[[], Person]) -> None:
        super().__init__()
        self._newcomer = newcomer

    @initialize()
    def arrive(self) -> None:
        """Both begin with a few things, so that there is something to get in the way of."""
        self.twins = [Twin(self._newcomer()) for _ in range(2)]
        for index in range(2):
            for path in (("a",), ("a", "c"), ("\u00e9",)):
                self.step(index, lambda who, path=path: who.mkdir(text(path)), lambda model, path=path: model.make_folder(path))
            for path, data in ((("a", "b"), b"one"), (("a", "c", "a"), b"two"), (("b",), b"three"), (("a", "b"), b"four")):
                self.step(index, lambda who, path=path, data=data: who.put(text(path), data), lambda model, path=path, data=data: model.put(path, data))

    def step(self, index: int, real: Callable[[Person], object], model: Callable[[Model], object]) -> None:
        """Do both; the same error or none, and afterwards both users' trees are what the models say."""
        twin = self.twins[index]
        expected = refusal(lambda: model(twin.model))
        raised = None
        try:
            real(twin.who)
        except HoldfastError as error:
            raised = type(error)
        assert raised is expected
        if raised is None:
            twin.remember()
        for each in self.twins:
            each.compare()
        twin.compare_past(len(twin.moments) // 2)

    @rule(index=user, chosen=place, data=content)
    def put(self, index: int, chosen: Place, data: bytes) -> None:
        path = path_of(self.twins[index].model, chosen)
        self.step(index, lambda who: who.put(text(path), data), lambda model: model.put(path, data))

    @rule(index=user, chosen=place)
    def make_folder(self, index: int, chosen: Place) -> None:
        path = path_of(self.twins[index].model, chosen)
        self.step(index, lambda who: who.mkdir(text(path)), lambda model: model.make_folder(path))

    @rule(index=user, chosen=place)
    def remove(self, index: int, chosen: Place) -> None:
        path = path_of(self.twins[index].model, chosen)
        self.step(index, lambda who: who.remove(text(path)), lambda model: model.remove(path))

    @rule(index=user, first=place, second=place, overwrite=st.booleans())
    def move(self, index: int, first: Place, second: Place, overwrite: bool) -> None:
        model = self.twins[index].model
        one, two = path_of(model, first), path_of(model, second)
        self.step(
            index,
            lambda who: who.move(text(one), text(two), overwrite=overwrite),
            lambda model: model.move(one, two, overwrite=overwrite),
        )

    @rule(index=user, first=place, second=place, overwrite=st.booleans(), deep=st.booleans())
    def copy(self, index: int, first: Place, second: Place, overwrite: bool, deep: bool) -> None:
        model = self.twins[index].model
        one, two = path_of(model, first), path_of(model, second)
        self.step(
            index,
            lambda who: who.copy(text(one), text(two), overwrite=overwrite, deep=deep),
            lambda model: model.copy(one, two, overwrite=overwrite, deep=deep),
        )

    @rule(index=user, which=number, chosen=st.none() | place)
    def put_back(self, index: int, which: int, chosen: Place | None) -> None:
        twin = self.twins[index]
        if not twin.model.trash:
            return
        removed = twin.model.trash[which % len(twin.model.trash)]
        (real,) = [each for each in twin.who.trash() if each.node_id == removed.node.real]
        target = None if chosen is None else path_of(twin.model, chosen)
        self.step(
            index,
            lambda who: who.put_back(real, None if target is None else text(target)),
            lambda model: model.put_back(removed, target),
        )

    @rule(index=user, chosen=place, which=number)
    def restore_version(self, index: int, chosen: Place, which: int) -> None:
        model = self.twins[index].model
        path = path_of(model, chosen)
        found = model.versions(path)
        version = found[which % len(found)] if found else None
        seqs = [each.real[1] for each in found if each.real is not None]
        seq = 1 if version is None or version.real is None else version.real[1]
        # The copies that one change made have one number, and can come to the same path one after the other.
        if seqs.count(seq) > 1:
            return
        self.step(
            index,
            lambda who: who.restore_version(text(path), seq),
            lambda model: model.restore_version(path, version),
        )

    @rule(index=user, chosen=place, which=number)
    def restore_at(self, index: int, chosen: Place, which: int) -> None:
        twin = self.twins[index]
        path = path_of(twin.model, chosen)
        moment = which % len(twin.moments)
        at, then = twin.moments[moment][1], twin.model.history[moment]
        counts: list[int] = []
        self.step(
            index,
            lambda who: counts.append(who.restore_at(text(path), at)),
            lambda model: counts.append(model.restore_at(path, then)),
        )
        assert counts[:1] == counts[1:]

    @rule(index=user, chosen=place)
    def patch(self, index: int, chosen: Place) -> None:
        path = path_of(self.twins[index].model, chosen)
        self.step(
            index,
            lambda who: who.patch(text(path), [("{urn:x}n", "<n/>")], modified_at=1),
            lambda model: model.existing(path),
        )

    @rule(index=user, quota=st.sampled_from([None, None, 10, 40, 80, 160]))
    def set_quota(self, index: int, quota: int | None) -> None:
        def limit(model: Model) -> None:
            model.quota = quota

        self.step(index, lambda who: who.set_quota(quota), limit)

    def teardown(self) -> None:
        """Every moment that there ever was is still what it was."""
        for twin in getattr(self, "twins", []):
            for index in range(len(twin.moments)):
                twin.compare_past(index)


def run(alice: Person, *, examples: int, steps: int, derandomize: bool) -> None:
    """Machines one after the other, in the one store."""
    numbers = itertools.count(1)

    def newcomer() -> Person:
        return alice.newcomer(f"newcomer{next(numbers)}")

    run_state_machine_as_test(
        lambda: Machine(newcomer),
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


def test_random_operations_leave_what_the_model_says(alice: Person) -> None:
    """Tree, content, totals, trash, quota, versions and past, whatever was done in whatever order."""
    run(alice, examples=150, steps=30, derandomize=True)


@pytest.mark.soak
def test_many_random_operations_leave_what_the_model_says(alice: Person) -> None:
    """The same with other operations each time, and more of them."""
    run(alice, examples=400, steps=60, derandomize=False)

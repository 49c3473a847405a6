"""What differs between two moments: enough to come from one to the other, and nothing that is the same."""

from __future__ import annotations

import itertools
import random

import pytest

from appliance import clock, retention
from appliance.errors import HoldfastError, MomentGone, NotFound
from appliance.files import compare, rules
from appliance.files.compare import Difference
from appliance.moments import Moment
from appliance.tree.paths import parse, show
from appliance.upkeep import expire
from appliance.upkeep.expire import Rules
from tests.files.dump import refused
from tests.files.person import Person

State = dict[str, bytes | None]


def differences(alice: Person, first: int, second: int | None = None, path: str = "/") -> list[Difference]:
    """Between two changes, or one and now."""
    after = None if second is None else Moment(seq=second)
    return compare.differences(alice.files, alice.principal, parse(path), Moment(seq=first), after)


def told(found: list[Difference]) -> list[tuple[str, str | None, str | None]]:
    """Kind and places."""
    return [
        (
            each.kind,
            None if each.before is None else show(each.before),
            None if each.after is None else show(each.after),
        )
        for each in found
    ]


def test_each_kind_of_change_is_told_as_it_is(alice: Person) -> None:
    """In the order of the paths; what has not changed is not told."""
    alice.mkdir("/d", "/d/e", "/same")
    for path in ("/d/changed", "/d/removed", "/d/e/carried", "/renamed", "/same/a", "/touched"):
        alice.put(path, b"one")
    first = alice.seq()
    alice.put("/d/changed", b"three")
    alice.remove("/d/removed")
    alice.move("/d/e", "/f")
    alice.move("/renamed", "/d/new name")
    alice.put("/added", b"x")
    alice.remove("/touched")
    alice.put("/touched", b"another file")
    expected = [
        ("added", None, "/added"),
        ("changed", "/d/changed", "/d/changed"),
        ("moved", "/renamed", "/d/new name"),
        ("removed", "/d/removed", None),
        ("moved", "/d/e", "/f"),
        ("changed", "/touched", "/touched"),
    ]
    found = differences(alice, first)
    assert told(found) == expected
    assert [(each.size_before, each.size_after) for each in found] == [
        (None, 1), (3, 5), (3, 3), (3, None), (None, None), (3, 12),
    ]  # fmt: skip
    assert [each.same_content for each in found] == [False, False, True, False, True, False]
    back = differences(alice, alice.seq(), first)
    assert sorted(told(back), key=str) == sorted(
        [({"added": "removed", "removed": "added"}.get(kind, kind), after, before) for kind, before, after in expected],
        key=str,
    )


def test_nothing_differs_from_itself(alice: Person) -> None:
    """Now, and at any moment."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    assert differences(alice, alice.seq()) == []
    assert differences(alice, 1, 1) == []


def test_part_of_the_tree_is_compared_alone(alice: Person) -> None:
    """What left it is gone from there, what came is new."""
    alice.mkdir("/d", "/t")
    alice.put("/d/a", b"one")
    alice.put("/t/b", b"two")
    first = alice.seq()
    alice.move("/d/a", "/t/a")
    alice.move("/t/b", "/d/b")
    assert told(differences(alice, first, path="/d")) == [("removed", "/d/a", None), ("added", None, "/d/b")]
    assert told(differences(alice, first, path="/t/a")) == [("added", None, "/t/a")]


def test_path_that_was_not_there_at_either_moment_is_not_found(alice: Person) -> None:
    """Nor is a moment that the tree never had."""
    alice.put("/a")
    with refused(alice.files.database, NotFound):
        differences(alice, 0, 1, "/b")
    with refused(alice.files.database, NotFound):
        differences(alice, 99)


@pytest.mark.parametrize("seed", range(6))
def test_differences_lead_from_one_state_to_the_other(alice: Person, seed: int) -> None:
    """Random changes; any two moments, in either direction."""
    chosen = random.Random(seed)
    paths = [f"/{'/'.join(names)}" for depth in (1, 2, 3) for names in itertools.product("ab", repeat=depth)]
    alice.mkdir("/a", "/b", "/a/a", "/a/b", "/b/a")
    states: dict[int, State] = {alice.seq(): alice.state()}
    for step in range(120):
        one, other = chosen.sample(paths, 2)
        try:
            match chosen.randrange(9):
                case 0 | 1:
                    alice.put(one, b"%d" % step)
                case 2 | 3:
                    alice.mkdir(one)
                case 4:
                    alice.remove(one)
                case 5:
                    alice.copy(one, other)
                case _:
                    alice.move(one, other)
        except HoldfastError:
            continue
        states[alice.seq()] = alice.state()
    assert len(states) > 10
    for first, second in itertools.permutations(states, 2):
        if chosen.random() < 0.2:
            require_leads(differences(alice, first, second), states[first], states[second])


def require_leads(found: list[Difference], before: State, after: State) -> None:
    """Everything that is not told is the same, at its place or carried along with a folder that has moved."""
    came = {show(each.after): each for each in found if each.after is not None}
    went = {show(each.before): each for each in found if each.before is not None}
    assert len(came) == sum(each.after is not None for each in found), "told twice"
    assert len(went) == sum(each.before is not None for each in found), "told twice"
    folders = [
        (show(each.before), show(each.after))
        for each in found
        if each.is_folder and each.before is not None and each.after is not None
    ]
    for path, content in after.items():
        if path not in came:
            origin = carried(path, [(new, old) for old, new in folders])
            assert before.get(origin, "nothing") == content, (path, origin)
            assert origin not in went
        elif came[path].same_content and came[path].before is not None:
            assert before[show(came[path].before or ())] == content
    for path, content in before.items():
        if path not in went:
            image = carried(path, folders)
            assert after.get(image, "nothing") == content, (path, image)
            assert image not in came
    assert set(came) <= set(after)
    assert set(went) <= set(before)


def carried(path: str, folders: list[tuple[str, str]]) -> str:
    """Where a path leads when these folders have moved; the innermost one decides."""
    above = [(old, new) for old, new in folders if path.startswith(f"{old}/")]
    if not above:
        return path
    old, new = max(above, key=lambda pair: len(pair[0]))
    return new + path.removeprefix(old)


def test_folder_of_which_a_moment_is_not_kept_is_told_as_such(alice: Person) -> None:
    """Nothing is said of what is in it, wherever it was moved; one that has not changed needs no past."""
    alice.mkdir("/d", "/d/scratch", "/still", "/e")
    alice.put("/d/scratch/a", b"1")
    alice.put("/still/a", b"1")
    then = alice.seq()
    alice.put("/d/scratch/a", b"2")
    alice.put("/d/scratch/b", b"2")
    between = alice.seq()
    for path in ("/d/scratch", "/still"):
        rules.set_rule(alice.files, alice.principal, parse(path), retention.parse("none"))
    expire.expire(alice.files.database, Rules(retention.parse("all"), clock.DAY))
    # All since the last change are kept, the one before is not.
    assert told(differences(alice, then)) == [("not kept", "/d/scratch", "/d/scratch")]
    alice.move("/d/scratch", "/e/scratch")
    assert told(differences(alice, between)) == [("moved", "/d/scratch", "/e/scratch")]
    assert sorted(told(differences(alice, then)), key=str) == [
        ("moved", "/d/scratch", "/e/scratch"),
        ("not kept", "/d/scratch", "/e/scratch"),
    ]
    alice.remove("/e")
    assert sorted(told(differences(alice, then)), key=str) == [
        ("not kept", "/d/scratch", None),
        ("removed", "/d/scratch", None),
        ("removed", "/e", None),
    ]
    with pytest.raises(MomentGone):
        differences(alice, then, path="/d/scratch")

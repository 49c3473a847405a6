"""A move that is killed at each of its steps: one place can be written or none, and both ways on lead out."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance import faults
from appliance.db import location
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import Moved, MoveRefused, ReadOnly, Unavailable
from appliance.faults import Fault, Trap
from appliance.moving.database import abort, move_database
from appliance.moving.target import Target
from tests.faults.scenes import in_child
from tests.moving.places import contents, postgresql_at, postgresql_target, sqlite_at, sqlite_target

_WRITE = Sql("UPDATE login_network SET seen_at = seen_at + 1")

# Whether the source can be written after a death there, and whether the store can still be had back.
POINTS = {
    "move.begun": (True, True),
    "move.table": (True, True),
    "move.copied": (True, True),
    "move.frozen": (False, True),
    "move.caught-up": (False, True),
    "move.verified": (False, True),
    "move.synced": (False, True),
    "move.arrived": (False, True),
    "move.moved": (False, True),
    "move.done": (False, False),
}

# Both directions, at every point: minutes.
pytestmark = pytest.mark.soak


def can_write(database: Database) -> bool:
    """By a process that looks for the first time."""
    database.guard.generation = None
    try:
        return database.write(lambda session: session.run(_WRITE)) > 0
    except (ReadOnly, Moved):
        return False


def test_every_point_of_a_move_is_tried() -> None:
    """A new one is met here."""
    assert {*POINTS, "move.taken-back"} == {name for name in faults.POINTS if name.startswith("move.")}


class Places:
    """From where to where, in one direction."""

    def __init__(
        self,
        source: Callable[[], AbstractContextManager[Database]],
        there: Callable[[], AbstractContextManager[Database]],
        target: Callable[[], Target],
    ) -> None:
        self.source = source
        self.there = there
        self.target = target

    def die_at(self, point: str) -> None:
        """In a process of its own."""

        def run() -> None:
            with self.source() as source, faults.hooked(Trap(Fault(point, 1, "kill"))):
                move_database(source, self.target())

        assert in_child(run) == -signal.SIGKILL

    def writable(self) -> tuple[bool, bool]:
        """Here, and there."""
        with self.source() as source:
            here = can_write(source)
        try:
            if not self.target().is_there():
                return here, False
            with self.there() as there:
                place = location.read(there)
                if place is None or place.generation == 0:
                    return here, False
                return here, can_write(there)
        except (MoveRefused, Unavailable):
            return here, False


@pytest.fixture(params=["to postgresql", "to sqlite"])
def places(request: pytest.FixtureRequest, data: Path, empty: str, tmp_path: Path) -> Places:
    """Both directions."""
    file = data / "holdfast.db"
    if request.param == "to postgresql":
        return Places(lambda: sqlite_at(file), lambda: postgresql_at(empty), lambda: postgresql_target(empty))
    with sqlite_at(file) as first:
        move_database(first, postgresql_target(empty))
    back = tmp_path / "back" / "holdfast.db"
    return Places(lambda: postgresql_at(empty), lambda: sqlite_at(back), lambda: sqlite_target(back))


@pytest.mark.parametrize("point", POINTS)
def test_death_leaves_one_place_or_none_and_repeating_ends_it(places: Places, point: str) -> None:
    """Then the target has everything, and is the only one."""
    if point == "move.synced" and places.target().url.startswith("postgresql"):
        pytest.skip("of files only")
    places.die_at(point)
    here, there = places.writable()
    assert (here, there) == (POINTS[point][0], point == "move.done")
    with places.source() as source:
        before = contents(source)
        move_database(source, places.target())
        with places.there() as moved:
            if point != "move.done":
                assert contents(moved) == before
    assert places.writable() == (False, True)


@pytest.mark.parametrize("point", POINTS)
def test_death_leaves_one_place_or_none_and_abort_ends_it(places: Places, point: str) -> None:
    """Then the store is where it was, unless it has gone; the target is empty, and can be moved to."""
    if point == "move.synced" and places.target().url.startswith("postgresql"):
        pytest.skip("of files only")
    places.die_at(point)
    with places.source() as source:
        before = contents(source)
        if not POINTS[point][1]:
            with pytest.raises(MoveRefused, match="is used there"):
                abort(source, places.target())
            assert places.writable() == (False, True)
            return
        abort(source, places.target())
        assert contents(source) == before
    assert not places.target().is_there()
    assert places.writable() == (True, False)
    with places.source() as source:
        move_database(source, places.target())
    assert places.writable() == (False, True)


def test_death_amid_an_abort_is_ended_by_either(places: Places) -> None:
    """The copy can become the store's no more."""
    places.die_at("move.moved")

    def run() -> None:
        with places.source() as source, faults.hooked(Trap(Fault("move.taken-back", 1, "kill"))):
            abort(source, places.target())

    assert in_child(run) == -signal.SIGKILL
    assert places.writable() == (False, False)
    with places.source() as source:
        abort(source, places.target())
    assert places.writable() == (True, False)


def test_error_lets_the_store_go_on_where_it_is(places: Places) -> None:
    """The disk fails, say: at once, without anybody doing anything."""
    for point in ("move.copied", "move.frozen", "move.verified", "move.arrived"):
        with (
            places.source() as source,
            faults.hooked(Trap(Fault(point, 1, "EIO"))),
            pytest.raises(OSError, match="fault at"),
        ):
            move_database(source, places.target())
        assert places.writable() == (True, False)

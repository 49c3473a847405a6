"""Expiring: what is kept reads exactly, what is not says so, and what nothing shows any more is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import clock, moments, retention
from appliance.accounts import usage, users
from appliance.accounts.usage import Kept
from appliance.backends.reserve import PLENTY, Reserve
from appliance.errors import BadRequest, CursorRefused, MomentGone, NotFound
from appliance.files import history, sync
from appliance.moments import Moment
from appliance.tree.paths import parse
from appliance.upkeep import expire_plan
from appliance.upkeep.expire import Expired, Rules
from appliance.upkeep.expire_job import MOST_HALVINGS, ExpireJob
from appliance.upkeep.turn import Turn
from tests.files.conftest import Clock
from tests.files.dump import refused
from tests.files.lives import DAY, HOUR, RULES, Life, run, state_at
from tests.files.person import Person


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_reads_exactly_and_what_is_not_says_so(
    alice: Person, wall: Clock, seed: int, require_clean: Callable[[], None]
) -> None:
    """Over three years of changes, thinned now and then as time goes on."""
    life = Life(alice, wall, seed)
    for steps, most_s in ((25, 60 * DAY), (25, 10 * DAY), (25, DAY), (25, 3 * HOUR), (25, HOUR)):
        life.go_on(steps, most_s)
        run(alice)
        list(life.opened())
    now = clock.now()
    opened = list(life.opened())
    assert any(not opens for _, opens in opened)
    keeps = RULES.retention
    last: dict[int, int] = {}
    for at, _ in opened:
        end = keeps.bucket_end(at, now)
        assert end is not None
        last[end] = at
    for at, opens in opened:
        if now - at <= clock.DAY:
            assert opens, "everything is kept for a day"
        assert opens or at not in (last[keeps.bucket_end(at, now) or 0], life.states[-1][1]), moments.show(at)
    require_clean()
    assert alice.state() == life.states[-1][2]


def test_second_run_has_nothing_to_do(alice: Person, wall: Clock, require_clean: Callable[[], None]) -> None:
    """Until time has passed."""
    Life(alice, wall, 7).go_on(150, 6 * HOUR)
    wall.advance(40 * DAY)
    first = run(alice)
    assert first.versions
    assert run(alice) == Expired(0, 0, 0, 0, 0, 0)
    wall.advance(400 * DAY)
    assert run(alice) != Expired(0, 0, 0, 0, 0, 0)
    require_clean()


def test_plan_says_what_a_run_does(alice: Person, wall: Clock) -> None:
    """And changes nothing."""
    life = Life(alice, wall, 3)
    life.go_on(150, 6 * HOUR)
    wall.advance(40 * DAY)
    planned = [each for each in expire_plan.plan(alice.files.database, RULES) if each.tree_id == alice.user.tree_id]
    assert all(opens for _, opens in life.opened())
    done = run(alice)
    assert len(planned) == 1
    assert (planned[0].versions, planned[0].bytes, planned[0].trash) == (done.versions, done.bytes, done.trash)
    assert done.versions


def test_trash_goes_when_its_time_is_over_unless_a_kept_moment_shows_it(
    alice: Person, wall: Clock, require_clean: Callable[[], None]
) -> None:
    """Then it is still in that moment, and nowhere else."""
    alice.mkdir("/d")
    alice.put("/d/kept", b"x" * 9_000)
    wall.advance(40 * DAY)
    alice.put("/short", b"y" * 9_000)
    alice.put("/d/short", b"z" * 9_000)
    wall.advance(HOUR / 10)
    alice.remove("/d")
    alice.remove("/short")
    wall.advance(29 * DAY)
    assert run(alice).trash == 0
    assert len(alice.trash()) == 2
    wall.advance(2 * DAY)
    assert run(alice).trash == 2
    assert alice.trash() == []
    assert state_at(alice, Moment(at=clock.now() - 62 * clock.DAY)) == {"/d": None, "/d/kept": b"x" * 9_000}
    # What has left the trash is history now.
    assert usage.kept(alice.files.database)[alice.user.id] == Kept(0, 18_000)
    require_clean()
    keep_nothing = Rules(retention.parse("none"), 0)
    run(alice, keep_nothing)
    require_clean()
    assert alice.rows("SELECT COUNT(*) FROM node WHERE tree_id = :id", id=alice.user.tree_id)[0][0] == 1
    assert alice.rows("SELECT COUNT(*) FROM small UNION ALL SELECT COUNT(*) FROM chunk") == [(0,), (0,)]


def test_file_that_was_elsewhere_when_its_last_folder_goes_stays_in_the_past(
    alice: Person, wall: Clock, require_clean: Callable[[], None]
) -> None:
    """What a kept moment shows in one folder is not gone with another."""
    alice.mkdir("/old", "/new")
    alice.put("/old/a", b"one")
    wall.advance(40 * DAY)
    alice.move("/old/a", "/new/a")
    wall.advance(HOUR / 10)
    alice.remove("/new")
    wall.advance(60 * DAY)
    done = run(alice)
    assert done.trash == 1
    assert state_at(alice, Moment(at=clock.now() - 95 * clock.DAY)) == {"/old": None, "/old/a": b"one", "/new": None}
    require_clean()


def test_named_version_stays(alice: Person, wall: Clock, require_clean: Callable[[], None]) -> None:
    """Also in the trash, until its name is taken away."""
    alice.put("/a", b"one" * 3_000)
    alice.put("/a", b"two" * 3_000)
    alice.put("/a", b"three")
    second = alice.versions("/a")[1]
    history.name_version(alice.files, alice.principal, parse("/a"), str(second.seq), "sent to the printer")
    wall.advance(400 * DAY)
    run(alice)
    assert [(each.seq, each.name) for each in alice.versions("/a")][1] == (second.seq, "sent to the printer")
    assert len(alice.versions("/a")) == 2
    alice.remove("/a")
    wall.advance(400 * DAY)
    run(alice)
    assert len(alice.trash()) == 1
    alice.put_back(alice.trash()[0])
    alice.restore_version("/a", second.seq)
    assert alice.get("/a") == b"two" * 3_000
    history.name_version(alice.files, alice.principal, parse("/a"), str(second.seq), None)
    alice.remove("/a")
    wall.advance(400 * DAY)
    run(alice)
    assert alice.trash() == []
    require_clean()


def test_named_version_stays_longer_than_the_folder_that_it_was_in(
    alice: Person, wall: Clock, require_clean: Callable[[], None]
) -> None:
    """It is put back elsewhere."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    history.name_version(alice.files, alice.principal, parse("/d/a"), str(alice.seq()), "kept")
    alice.remove("/d/a")
    alice.remove("/d")
    wall.advance(40 * DAY)
    run(alice, Rules(retention.parse("none"), 0))
    (removed,) = alice.trash()
    require_clean()
    alice.put_back(removed, "/a")
    assert alice.get("/a") == b"one"


def test_version_that_only_the_past_shows_is_not_named(alice: Person, wall: Clock) -> None:
    """Nothing would keep it when its moment goes; restored it is a version like any other."""
    alice.put("/a", b"one")
    wall.advance(40 * DAY)
    alice.remove("/a")
    history.name_version(alice.files, alice.principal, parse("/a"), "1", "in the trash")
    history.name_version(alice.files, alice.principal, parse("/a"), "1", None)
    wall.advance(40 * DAY)
    run(alice)
    assert alice.trash() == []
    with refused(alice.files.database, BadRequest):
        history.name_version(alice.files, alice.principal, parse("/a"), "1", "too late")
    alice.restore_version("/a", 1)
    history.name_version(alice.files, alice.principal, parse("/a"), str(alice.seq()), "in time")
    run(alice, Rules(retention.parse("none"), 0))
    assert [each.name for each in alice.versions("/a")] == ["in time"]


def test_clients_that_were_away_for_longer_than_the_trash_begin_anew(alice: Person, wall: Clock) -> None:
    """The others are told of what is gone, however thin the past is."""
    alice.mkdir("/d")
    alice.put("/d/a")
    old = sync.cursor_of(alice.files.incarnation, alice.node("/"))
    wall.advance(20 * DAY)
    alice.put("/d/b")
    newer = sync.cursor_of(alice.files.incarnation, alice.node("/"))
    wall.advance(3 * DAY)
    alice.remove("/d/a")
    wall.advance(25 * DAY)
    run(alice)
    found = sync.changes(alice.files, alice.principal, (), newer, deep=True)
    assert [(item.names, item.node is None) for item in found.items] == [(("d",), False), (("d", "a"), True)]
    wall.advance(3.5 * DAY)
    alice.put("/later")
    run(alice)
    assert len(sync.changes(alice.files, alice.principal, (), newer, deep=True).items) == 3
    with refused(alice.files.database, CursorRefused):
        sync.changes(alice.files, alice.principal, (), old, deep=True)


def test_user_with_rules_of_their_own(alice: Person, bob: Person, wall: Clock) -> None:
    """Longer or shorter than everybody's."""
    for person in (alice, bob):
        for number in range(10):
            person.put("/a", b"%d" % number)
            wall.advance(HOUR)
    users.set_retention(alice.files.database, alice.user, retention.parse("all"))
    wall.advance(100 * DAY)
    run(alice)
    assert len(alice.versions("/a")) == 10
    assert len(bob.versions("/a")) < 10
    users.set_retention(alice.files.database, alice.user, None)
    run(alice)
    assert len(alice.versions("/a")) == len(bob.versions("/a"))


def test_moment_that_is_gone_names_the_nearest(alice: Person, wall: Clock) -> None:
    """In a form that can be asked for, from either side."""
    alice.put("/a", b"one")
    wall.advance(40 * DAY)
    for number in range(20):
        alice.put("/a", b"%d" % number)
        wall.advance(HOUR / 2)
    at = alice.now() - int(timedelta(hours=5).total_seconds()) * clock.SECOND
    wall.advance(200 * DAY)
    run(alice)
    with pytest.raises(MomentGone) as caught:
        state_at(alice, Moment(at=at))
    near = moments.parse(caught.value.nearest)
    assert near.at is not None
    assert abs(near.at - at) < 40 * clock.DAY
    assert "/a" in state_at(alice, near)
    with pytest.raises(MomentGone):
        alice.restore_at("/a", at)
    with refused(alice.files.database, NotFound):
        alice.restore_version("/a", 5)


def test_little_room_shortens_the_past_step_by_step(alice: Person, wall: Clock) -> None:
    """As long as it lasts; the present and what has a name are not asked."""
    full = True
    job = ExpireJob(alice.files.database, RULES, every_s=3600, presses=lambda: full, stopping=lambda: False)
    # The last one of a month is kept for longer, and shall not be one of the first three.
    while datetime.fromtimestamp(wall.at / clock.SECOND, UTC).day != 10:
        wall.advance(DAY)
    for number in range(40):
        alice.put("/a", b"%d" % number)
        wall.advance(DAY)
    history.name_version(alice.files, alice.principal, parse("/a"), "3", "stays")
    left = []
    for _ in range(MOST_HALVINGS + 2):
        assert job(Turn()) is not None
        left.append(len(alice.versions("/a")))
    assert job.halvings == MOST_HALVINGS
    assert left == sorted(left, reverse=True)
    assert left[0] > left[2] > left[-1]
    assert [each.seq for each in alice.versions("/a")][-1] == 3
    assert alice.get("/a") == b"39"
    job.halvings = 2
    assert job(Turn(is_asked=True)) is not None
    assert job.halvings == 2, "asking does not shorten the past"
    full = False
    assert job(Turn()) is None
    assert job.halvings == 0


def test_little_room_is_measured_in_parts_of_the_file_system(alice: Person, folder: Path) -> None:
    """0 is never little, and so is what is plenty."""
    reserve = Reserve(folder, 1_000_000)
    assert not reserve.has_less_than(0)
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    assert reserve.has_less_than(100) == (free < PLENTY)
    assert not Reserve(folder / "missing", 0).has_less_than(100)

"""Folders with rules of their own: what is kept for a path reads exactly there, and what is not says so."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import pytest

from appliance import clock, moments, retention
from appliance.errors import BadRequest, CursorRefused, HoldfastError, MomentGone, NotAFolder, NotFound
from appliance.files import history, read, rules
from appliance.moments import Moment
from appliance.retention import Retention
from appliance.tree.paths import parse
from appliance.upkeep import expire, expire_plan
from appliance.upkeep.check import check
from appliance.upkeep.expire import Rules
from tests.files.conftest import Clock
from tests.files.dump import refused
from tests.files.follower import Follower, tree
from tests.files.lives import DAY, HOUR, RULES, Life, State, run, state_at
from tests.files.person import Person

KEEP_ALL = Rules(retention.parse("all"), 30 * clock.DAY)
STEPS = ("none", "all 1h", "all 30d", "daily", "all 2d, weekly 20w", "monthly", "all")


def rule(who: Person, path: str, steps: str | None) -> None:
    """Set it, or take it away."""
    rules.set_rule(who.files, who.principal, parse(path), None if steps is None else retention.parse(steps))


def look(who: Person, moment: Moment, state: State, path: str = "/") -> Iterator[tuple[str, bool]]:
    """Each folder of a state from ``path`` down, and whether it opens. What opens is what it was, to the byte."""
    try:
        found = read.list_path(who.files, who.principal, parse(path), members=True, moment=moment).members
    except MomentGone as gone:
        require_open(who, path, gone.nearest)
        yield path, False
        names = [below for below in state if below.rpartition("/")[0] == path.rstrip("/")]
        for below in names:
            if state[below] is None:
                yield from look(who, moment, state, below)
            else:
                with pytest.raises(MomentGone):
                    read.open_path(who.files, who.principal, parse(below), moment=moment)
        return
    yield path, True
    members = {f"{path.rstrip('/')}/{node.name}": node for node in found}
    assert sorted(members) == sorted(below for below in state if below.rpartition("/")[0] == path.rstrip("/"))
    for below, node in members.items():
        assert node.is_folder == (state[below] is None)
        if node.is_folder:
            yield from look(who, moment, state, below)
        else:
            opened = read.open_path(who.files, who.principal, parse(below), moment=moment)
            assert b"".join(map(bytes, read.content(who.files, opened, 0, opened.node.bytes))) == state[below]


def require_open(who: Person, path: str, nearest: str) -> None:
    """What is named as the nearest moment is kept for this path, if one is at all."""
    try:
        read.open_path(who.files, who.principal, parse(path), moment=moments.parse(nearest))
    except MomentGone:
        seqs = range(who.seq() + 1)
        assert not any(opens(who, path, seq) for seq in seqs), (path, nearest)
    except NotFound:
        pass


def opens(who: Person, path: str, seq: int) -> bool:
    """Whether a path opens at a state."""
    try:
        read.open_path(who.files, who.principal, parse(path), moment=Moment(seq=seq))
    except NotFound:
        return False
    return True


class Ruled(Life):
    """Remembers which node each folder was."""

    def __init__(self, alice: Person, wall: Clock, seed: int) -> None:
        self.folders: list[dict[str, int]] = []
        super().__init__(alice, wall, seed)

    def _remember(self) -> None:
        super()._remember()
        self.folders.append(
            {path: self.alice.node(path).id for path, content in self.states[-1][2].items() if content is None}
        )

    def looked(self) -> Iterator[tuple[int, int, str, bool]]:
        """The number of each state, its time, and each of its folders with whether that opens."""
        for index, (seq, at, state) in enumerate(self.states):
            for path, is_open in look(self.alice, Moment(seq=seq), state):
                yield index, at, path, is_open

    def governing(self, index: int, path: str, ruled: dict[int, str]) -> str | None:
        """The steps of the nearest folder with a rule, at a state."""
        while path != "/":
            node_id = self.folders[index][path]
            if node_id in ruled:
                return ruled[node_id]
            path = path.rpartition("/")[0] or "/"
        return None


class Client:
    """Syncs now and then, and begins anew when it is told to."""

    def __init__(self, who: Person) -> None:
        self._follower = Follower(who, "/")
        self.went_on = 0

    def follow(self) -> None:
        """Afterwards it has what is there."""
        try:
            known = self._follower.cursor is not None
            self._follower.follow()
            self.went_on += known
        except CursorRefused:
            self._follower = Follower(self._follower.who, "/")
            self._follower.follow()
        assert self._follower.tree == tree(self._follower.who, "/")


def thinned(steps: Retention, times: set[int], now: int) -> set[int]:
    """Of times that were kept until now those that have to be kept."""
    last = {end: at for at in sorted(times) if (end := steps.bucket_end(at, now)) is not None}
    return {*last.values(), *(at for at in times if now - at <= steps.all_for)}


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (2, 3))])
def test_each_folder_keeps_what_its_rule_says_and_nothing_reads_wrong(
    alice: Person, wall: Clock, seed: int, require_clean: Callable[[], None]
) -> None:
    """Over years of changes and moves between folders of different rules."""
    life = Ruled(alice, wall, seed)
    ruled = dict(zip(("/a", "/b", "/a/x"), random.Random(seed).sample(STEPS, 3), strict=True))
    by_id = {alice.node(path).id: steps for path, steps in ruled.items()}
    for path, steps in ruled.items():
        rule(alice, path, steps)
    sure: dict[str, set[int]] = {steps: set() for steps in (retention.DEFAULT, *by_id.values())}
    for count, most_s in ((20, 60 * DAY), (20, 10 * DAY), (20, DAY), (20, 3 * HOUR), (20, HOUR)):
        already = len(life.states)
        life.go_on(count, most_s)
        new = {at for _, at, _ in life.states[already if any(sure.values()) else 0 :]}
        run(alice)
        for steps, times in sure.items():
            sure[steps] = thinned(retention.parse(steps), times | new, clock.now())
    seen = set()
    for index, at, path, is_open in life.looked():
        governing = life.governing(index, path, by_id)
        assert is_open or at not in sure[governing or retention.DEFAULT], (path, governing, moments.show(at))
        seen.add((governing is None, is_open))
    assert len(seen) == 4
    require_clean()
    assert alice.state() == life.states[-1][2]


# Some hundred thousand statements, which PostgreSQL takes two minutes for.
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2, 3))])
def test_rules_that_come_and_go_never_make_the_past_wrong(
    alice: Person, wall: Clock, seed: int, require_clean: Callable[[], None]
) -> None:
    """Whatever has been let go of stays so, also when a longer rule comes, or the folder moves out of a shorter one."""
    life = Ruled(alice, wall, seed)
    chosen = random.Random(seed)
    clients = [Client(alice) for _ in range(3)]
    for round_ in range(12):
        life.go_on(12, chosen.choice((HOUR, 6 * HOUR, DAY, 20 * DAY)))
        for _ in range(2):
            folders = [path for path, content in alice.state().items() if content is None]
            if folders:
                try:
                    rule(alice, chosen.choice(folders), chosen.choice((*STEPS, None, None)))
                except HoldfastError as error:
                    assert isinstance(error, NotFound), error
        for client in clients[: round_ % 4]:
            client.follow()
        before = {(index, path) for index, _, path, is_open in life.looked() if is_open}
        rules_now = KEEP_ALL if round_ % 3 else RULES
        if round_ % 2:
            # A run that is cut somewhere leaves nothing wrong.
            left = itertools.count(chosen.randrange(12), -1)
            expire.expire(alice.files.database, rules_now, stopping=lambda left=left: next(left) < 0)
            assert check(alice.files.database, alice.files.chunks.backend, read_data=False).findings == []
            list(life.looked())
        run(alice, rules_now)
        after = {(index, path) for index, _, path, is_open in life.looked() if is_open}
        assert after <= before
    assert sum(client.went_on for client in clients) > 3
    require_clean()
    assert alice.state() == life.states[-1][2]


def test_shorter_rule_is_told_where_it_begins(alice: Person, wall: Clock) -> None:
    """The folder is listed at that moment, and opening it says what is nearest; all around it is as it was."""
    alice.mkdir("/scratch", "/docs")
    alice.put("/docs/a", b"one")
    alice.put("/scratch/t", b"1")
    then = alice.now()
    wall.advance(HOUR)
    alice.put("/scratch/t", b"2")
    alice.put("/docs/a", b"two")
    rule(alice, "/scratch", "none")
    run(alice, KEEP_ALL)
    moment = Moment(at=then)
    root = read.list_path(alice.files, alice.principal, (), members=True, moment=moment)
    assert [node.name for node in root.members] == ["docs", "scratch"]
    assert state_at(alice, moment, "/docs") == {"/docs/a": b"one"}
    for path in ("/scratch", "/scratch/t", "/scratch/never"):
        with pytest.raises(MomentGone, match="for /scratch; the nearest that is: 20") as caught:
            read.open_path(alice.files, alice.principal, parse(path), moment=moment)
    assert state_at(alice, moments.parse(caught.value.nearest), "/scratch") == {"/scratch/t": b"2"}
    assert alice.contents("/scratch/t") == [b"2"]
    assert alice.contents("/docs/a") == [b"two", b"one"]


def test_longer_rule_opens_its_folder_alone(alice: Person, wall: Clock) -> None:
    """Also where it was moved since, and where a folder above was removed."""
    alice.mkdir("/work", "/work/contracts")
    alice.put("/work/contracts/c", b"signed")
    alice.put("/work/draft", b"x" * 9_000)
    rule(alice, "/work/contracts", "all")
    then = Moment(at=alice.now())
    wall.advance(HOUR)
    alice.put("/work/contracts/c", b"signed again")
    alice.remove("/work")
    wall.advance(60 * DAY)
    alice.mkdir("/elsewhere")
    wall.advance(60 * DAY)
    run(alice, Rules(retention.parse("all 24h"), 0))
    assert alice.trash() == []
    with pytest.raises(MomentGone):
        state_at(alice, then)
    with pytest.raises(MomentGone):
        state_at(alice, then, "/work")
    assert state_at(alice, then, "/work/contracts") == {"/work/contracts/c": b"signed"}
    # What lay beside it is not kept for its sake.
    assert alice.rows("SELECT COUNT(*) FROM version WHERE size = 9000") == [(0,)]
    assert alice.restore_at("/", alice.now()) == 0
    alice.mkdir("/work")
    alice.restore_at("/work/contracts", then.at or 0)
    assert alice.state("/work") == {"/work/contracts": None, "/work/contracts/c": b"signed"}


def test_what_a_removed_folder_held_goes_with_its_rule(
    alice: Person, wall: Clock, require_clean: Callable[[], None]
) -> None:
    """When it has left the trash, though moments are kept that show the folder."""
    alice.mkdir("/scratch", "/scratch/deep")
    rule(alice, "/scratch", "all 1h")
    wall.advance(HOUR)
    alice.put("/scratch/t", b"t" * 9_000)
    alice.put("/scratch/deep/t", b"u" * 9_000)
    then = Moment(at=alice.now())
    wall.advance(2 * HOUR)
    alice.put("/other", b"o")
    alice.remove("/scratch")
    wall.advance(20 * DAY)
    run(alice, KEEP_ALL)
    alice.put_back(alice.trash()[0])
    assert alice.get("/scratch/deep/t") == b"u" * 9_000
    with pytest.raises(MomentGone):
        state_at(alice, then, "/scratch")
    alice.remove("/scratch/t")
    alice.remove("/scratch")
    wall.advance(31 * DAY)
    alice.put("/other", b"p")
    run(alice, KEEP_ALL)
    run(alice, KEEP_ALL)
    assert alice.rows("SELECT COUNT(*) FROM version WHERE size = 9000") == [(0,)]
    listing = read.list_path(alice.files, alice.principal, (), members=True, moment=then)
    assert [node.name for node in listing.members] == ["scratch"]
    with pytest.raises(MomentGone):
        state_at(alice, then, "/scratch")
    require_clean()


def test_version_belongs_to_where_its_file_was(alice: Person, wall: Clock) -> None:
    """Moving a file takes no past from the folder that it was in, and brings none back."""
    alice.mkdir("/long", "/short")
    rule(alice, "/short", "none")
    for number in range(2):
        alice.put("/long/a", b"long %d" % number)
        alice.put("/short/b", b"short %d" % number)
    then = Moment(at=alice.now())
    alice.move("/long/a", "/short/a")
    alice.move("/short/b", "/long/b")
    alice.put("/short/a", b"new")
    alice.put("/long/b", b"new")
    wall.advance(HOUR)
    run(alice, KEEP_ALL)
    assert state_at(alice, then, "/long") == {"/long/a": b"long 1"}
    assert alice.contents("/short/a") == [b"new", b"long 1", b"long 0"]
    # What it had when it came into the folder was still current there for a while.
    assert alice.contents("/long/b") == [b"new", b"short 1"]


def test_rule_that_is_taken_away_leaves_no_wrong_past(alice: Person, wall: Clock) -> None:
    """What it has let go of stays told as gone, until nothing else is kept of those times either."""
    alice.mkdir("/d")
    alice.put("/d/a", b"1")
    then = Moment(at=alice.now())
    wall.advance(HOUR)
    alice.put("/d/a", b"2")
    rule(alice, "/d", "none")
    run(alice, KEEP_ALL)
    rule(alice, "/d", None)
    assert rules.list_rules(alice.files, alice.principal) == []
    wall.advance(HOUR)
    alice.put("/d/a", b"3")
    run(alice, KEEP_ALL)
    with pytest.raises(MomentGone):
        state_at(alice, then, "/d")
    assert alice.contents("/d/a") == [b"3", b"2"]
    assert alice.rows("SELECT COUNT(*) FROM folder_rule") == [(1,)]
    run(alice, Rules(retention.parse("none"), 0))
    assert alice.rows("SELECT COUNT(*) FROM folder_rule") == [(0,)]
    assert alice.rows("SELECT COUNT(*) FROM folder_kept") == [(0,)]


def test_restore_passes_over_what_is_not_kept(alice: Person, wall: Clock) -> None:
    """What has the folder's name stays as it is, and it is told; a folder that did not change since is as it was."""
    alice.mkdir("/d", "/d/scratch", "/d/still")
    alice.put("/d/scratch/t", b"1")
    alice.put("/d/still/s", b"1")
    alice.put("/d/a", b"1")
    then = Moment(at=alice.now())
    wall.advance(HOUR)
    alice.put("/d/scratch/t", b"2")
    alice.put("/d/a", b"2")
    for path in ("/d/scratch", "/d/still"):
        rule(alice, path, "none")
    run(alice, KEEP_ALL)
    restored = history.restore_at(alice.files, alice.principal, parse("/d"), then)
    assert restored == (1, ["/d/scratch"])
    assert alice.state("/d") == {
        "/d/a": b"1",
        "/d/scratch": None,
        "/d/scratch/t": b"2",
        "/d/still": None,
        "/d/still/s": b"1",
    }
    with refused(alice.files.database, MomentGone):
        alice.restore_at("/d/scratch", then.at or 0)
    alice.remove("/d/scratch")
    restored = history.restore_at(alice.files, alice.principal, parse("/d"), then)
    assert restored.passed_over == ["/d/scratch"]
    assert not alice.exists("/d/scratch")


def test_rule_that_cannot_be(alice: Person) -> None:
    """The root has the user's, files have none, and what is not there is not taken away."""
    alice.mkdir("/d")
    alice.put("/a")
    for path, error in (("/", BadRequest), ("/a", NotAFolder), ("/b", NotFound)):
        with refused(alice.files.database, error):
            rule(alice, path, "all")
    with refused(alice.files.database, NotFound):
        rule(alice, "/d", None)


def test_rules_are_listed_with_their_folders(alice: Person) -> None:
    """They move along, into the trash as well."""
    alice.mkdir("/d", "/e")
    rule(alice, "/d", "all 1h")
    rule(alice, "/e", "daily")
    alice.move("/d", "/e/d")
    rule(alice, "/e/d", "all 2h")
    assert rules.list_rules(alice.files, alice.principal) == [("/e", "daily", False), ("/e/d", "all 2h", False)]
    alice.remove("/e/d")
    assert rules.list_rules(alice.files, alice.principal) == [("/e", "daily", False), ("/d", "all 2h", True)]


def test_plan_with_rules_says_what_a_run_does(alice: Person, wall: Clock) -> None:
    """Folder by folder what would be kept, and how many versions would go."""
    life = Ruled(alice, wall, 5)
    life.go_on(100, 6 * HOUR)
    alice.mkdir("/scratch")
    rule(alice, "/scratch", "all 1h")
    for path in ("/a", "/b"):
        if alice.exists(path) and alice.node(path).is_folder:
            rule(alice, path, "daily")
    wall.advance(40 * DAY)
    (planned,) = [each for each in expire_plan.plan(alice.files.database, RULES) if each.tree_id == alice.user.tree_id]
    assert ("/scratch", "all 1h") in [(each.path, str(each.retention)) for each in planned.folders]
    done = run(alice)
    assert (planned.versions, planned.bytes, planned.trash) == (done.versions, done.bytes, done.trash)
    assert done.versions

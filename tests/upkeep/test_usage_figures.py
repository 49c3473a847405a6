"""Where the bytes are: figures that are exact on known content, and those of a slow way of counting on any other."""

from __future__ import annotations

import collections
import hashlib
import random
from typing import NamedTuple

import pytest

from appliance import clock, retention
from appliance.accounts import usage as logical
from appliance.chunks import manifest
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.files.context import Files
from appliance.upkeep import expire, marks, usage
from appliance.upkeep.expire import Rules
from appliance.upkeep.groups import Groups
from appliance.upkeep.prune import Policy, prune
from appliance.upkeep.tagged import Tagged, TooMany
from appliance.upkeep.usage import Stored
from tests.files.chance import Chance
from tests.files.person import Person
from tests.support.content import noise

# Of such sizes each sum says what it is made of.
SIZES = {letter: 40_000 + (1 << number) for number, letter in enumerate("abcdefghi")}
CONTENT = {letter: noise(size, seed=ord(letter)) for letter, size in SIZES.items()}
NOTHING_KEPT = Rules(retention.parse("none"), 0)


@pytest.fixture
def anna(files: Files) -> Person:
    """A user."""
    return Person.new(files, "anna")


@pytest.fixture
def ben(files: Files) -> Person:
    """Another one."""
    return Person.new(files, "ben")


def size(letters: str) -> int:
    """Stored bytes of content that does not compress."""
    return sum(SIZES[letter] for letter in letters)


def of_folders(who: Person, path: str, depth: int) -> dict[str, Stored]:
    """By path below the one asked for."""
    node = who.node(path)
    with who.files.database.snapshot() as session:
        found = usage.of_folders(session, node.tree_id, node.id, depth)
    assert found[0].logical == node.bytes
    assert [each.names for each in found] == sorted(each.names for each in found)
    return {"/".join(each.names): each.stored for each in found}


def test_each_piece_is_counted_for_what_it_is_needed(anna: Person, ben: Person, database: Database) -> None:
    """Copies, equal content of others, versions and the trash; and what each part means adds up."""
    anna.mkdir("/d", "/d/e")
    anna.put("/d/a", CONTENT["a"])
    anna.copy("/d/a", "/d/e/a again")
    anna.put("/b", CONTENT["b"])
    ben.put("/b of mine", CONTENT["b"])
    anna.put("/d/c", CONTENT["c"])
    anna.put("/d/c", CONTENT["d"])
    anna.put("/d/e/f", CONTENT["e"])
    anna.remove("/d/e/f")
    # Was there before, and is there elsewhere now.
    anna.put("/d/e/g", CONTENT["a"])
    anna.put("/d/e/g", CONTENT["f"])
    # Only in the trash of one, only in the past of the other.
    anna.put("/gone", CONTENT["g"])
    anna.remove("/gone")
    ben.put("/g", CONTENT["g"])
    ben.put("/g", CONTENT["h"])
    # In the past and in the trash.
    anna.put("/i", CONTENT["i"])
    anna.copy("/i", "/i2")
    anna.put("/i", CONTENT["b"])
    anna.remove("/i2")
    found = usage.of_all(database)
    mine, others = ({user.user_id: user for user in found.users}[who.user.id] for who in (anna, ben))
    assert mine.stored == Stored(unique=size("adf"), shared=size("bg"), history=size("ci"), trash=size("e"))
    assert others.stored == Stored(unique=size("h"), shared=size("bg"), history=0, trash=0)
    assert mine.logical == size("aabdfb") == anna.node("/").bytes
    assert others.logical == size("bh")
    assert found.total == Stored(unique=size("abdfh"), shared=0, history=size("cgi"), trash=size("e"))
    assert found.logical == mine.logical + others.logical
    assert found.total.needed == found.disk.needed == size("abcdefghi")
    assert of_folders(anna, "/", 2) == {
        "": mine.stored,
        "d": Stored(unique=size("adf"), shared=0, history=size("c"), trash=size("e")),
        "d/e": Stored(unique=size("f"), shared=size("a"), history=0, trash=size("e")),
    }
    assert of_folders(anna, "/d/e", 0) == {"": Stored(size("f"), size("a"), 0, size("e"))}


def test_what_is_needed_free_and_held_is_all_that_is_stored(anna: Person, database: Database, files: Files) -> None:
    """Prune frees exactly what was told."""
    anna.put("/small", b"some small content")
    anna.put("/small", b"other small content")
    anna.put("/one", CONTENT["a"])
    anna.put("/two", CONTENT["b"])
    # One pack, of which only a part is needed later.
    anna.put("/many", noise(3_000_000, seed=3))
    anna.put("/few", noise(3_000_000, seed=3)[:700_000])
    require_disk(files)
    before = usage.of_all(database).disk
    assert before.free == 0
    for path in ("/one", "/small", "/many"):
        anna.remove(path)
    expire.expire(database, NOTHING_KEPT, now=clock.now() + clock.DAY)
    require_disk(files)
    told = usage.of_all(database).disk
    assert told.stored == before.stored
    assert told.free > size("a")
    assert told.held > before.held + 2_000_000
    for _ in range(3):
        prune(database, files.chunks.backend, Policy(dead_percent=100))
        files.chunks.writers.renew()
    after = usage.of_all(database).disk
    assert after.stored == before.stored - told.free
    assert (after.needed, after.free, after.held) == (told.needed, 0, told.held)
    require_disk(files)
    anna.put("/new", b"a reason to look")
    anna.remove("/new")
    expire.expire(database, NOTHING_KEPT, now=clock.now() + 2 * clock.DAY)
    for _ in range(2):
        prune(database, files.chunks.backend)
        files.chunks.writers.renew()
    anew = usage.of_all(database).disk
    assert (anew.needed, anew.free) == (told.needed, 0)
    assert anew.held < told.needed / 4
    require_disk(files)


def require_disk(files: Files) -> None:
    """What is told to be stored is what the backend and the table have."""
    blobs = sum(blob.size for blob in files.chunks.backend.list("packs/"))
    with files.database.read() as session:
        small = int(session.value(Sql("SELECT COALESCE(SUM(LENGTH(data)), 0) FROM small")))
    assert usage.of_all(files.database).disk.stored == blobs + small


class Row(NamedTuple):
    """A version, the folders that it counts for, what it is needed for, and what it consists of."""

    tree_id: int
    above: frozenset[int]
    why: int
    digests: frozenset[bytes]


class Slow:
    """Counts by loading everything, folder by folder."""

    def __init__(self, session: Session) -> None:
        self._nodes = {
            row[0]: row[1:] for row in session.rows(Sql("SELECT id, parent_id, tree_id, version_seq FROM node"))
        }
        self._trash = dict(session.rows(Sql("SELECT node_id, parent_id FROM trash")))
        self._last = dict(session.rows(Sql("SELECT node_id, parent_id FROM placement ORDER BY node_id, to_seq")))
        self._roots = {row[0] for row in session.rows(Sql("SELECT root_id FROM tree"))}
        self._segments = dict(session.rows(Sql("SELECT sha256, data FROM segment")))
        self._sizes = dict(session.rows(Sql("SELECT id, stored FROM chunk")))
        self._sizes |= dict(session.rows(Sql("SELECT sha256, LENGTH(data) FROM small")))
        self.rows = [self._row(*row) for row in session.rows(Sql("SELECT node_id, seq, manifest FROM version"))]

    def _row(self, node_id: int, seq: int, head: bytes) -> Row:
        _, tree_id, current = self._nodes[node_id]
        top = node_id
        while self._nodes[top][0] is not None:
            top = self._nodes[top][0]
        why = 0 if top in self._roots else 2 if top in self._trash else 1
        decoded = manifest.decode(head)
        entries = [entry.id for entry in decoded.entries]
        for reference in decoded.references:
            entries += [entry.id for entry in manifest.decode_entries(self._segments[reference.sha256])]
        return Row(tree_id, self._above(node_id), why if seq == current else 1, frozenset(entries))

    def _above(self, node_id: int | None) -> frozenset[int]:
        found: set[int] = set()
        while node_id is not None and node_id not in found:
            found.add(node_id)
            parent = self._nodes[node_id][0]
            if parent is None:
                parent = self._trash.get(node_id, self._last.get(node_id))
            node_id = parent
        return frozenset(found)

    def of_folder(self, node_id: int) -> Stored:
        return self._stored([row for row in self.rows if node_id in row.above], node_id)

    def of_tree(self, tree_id: int) -> Stored:
        inside = [row for row in self.rows if row.tree_id == tree_id]
        return self._count(inside, [row for row in self.rows if row.tree_id != tree_id])

    def _stored(self, inside: list[Row], node_id: int) -> Stored:
        return self._count(inside, [row for row in self.rows if node_id not in row.above])

    def _count(self, inside: list[Row], outside: list[Row]) -> Stored:
        others = {digest for row in outside for digest in row.digests}
        best: dict[bytes, int] = {}
        for row in inside:
            for digest in row.digests:
                best[digest] = min(best.get(digest, 9), row.why)
        sums = [0, 0, 0, 0]
        for digest, why in best.items():
            sums[3 if digest in others else why] += self._sizes[digest]
        return Stored(sums[0], sums[3], sums[1], sums[2])


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_a_slow_way_of_counting(anna: Person, ben: Person, database: Database, seed: int) -> None:
    """After changes of every kind by two people with much in common, thinned in between."""
    chosen = random.Random(seed)
    common = [noise(chosen.choice((500, 20_000, 300_000)), seed=number) for number in range(12)]
    for round_ in range(3):
        for who in (anna, ben):
            chance = Chance(who, 10 * seed + round_)
            for _ in range(40):
                chance.change()
            files = [path for path, content in who.state().items() if content is not None]
            for path in chosen.sample(files, min(8, len(files))):
                who.put(path, chosen.choice(common) + chosen.choice(common))
        now = clock.now() + chosen.choice((0, 2)) * clock.DAY
        expire.expire(database, Rules(retention.parse("all 24h, daily"), clock.DAY), now=now)
    with database.snapshot() as session:
        slow = Slow(session)
    found = usage.of_all(database)
    kept = logical.kept(database)
    for user, who in zip(sorted(found.users), sorted((anna, ben), key=lambda who: who.user.id), strict=True):
        assert user.stored == slow.of_tree(who.user.tree_id)
        assert user.kept == kept.get(user.user_id, logical.NOTHING)
        folders = {path: who.node(path).id for path, content in who.state().items() if content is None}
        below = of_folders(who, "/", 100)
        assert below.pop("") == user.stored
        assert {f"/{name}": each for name, each in below.items()} == {
            path: slow.of_folder(node_id) for path, node_id in folders.items()
        }
        for path, node_id in list(folders.items())[:3]:
            assert of_folders(who, path, 0) == {"": slow.of_folder(node_id)}


def test_parts_count_the_same_as_the_whole(anna: Person, ben: Person, database: Database) -> None:
    """However small they are."""
    for who in (anna, ben):
        who.put("/zeros", bytes(3_000_000))
        for number in range(60):
            who.put(f"/{number}", noise(2_000, seed=number % 40))
            who.put(f"/{number}", noise(2_000, seed=number % 30))
    with database.snapshot() as session:
        groups = Groups(session)
        whole = usage.find(session, groups)
        assert usage.find(session, groups, in_part=7) == whole
    assert whole.stored[0].unique > 60_000


def test_part_with_too_many_who_need_it_is_divided(anna: Person, database: Database) -> None:
    """Content of both halves of the digests, in many folders; more than one half takes is refused."""
    low, high = (
        next(text for text in map(str.encode, map(str, range(99))) if hashlib.sha256(text).digest()[0] // 128 == half)
        for half in (0, 1)
    )
    for number in range(40):
        anna.mkdir(f"/{number}")
        anna.put(f"/{number}/low", low)
        anna.put(f"/{number}/high", high)
    node = anna.node("/")
    tried: list[int] = []
    with database.snapshot() as session:
        groups = Groups(session)
        groups.divide(session, node.tree_id, node.id, 1)
        found = usage.find(session, groups)
        assert usage.find(session, groups, most=500, pause=lambda: tried.append(1)) == found
        once = len(tried)
        assert usage.find(session, groups, pause=lambda: tried.append(1)) == found
        assert once > len(tried) - once
    assert found.stored[groups.folders[1].group].shared == found.stored[0].unique > 0
    tags = Tagged(marks.WHOLE, most=500)
    for tag in range(1_000):
        tags.add(bytes(32), tag % 40)
    with pytest.raises(TooMany):
        collections.deque((tags.add(bytes(32), tag) for tag in range(1_000)), maxlen=0)

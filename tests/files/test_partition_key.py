"""A user's tree is the partition key: what somebody does changes rows of that tree, and of no other.

Content is the exception: it belongs to nobody, and what two users store alike is there once.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from appliance.db import models
from appliance.db.database import Database
from appliance.files import history
from appliance.tree.paths import parse
from tests.files.dump import dump
from tests.files.person import Person

ALL = tuple(models.metadata.tables)
INLINE = b"of a few bytes, in the row itself"
CHUNKS = random.Random(5).randbytes(300_000)

Act = Callable[[Person], object]


def columns(table: str) -> list[str]:
    """In the order of a dump."""
    return [column.name for column in models.metadata.tables[table].columns]


class Changed:
    """What a use case changed: trees by their ids, and tables whose rows are nobody's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._before = dump(database, ALL)
        self.trees: set[int] = set()
        self.of_nobody: set[str] = set()

    def __enter__(self) -> Changed:
        return self

    def __exit__(self, *_: object) -> None:
        after = dump(self._database, ALL)
        owners = {
            row[columns("node").index("id")]: row[columns("node").index("tree_id")]
            for state in (self._before, after)
            for row in state["node"]
        }
        for table in ALL:
            for row in self._before[table] ^ after[table]:
                self._add(table, dict(zip(columns(table), row, strict=True)), owners)

    def _add(self, table: str, row: dict[str, object], owners: dict[object, int]) -> None:
        if table == "tree":
            self.trees.add(int(str(row["id"])))
        elif "tree_id" in row:
            self.trees.add(int(str(row["tree_id"])))
        elif "node_id" in row:
            self.trees.add(owners[row["node_id"]])
        else:
            self.of_nobody.add(table)


def put(path: str, content: bytes) -> Act:
    """A file of that content."""
    return lambda person: person.put(path, content)


def locked_again(person: Person) -> None:
    """LOCK, UNLOCK, and LOCK with a refresh."""
    person.unlock("/docs/a", person.lock("/docs/a").lock.token)
    person.refresh("/docs/a", person.lock("/docs/a").lock.token)


CASES: dict[str, tuple[Act, set[str]]] = {
    "put of a small file": (put("/docs/new", b"content that nobody has"), {"small"}),
    "put of content that the other user has": (put("/docs/new", INLINE), set()),
    "put over another": (put("/docs/a", b"another content that nobody has"), {"small"}),
    "put of chunks": (put("/docs/new", random.Random(6).randbytes(300_000)), {"chunk", "pack"}),
    "put of chunks that the other user has": (put("/docs/new", CHUNKS), set()),
    "make a folder": (lambda person: person.mkdir("/docs/new"), set()),
    "move": (lambda person: person.move("/docs/a", "/else/a"), set()),
    "move of a folder": (lambda person: person.move("/docs", "/else/docs"), set()),
    "move onto another": (lambda person: person.move("/docs/a", "/docs/b", overwrite=True), set()),
    "copy of a folder": (lambda person: person.copy("/docs", "/else/docs"), set()),
    "remove": (lambda person: person.remove("/docs"), set()),
    "out of the trash": (lambda person: person.put_back(person.trash()[0]), set()),
    "an earlier version": (lambda person: person.restore_version("/docs/a", person.versions("/docs/a")[-1].seq), set()),
    "the whole tree as it was": (lambda person: person.restore_at("/", person.now() - 1), set()),
    "properties": (lambda person: person.patch("/docs/a", [("{x:}y", "<y xmlns='x:'/>")]), set()),
    "a version's name": (lambda person: named(person, "first"), set()),
    "locks": (locked_again, set()),
    "quota": (lambda person: person.set_quota(1 << 40), set()),
}
"""By name: what is done, and which tables of nobody it changes rows of."""


def named(person: Person, name: str) -> None:
    """The oldest version of a file gets a name."""
    oldest = person.versions("/docs/a")[-1]
    history.name_version(person.files, person.principal, parse("/docs/a"), str(oldest.seq), name)


@pytest.fixture
def people(alice: Person, bob: Person) -> tuple[Person, Person]:
    """Two users with the same names and contents, both of which have changed something before."""
    for person in (alice, bob):
        person.mkdir("/docs", "/else")
        person.put("/docs/a", INLINE)
        person.put("/docs/a", INLINE + b", changed")
        person.put("/docs/b", CHUNKS)
        person.put("/gone", INLINE)
        person.remove("/gone")
    return alice, bob


@pytest.mark.parametrize("name", CASES)
def test_use_case_changes_rows_of_one_tree(people: tuple[Person, Person], name: str) -> None:
    """Of the tree of who does it; and of content where it is new."""
    alice, _ = people
    act, of_nobody = CASES[name]
    with Changed(alice.files.database) as changed:
        act(alice)
    assert changed.trees == {alice.user.tree_id}
    assert changed.of_nobody == of_nobody

"""Random changes of a tree, of every kind that people make."""

from __future__ import annotations

import random
from collections.abc import Callable

from appliance.errors import HoldfastError
from appliance.files import sync
from appliance.tree.paths import Path
from tests.files.person import Person

# Two of them are spellings of one name.
NAMES = ("a", "b", "c", "Caf\u00e9", "Cafe\u0301", "z%")
MOST = 120
DEEPEST = 5


class Chance:
    """Somebody who changes things at random; ``done`` counts what was changed, by kind."""

    def __init__(self, who: Person, seed: int) -> None:
        self._who = who
        self._random = random.Random(seed)
        self.done: dict[str, int] = {}

    def change(self) -> None:
        """One change that comes about."""
        while True:
            known = self._known()
            kinds = [self._remove] if len(known) > MOST else [*self._kinds()]
            kind = self._random.choice(kinds)
            before = self._who.seq()
            self._paths = ["/" + "/".join(path) for path in sorted(known)]
            self._folders = ["/", *("/" + "/".join(path) for path in sorted(known) if known[path])]
            try:
                kind()
            except HoldfastError:
                continue
            if self._who.seq() > before:
                name = kind.__name__.strip("_")
                self.done[name] = self.done.get(name, 0) + 1
                return

    def _known(self) -> dict[Path, bool]:
        """Each path, and whether it is a folder; that is only what to choose from."""
        found = sync.changes(self._who.files, self._who.principal, (), None, deep=True).items
        return {item.names: item.is_folder for item in found}

    def _kinds(self) -> tuple[Callable[[], None], ...]:
        often = (self._put, self._mkdir, self._move, self._copy)
        return (*often, *often, self._overwrite, self._remove, self._put_back, self._patch, self._restore_at)

    def _some(self) -> str:
        return self._random.choice(self._paths or ["/"])

    def _place(self) -> str:
        folder = self._random.choice([path for path in self._folders if path.count("/") < DEEPEST])
        return f"{folder.rstrip('/')}/{self._random.choice(NAMES)}"

    def _put(self) -> None:
        self._who.put(self._place(), self._random.randbytes(3))

    def _overwrite(self) -> None:
        self._who.put(self._some(), self._random.randbytes(3))

    def _mkdir(self) -> None:
        self._who.mkdir(self._place())

    def _move(self) -> None:
        self._who.move(self._some(), self._place(), overwrite=self._random.random() < 0.5)

    def _copy(self) -> None:
        self._who.copy(self._some(), self._place(), overwrite=self._random.random() < 0.5)

    def _remove(self) -> None:
        self._who.remove(self._some())

    def _put_back(self) -> None:
        removed = self._random.choice(self._who.trash()[:10] or [None])
        if removed is not None:
            self._who.put_back(removed, self._random.choice([None, self._place()]))

    def _patch(self) -> None:
        value = str(self._random.random())
        modified_at = self._random.choice([None, self._random.randrange(10**15)])
        self._who.patch(self._some(), [("{x}y", f"<y>{value}</y>")], modified_at=modified_at)

    def _restore_at(self) -> None:
        at = self._who.rows(
            "SELECT at FROM journal WHERE tree_id = :id AND seq = :seq",
            id=self._who.user.tree_id, seq=max(self._who.seq() - self._random.randrange(1, 30), 1),
        )  # fmt: skip
        self._who.restore_at(self._random.choice(self._folders), at[0][0])

"""The machine: besides requests, commands and restarts; and what has to be so at the end."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from appliance import moments
from appliance.errors import HoldfastError
from appliance.files.trash import restore_removed
from appliance.tree import paths
from tests.files.person import Person
from tests.model_dav.chance import CONTENTS, Chance
from tests.model_dav.model import DavModel
from tests.model_dav.requests import Requests, seed, user
from tests.tree.model import refusal
from tests.tree.test_model import text

# A command or a restart takes as long as dozens of requests: so often one happens where it could.
_BY_COMMAND = 0.04
_RESTARTS = 0.15


class Machine(Requests):
    """Commands are mostly the use cases behind them, now and then ``holdfast`` itself."""

    def _command(
        self,
        index: int,
        chance: Chance,
        arguments: list[str],
        real: Callable[[Person], object],
        model: Callable[[DavModel], object],
    ) -> bool:
        """Do it by the command or by what is behind it, and let the model do the same; whether the model's passed."""
        twin = self.twins[index]
        expected = refusal(lambda: model(twin.model))
        what = " ".join(arguments)
        if chance.random() < _BY_COMMAND:
            note(f"{index} holdfast {what} -> {expected or 'passes'}")
            assert self.world.command(twin.account, *arguments)[0] == (expected is None)
        else:
            note(f"{index} {what} -> {expected or 'passes'}")
            raised = None
            try:
                real(twin.who)
            except HoldfastError as error:
                raised = type(error)
            assert raised is expected
        self._counts[f"{arguments[0]} {'refused' if expected else 'done'}"] += 1
        self._settle(index, passed=expected is None)
        return expected is None

    @precondition(lambda self: any(twin.model.trash for twin in self.twins))
    @rule(index=user, seed=seed)
    def put_back(self, index: int, seed: int) -> None:
        index = index if self.twins[index].model.trash else 1 - index
        _, model, chance = self._begin(index, seed)
        removed = chance.choice(model.trash)
        node_id = removed.node.real
        assert node_id is not None
        target = chance.spot(model) if chance.random() < 0.4 else None
        to = [] if target is None else ["--to", text(target)]
        self._command(
            index,
            chance,
            ["trash", "restore", str(node_id), *to],
            lambda who: restore_removed(who.files, who.principal, node_id, target and paths.parse(text(target))),
            lambda model: model.put_back(removed, target),
        )

    @rule(index=user, seed=seed)
    def restore_version(self, index: int, seed: int) -> None:
        twin, model, chance = self._begin(index, seed)
        path = chance.choice([chance.there(model), *model.files_ever()])
        found = model.versions(path)
        version = chance.choice(found) if found else None
        name = twin.version_name(path, version)
        self._command(
            index,
            chance,
            ["restore", text(path), "--version", name],
            lambda who: who.restore_version(text(path), name),
            lambda model: model.restore_version(path, version),
        )

    @rule(index=user, seed=seed)
    def restore_at(self, index: int, seed: int) -> None:
        twin, model, chance = self._begin(index, seed)
        number = chance.randrange(len(twin.moments))
        at, then = twin.moments[number][1], model.history[number]
        path = () if chance.random() < 0.2 else chance.there(model)
        counts: list[int] = []
        self._command(
            index,
            chance,
            ["restore", text(path), "--at", moments.show(at, exact=True)],
            lambda who: counts.append(who.restore_at(text(path), at)),
            lambda model: counts.append(model.restore_at(path, then)),
        )
        assert len(set(counts)) < 2

    @rule(index=user, seed=seed, room=st.sampled_from([None, -10, 0, 10, 5_000, 70_000, 3_000_000]))
    def quota(self, index: int, seed: int, room: int | None) -> None:
        """Leave so many bytes of room; less than nothing where somebody is over a quota that was lowered."""
        twin, model, chance = self._begin(index, seed)
        quota = None if room is None else max(1, model.root.bytes + room)
        note(f"{index} quota {quota}")
        if chance.random() < _BY_COMMAND:
            self.world.set_quota(twin.account, quota)
            model.quota = quota
            twin.compare_all(self._worker)
        else:
            self._set_quota(index, quota)

    @rule(index=user, seed=seed)
    def tables(self, index: int, seed: int) -> None:
        """What commands print."""
        twin, model, chance = self._begin(index, seed)
        if chance.random() > 2 * _BY_COMMAND:
            return
        which = chance.choice(("versions", "trash", "users"))
        note(f"{index} holdfast {which}")
        if which == "users":
            lines = self.world.user_list()
            assert [lines[twin.account.name] for twin in self.twins] == [twin.line() for twin in self.twins]
        elif which == "trash":
            _, table = self.world.command(twin.account, "trash", "list")
            assert twin.trash_ids() == sorted(int(line.split()[0]) for line in table.splitlines()[1:])
        else:
            path = chance.there(model)
            there, table = self.world.command(twin.account, "versions", text(path))
            sizes = [len(version.content) for version in model.versions(path)]
            assert there == bool(sizes)
            assert sorted(sizes) == sorted(int(line.split()[2]) for line in table.splitlines()[1:])

    # -- restarts

    @rule(seed=seed, kill=st.booleans())
    def restart(self, seed: int, kill: bool) -> None:
        """Everything that was answered is there, locks and ETags too; nothing of what was being sent is."""
        _, model, chance = self._begin(0, seed)
        if chance.random() > _RESTARTS:
            return
        note(f"restart {kill=}")
        if kill:
            self.world.kill(self.twins[0].account, chance.spot(model), CONTENTS[-1])
        else:
            self.world.stop()
        for twin in self.twins:
            twin.reopen()
            twin.compare_unchanged()
            twin.compare_all(self._worker)

    def teardown(self) -> None:
        """Every file can be read, and the past is what it was."""
        for twin in getattr(self, "twins", []):
            twin.read_all(self._worker)
            for number in range(0, len(twin.moments), self._stride):
                twin.compare_past(number)

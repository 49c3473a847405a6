"""Breaks an operation at each point that it passes, and holds what is left against the states before and after it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance import faults
from appliance.errors import DataFolderBusy
from appliance.faults import POINTS, Action, Fault, Trap
from tests.faults.operation import Operation, Outcome
from tests.faults.scenes import Hung, Scenes, in_child
from tests.faults.stage import Stage
from tests.faults.state import State, examine, examined, put_to_rest, state_of

_PATIENCE_S = 20.0
_ACTIONS: tuple[Action, ...] = ("EIO", "kill", "ENOSPC")
_SAID = {"EIO": "503", "ENOSPC": "507"}


@dataclass(frozen=True)
class Reference:
    """An operation that nobody disturbs: the points that it passes, what it makes of a store, and done once more."""

    points: list[str]
    old: State
    first: Outcome
    new: State
    second: Outcome
    again: State


@dataclass
class Tally:
    """``missed``: the passage did not come, since threads take turns as they like. ``absorbed``: done all the same."""

    tried: int = 0
    missed: int = 0
    absorbed: int = 0
    by_point: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.tried} trials at {len(self.by_point)} points, {self.missed} missed, {self.absorbed} absorbed, "
            f"{len(self.broken)} broken"
        )


class Recorder:
    """A hook that notes every point, also those of forked processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)

    def __call__(self, name: str) -> None:
        os.write(self._file, f"{name}\n".encode())

    def close(self) -> list[str]:
        """What was passed, in order."""
        os.close(self._file)
        return self._path.read_text(encoding="ascii").split()


class Runner:
    """Trials of operations, each on a store of its own."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._scenes = Scenes(scratch)
        self._numbers = itertools.count()
        self._references: dict[str, Reference] = {}

    def reference(self, operation: Operation) -> Reference:
        """Measured once."""
        if operation.name not in self._references:
            self._references[operation.name] = self._measure(operation)
        return self._references[operation.name]

    def run(self, operation: Operation, cases: Sequence[tuple[int, Action]]) -> Tally:
        """Break it at these passages, each in its own way."""
        tally = Tally()
        for number, action in cases:
            tally.tried += 1
            trial, stage = self._tried(operation, Fault("*", number, action))
            if trial.hangs:
                # By chance (see ``in_child``), or again.
                trial, stage = self._tried(operation, Fault("*", number, action))
            tally.missed += trial.missed
            tally.absorbed += trial.absorbed
            tally.by_point[trial.where] += 1
            if trial.wrong:
                tally.broken.append(f"{operation.name} {action} at passage {number} ({trial.where}): {trial.wrong}")
            else:
                shutil.rmtree(stage.root)
        return tally

    def _tried(self, operation: Operation, fault: Fault) -> tuple[_Trial, Stage]:
        trial, stage = _Trial(self, operation, fault), self.stage(operation)
        try:
            if fault.action == "kill" or operation.forks:
                trial.in_child(stage)
            else:
                trial.in_process(stage)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next trial is another store
            trial.hangs = isinstance(error, Hung)
            trial.wrong.append(f"{type(error).__name__}: {error}")
        return trial, stage

    def stage(self, operation: Operation) -> Stage:
        """A copy of the operation's scene."""
        return self._scenes[operation.scene].stage(
            self._scratch / f"{operation.name}-{os.getpid()}-{next(self._numbers)}"
        )

    def _measure(self, operation: Operation) -> Reference:
        before = self.stage(operation)
        if operation.ready is not None:
            before.open()
            operation.ready(before)
            before.close()
        old = _sound(before, operation)
        stage = self.stage(operation)
        recorder = Recorder(self._scratch / f"{operation.name}.points")
        outcomes: list[Outcome] = []
        if operation.forks:

            def work() -> None:
                with faults.hooked(recorder):
                    assert operation.attempt(stage).done

            assert in_child(work) == 0
            outcomes = [Outcome(True, "done")] * 2
            _wait_for_end(stage)
            new = again = _sound(stage, operation)
        else:
            _prepare(operation, stage)
            with faults.hooked(recorder):
                outcomes.append(operation.attempt(stage))
            new = _now(operation, stage)
            outcomes.append(operation.attempt(stage))
            again = _now(operation, stage)
        return Reference(recorder.close(), old, outcomes[0], new, outcomes[1], again)


class _Trial:
    """One operation, broken once. ``wrong`` says what does not hold."""

    def __init__(self, runner: Runner, operation: Operation, fault: Fault) -> None:
        self._operation = operation
        self._reference = runner.reference(operation)
        self._fault = fault
        self.where = self._reference.points[fault.number - 1]
        self.missed = self.absorbed = self.hangs = False
        self.wrong: list[str] = []

    def in_process(self, stage: Stage) -> None:
        """Let it fail; the same processes have to go on, and a start afterwards has to find nothing else."""
        operation = self._operation
        threads = set(threading.enumerate())
        _prepare(operation, stage)
        trap = Trap(self._fault)
        with faults.hooked(trap):
            outcome = operation.attempt(stage)
        self.where = trap.fired_at or self.where
        self.missed = not trap.fired_at
        self.absorbed = outcome.done and not self.missed
        self._judge_outcome(outcome)
        if stage.opened is not None:
            found = state_of(stage.appliance, with_incarnation=operation.keeps, planted=stage.planted)
            expected = self._repeat(stage, found, must_be_new=outcome.done)
            stage.close()
        else:
            found, wrong = examined(stage, with_incarnation=operation.keeps)
            self.wrong += wrong
            expected = self._repeat(stage, found, must_be_new=outcome.done)
        trap.close()
        left = [thread.name for thread in set(threading.enumerate()) - threads if _goes_on(thread)]
        if left:
            self.wrong.append(f"threads go on: {left}")
        self._finally(stage, expected)

    def in_child(self, stage: Stage) -> None:
        """Let it die, or fail where it forks; a start has to find the old state or the new one."""
        operation = self._operation
        trap = Trap(self._fault)

        def work() -> None:
            _prepare(operation, stage)
            with faults.hooked(trap):
                outcome = operation.attempt(stage)
            os._exit(0 if outcome.done else 3)

        code = in_child(work)
        trap.close()
        self.missed = code == 0
        if self._fault.action == "kill" and code not in (0, -signal.SIGKILL):
            self.wrong.append(f"the process ended with {code}")
        _wait_for_end(stage)
        found, wrong = examine(stage, with_incarnation=operation.keeps)
        self.wrong += wrong
        if operation.forks:
            self._require_known(found, must_be_new=False)
        elif operation.serves:
            expected = self._repeat(stage, found, must_be_new=code == 0)
            self._require(_now(operation, stage), expected)
        if stage.opened is not None:
            self.wrong += put_to_rest(stage)
        if not operation.serves and not operation.forks:
            self._finally(stage, self._repeat(stage, found, must_be_new=code == 0))

    def _judge_outcome(self, outcome: Outcome) -> None:
        """Errors are told as what they are; only an answer that has begun may break off."""
        if outcome.done:
            if outcome != self._reference.first:
                self.wrong.append(f"done, but said {outcome.said}")
        elif self._reference.first.said.isdigit():
            kind = POINTS[self.where]
            told = kind == "database" or self.where.startswith("blob.")
            expected = {_SAID[self._fault.action]} if told else {"500", "503", "507"}
            if self._operation.name.startswith("get"):
                expected |= {"0"}
            if outcome.said not in expected:
                self.wrong.append(f"answered {outcome.said}, not {expected}")

    def _require_known(self, found: State, *, must_be_new: bool) -> None:
        known = [self._reference.new] if must_be_new else [self._reference.old, self._reference.new]
        if found not in known:
            self.wrong.append(f"neither old nor new, in: {[found.difference(state) for state in known]}")

    def _repeat(self, stage: Stage, found: State, *, must_be_new: bool) -> State:
        """The same once more, undisturbed; returns the state that it has to lead to."""
        self._require_known(found, must_be_new=must_be_new)
        reference = self._reference
        is_new = must_be_new or found != reference.old
        outcome = self._operation.attempt(stage)
        wanted = reference.second if is_new and reference.old != reference.new else reference.first
        if outcome != wanted:
            self.wrong.append(f"repeated: {outcome}, not {wanted}")
        return reference.again if is_new and reference.old != reference.new else reference.new

    def _finally(self, stage: Stage, expected: State) -> None:
        found, wrong = examined(stage, with_incarnation=self._operation.keeps)
        self.wrong += wrong
        self._require(found, expected)

    def _require(self, found: State, expected: State) -> None:
        if found != expected:
            self.wrong.append(f"after the repetition it differs in: {found.difference(expected)}")


def _prepare(operation: Operation, stage: Stage) -> None:
    if operation.serves:
        stage.open()
    if operation.ready is not None:
        operation.ready(stage)


def _now(operation: Operation, stage: Stage) -> State:
    """As an open stage says it; one that is not open is started for it and stopped again."""
    if stage.opened is not None:
        return state_of(stage.appliance, with_incarnation=operation.keeps, planted=stage.planted)
    return _sound(stage, operation)


def _sound(stage: Stage, operation: Operation) -> State:
    found, wrong = examined(stage, with_incarnation=operation.keeps)
    assert wrong == []
    return found


def _wait_for_end(stage: Stage) -> None:
    """Children of a server that was killed end by themselves; until then they hold the folder."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with suppress(FileNotFoundError):
                stage.require_free()
            return
        except DataFolderBusy:
            time.sleep(0.02)
    raise AssertionError("processes of a killed server go on")


def _goes_on(thread: threading.Thread) -> bool:
    """Whether it does after a while."""
    thread.join(2.0)
    return thread.is_alive()


Case = tuple[Operation, list[tuple[int, Action]]]


def every(runner: Runner, operation: Operation) -> list[tuple[int, Action]]:
    """All passages: killed at each; and failing, in two ways where there are two."""
    return [
        (number, action)
        for number, name in enumerate(runner.reference(operation).points, 1)
        for action in _ACTIONS
        if action != "ENOSPC" or POINTS[name] != "memory"
    ]


def few(runner: Runner, operations: Sequence[Operation]) -> list[Case]:
    """Each point once, at the first operation that passes it, in one of its ways."""
    seen: set[str] = set()
    turns = itertools.cycle(_ACTIONS)
    cases: list[Case] = []
    for operation in operations:
        points = runner.reference(operation).points
        fresh = [name for name in dict.fromkeys(points) if name not in seen]
        seen.update(fresh)
        # The last passage is where most has been done already.
        cases.append((operation, [(len(points) - points[::-1].index(name), next(turns)) for name in fresh]))
    return cases

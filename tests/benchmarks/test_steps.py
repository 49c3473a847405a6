"""The clock around the steps of a request."""

from __future__ import annotations

import sys
import time
from types import ModuleType

import pytest

from benchmarks import steps
from benchmarks.steps import STEPS, Step, StepClock, find


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.where)
def test_step_exists_in_the_product(step: Step) -> None:
    """A function that was renamed would leave a hole in every profile."""
    assert callable(find(step.where).function)


def test_time_of_a_step_is_told_with_and_without_those_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outer one is charged only for what it does itself."""
    module = ModuleType("appliance_steps")

    def inner() -> None:
        time.sleep(0.03)

    def outer() -> str:
        module.inner()
        return "done"

    module.inner, module.outer = inner, outer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(steps, "STEPS", (Step("o", "appliance_steps:outer"), Step("i", "appliance_steps:inner")))
    clock = StepClock()
    assert clock.install() == []
    assert module.outer() == "done"
    whole, own = clock.times["o"]
    assert len(whole) == len(own) == len(clock.times["i"].whole) == 1
    assert whole[0] >= clock.times["i"].whole[0] >= 30_000_000
    assert own[0] == whole[0] - clock.times["i"].whole[0]
    clock.clear()
    assert not clock.times["o"].whole


def test_step_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not keep the server from starting."""
    monkeypatch.setattr(steps, "STEPS", (Step("x", "appliance.errors:nothing"), Step("y", "appliance.nowhere:z")))
    assert StepClock().install() == ["x", "y"]

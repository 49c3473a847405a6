"""Random requests, commands and restarts of two users on a real server, and on a model of it: both stay the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model_dav.machine import Machine
from tests.model_dav.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A running server; at the end its store has to be clean, every byte of it."""
    made = World(tmp_path).open()
    yield made
    made.close()
    made.server.finish()


def run(world: World, *, examples: int, steps: int, stride: int, chosen: int | None) -> Counter[str]:
    """Machines one after the other; how often each answer came. ``chosen``: a seed, None for always the same."""
    counts: Counter[str] = Counter()

    def machine() -> Machine:
        return Machine(world, counts, stride)

    if chosen is not None:
        machine = hypothesis.seed(chosen)(machine)
    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=chosen is None,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    return counts


# Most of this is for finding the shortest operations that fail.
@pytest.mark.timeout(900)
def test_random_requests_commands_and_restarts_leave_what_the_model_says(world: World) -> None:
    """Statuses, bodies, ETags, listings, locks, properties, versions, trash and quota, whatever the order."""
    run(world, examples=12, steps=30, stride=7, chosen=None)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_random_requests_commands_and_restarts_leave_what_the_model_says(
    world: World, pytestconfig: pytest.Config
) -> None:
    """The same with other operations each time, and more of them."""
    asked = pytestconfig.getoption("--hypothesis-seed")
    chosen = int(asked) if asked and asked.isdigit() else random.SystemRandom().randrange(2**32)
    print(f"the same operations again: --hypothesis-seed={chosen}")
    counts = run(world, examples=200, steps=50, stride=1, chosen=chosen)
    assert world.stops
    assert world.kills
    print(
        f"{world.requests} requests, {world.commands} commands, {world.stops} restarts, {world.kills} kills; "
        f"changes and reads by answer: {dict(sorted(counts.items()))}"
    )

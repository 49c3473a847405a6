"""Clients that have only their tokens end with the tree as it is, whatever others do meanwhile."""

from __future__ import annotations

import random

import pytest

from tests.files.chance import Chance
from tests.files.follower import Climber, Follower, tree
from tests.files.person import Person

STEPS = 100
CHANGES = 10


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1])
def test_clients_follow_a_thousand_changes(alice: Person, seed: int) -> None:
    """At the level infinite and at level 1, with and without a limit, and with changes between the parts; each step
    ends with what PROPFIND says. Some ask rarely.
    """
    chance = Chance(alice, seed)
    dice = random.Random(seed)
    alice.mkdir("/w")
    whole = [Follower(alice, "/"), Follower(alice, "/", limit=3)]
    climbers = [Climber(alice, "/"), Climber(alice, "/", limit=2)]
    disturbed = Follower(alice, "/", limit=2)
    rare = [Follower(alice, "/", limit=limit) for limit in (1, 10_000)]
    watched = [Follower(alice, "/w"), Follower(alice, "/w", limit=2)]
    watched_id = alice.node("/w").id
    for step in range(STEPS):
        for _ in range(CHANGES):
            chance.change()
        left = dice.randrange(12)

        def disturb() -> None:
            nonlocal left
            if left and dice.random() < 0.5:
                left -= 1
                chance.change()

        disturbed.follow(disturb)
        now = tree(alice, "/")
        assert disturbed.tree == now, step
        for client in [*whole, *climbers, *(rare if step % 9 == 0 else [])]:
            client.follow()
            assert client.tree == now, step
        if alice.exists("/w") and alice.node("/w").id == watched_id:
            for client in watched:
                client.follow()
                assert client.tree == tree(alice, "/w"), step
    assert sum(chance.done.values()) >= STEPS * CHANGES
    assert min(chance.done.values()) > 5
    assert len(chance.done) == 9

"""The days of a tree on which something changed."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from appliance import clock, moments
from appliance.accounts.policy import Action
from appliance.files.context import Files, locate
from appliance.principal import Principal
from appliance.tree import past


class Day(NamedTuple):
    """A day in the machine's zone, from ``begins_at`` until before ``ends_at``, with the number of its changes.

    Its name and that of the next one are moments: their beginnings. ``is_over``: the next one has begun.
    """

    name: str
    next_name: str
    begins_at: int
    ends_at: int
    changes: int
    is_over: bool


def with_changes(files: Files, principal: Principal) -> list[Day]:
    """The days on which the principal's tree changed, the newest first. Costs some look-ups a day."""
    found: list[Day] = []
    with files.database.snapshot() as session:
        place = locate(session, principal, (), Action.READ)
        tree_id = place.mount.tree_id
        change = past.first_after(session, tree_id, 0)
        while change is not None:
            day = moments.day_of(change.at)
            begins_at, ends_at = _beginning(day), _beginning(day + timedelta(days=1))
            last = past.seq_at(session, tree_id, ends_at - 1)
            found.append(
                Day(
                    day.isoformat(),
                    (day + timedelta(days=1)).isoformat(),
                    begins_at,
                    ends_at,
                    past.count(session, tree_id, change.seq, last),
                    clock.now() >= ends_at,
                )
            )
            change = past.first_after(session, tree_id, last)
    return found[::-1]


def _beginning(day: date) -> int:
    return moments.at(datetime(day.year, day.month, day.day).astimezone())

"""Expiring at its times, and sooner and more of it while the disk gets full."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from appliance.db.database import Database
from appliance.upkeep.check_report import Steps
from appliance.upkeep.expire import Expired, Rules, expire
from appliance.upkeep.turn import Turn

_log = logging.getLogger(__name__)

MOST_HALVINGS = 5
"""Under pressure the past is kept for a thirty-second of its time at least."""


class ExpireJob:
    """``expire`` every ``every_s``; every call while ``presses`` says that there is little room.

    Each of those keeps the past, and the trash, for half as long as the one before it: what has gone then is pruned
    before the next one looks at the room. When there is room again, the rules hold as they stand.
    """

    # Calls come at their times, but not to the millisecond.
    _EARLY = 5

    def __init__(
        self,
        database: Database,
        rules: Rules,
        *,
        every_s: float,
        presses: Callable[[], bool],
        stopping: Callable[[], bool],
    ) -> None:
        self._database = database
        self._rules = rules
        self._every_s = every_s
        self._presses = presses
        self._stopping = stopping
        self._due = 0.0
        self.halvings = 0

    def __call__(self, turn: Turn) -> Expired | None:
        """None: it was not yet time."""
        began = time.monotonic()
        if self._presses():
            # Who asks for it again and again does not shorten the past again and again.
            self.halvings = min(self.halvings + (0 if turn.is_asked else 1), MOST_HALVINGS)
            _log.warning(
                "there is little room left: the past and the trash are kept for %s of their time",
                {0: "all", 1: "a half", 2: "a quarter"}.get(self.halvings, f"1/{2**self.halvings}"),
            )
        else:
            self.halvings = 0
            if began < self._due and not turn.is_asked:
                return None
        self._due = began + self._every_s - self._EARLY
        return expire(
            self._database,
            self._rules,
            halvings=self.halvings,
            stopping=lambda: self._stopping() or turn.is_lost(),
            steps=Steps(turn.tell),
        )

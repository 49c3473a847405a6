"""What the use cases of uploads work with."""

from __future__ import annotations

from dataclasses import dataclass

from appliance import clock
from appliance.files.context import Files

UPLOADS_MOST = 1000
"""Uploads that one user may have begun and not completed."""


@dataclass(frozen=True, slots=True)
class Uploads:
    """One for a process."""

    files: Files
    # Microseconds after its last part that an upload is kept for.
    life: int
    # Bytes that one user's unfinished uploads may announce together.
    staged_bytes: int

    def expires_at(self) -> int:
        """Of an upload that is used now."""
        return clock.now() + self.life

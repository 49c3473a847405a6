"""A connection whose bytes are all known, as a request's body sees it."""

from __future__ import annotations


class Stream:
    """Gives out ``data`` as if it arrived in pieces of ``step`` bytes; then the peer is gone."""

    stall_s = 1.0
    trailer_bytes = 4096

    def __init__(self, data: bytes, step: int) -> None:
        self._coming = data
        self._step = step
        self._here = b""

    @property
    def rest(self) -> bytes:
        """What nobody took."""
        return self._here + self._coming

    @property
    def buffered(self) -> int:
        """What has arrived."""
        return len(self._here)

    def invite(self) -> None:
        """Nobody awaits 100 Continue."""

    def line_ready(self) -> bool:
        """Whether a whole line has arrived."""
        return b"\r\n" in self._here

    def take_line(self, limit: int, wait_s: float) -> bytes | None:
        """As ``providers.http.body.Source`` says."""
        while b"\r\n" not in self._here:
            if len(self._here) > limit or not self._arrive():
                return None
        line, _, self._here = self._here.partition(b"\r\n")
        return line if len(line) <= limit else None

    def take(self, limit: int, wait_s: float) -> bytes:
        """Likewise."""
        if not self._here:
            self._arrive()
        taken, self._here = self._here[:limit], self._here[limit:]
        return taken

    def take_into(self, target: memoryview, wait_s: float) -> int:
        """Likewise."""
        taken = self.take(len(target), wait_s)
        target[: len(taken)] = taken
        return len(taken)

    def _arrive(self) -> bool:
        piece, self._coming = self._coming[: self._step], self._coming[self._step :]
        self._here += piece
        return bool(piece)

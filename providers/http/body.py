"""Request bodies as WSGI's ``wsgi.input``: read as they come, never held in memory.

A body ends where its framing says so. Anything else (the peer is gone, a broken coding, silence) raises, so that a
partial body can never be taken for a whole one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from appliance.errors import BodyIncomplete, BodyStalled

_PIECE_BYTES = 256 * 1024
_LINE_BYTES = 4096
# RFC 9112 §7.1. Blanks only before an extension: "5 \r\n" is read as 5 by some and as an error by others.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class Source(Protocol):
    """The bytes of a connection, as a body needs them.

    ``wait_s`` bounds the silence before the first byte; after it every method raises ``BodyStalled``. 0: do not wait.
    """

    stall_s: float
    trailer_bytes: int

    @property
    def buffered(self) -> int:
        """How many bytes were received and not yet taken."""

    def invite(self) -> None:
        """Send 100 Continue, if the client awaits it and no final answer was begun."""

    def line_ready(self) -> bool:
        """Whether ``take_line`` would return without receiving."""

    def take_line(self, limit: int, wait_s: float) -> bytes | None:
        """A line without its CRLF; None at the end of the stream or when it is longer than ``limit``."""

    def take(self, limit: int, wait_s: float) -> bytes:
        """1…``limit`` bytes; none only at the end of the stream."""

    def take_into(self, target: memoryview, wait_s: float) -> int:
        """Like ``take``, into the caller's buffer."""


class Body:
    """What both kinds of bodies share. Used by one thread at a time.

    ``length`` is what was announced (None: chunked), ``received`` counts the bytes handed out. ``done``: nothing of
    this body is left on the connection. After an error every further read raises again. ``arrived`` counts the bytes
    that came. ``failed``: it will never be whole; ``stalled``: because nothing more came.
    """

    def __init__(self, source: Source, length: int | None) -> None:
        self.length = length
        self.received = 0
        self.arrived = 0
        self.done = length == 0
        self.failed = False
        self.stalled = False
        self._source = source
        self._invited = False
        self._settled = b""

    @property
    def exhausted(self) -> bool:
        """True once the last byte was handed out and the framing ended well."""
        return self.done and not self._settled

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Blocks until at least one byte is there; 0 only at the true end.

        Raises:
            BodyIncomplete: the peer is gone, or the chunked coding is broken.
            BodyStalled: silence for longer than the stall limit.
        """
        view = memoryview(buffer).cast("B")
        if self._settled:
            count = min(len(view), len(self._settled))
            view[:count] = self._settled[:count]
            self._settled = self._settled[count:]
        elif self.done or not view.nbytes:
            return 0
        else:
            self._begin()
            try:
                count = self._fill(view, self._source.stall_s)
            except (BodyIncomplete, BodyStalled) as error:
                self._fail(error)
                raise
        self.received += count
        return count

    def read(self, n: int | None = -1) -> bytes:
        """Exactly ``n`` bytes, fewer only at the true end; negative: the whole rest. Raises as ``readinto``."""
        left = -1 if n is None else n
        pieces: list[bytes] = []
        while left and not self.exhausted:
            piece = self._some(_PIECE_BYTES if left < 0 else min(left, _PIECE_BYTES))
            if piece:
                pieces.append(piece)
            if left > 0:
                left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readline(self, limit: int = -1) -> bytes:
        """PEP 3333 wants it; byte by byte, so not for bulk."""
        line = bytearray()
        while limit < 0 or len(line) < limit:
            byte = self.read(1)
            line += byte
            if byte in (b"", b"\n"):
                break
        return bytes(line)

    def readlines(self, hint: int = -1) -> list[bytes]:
        """PEP 3333 wants it. ``hint`` bounds the bytes roughly."""
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def settle(self, limit: int, seconds: float) -> bool:
        """Take the rest off the connection if it is at most ``limit`` bytes and arrives within ``seconds``.

        What was taken can still be read. True if the connection is clean afterwards. Never asks for the body (no 100).
        """
        if self.done:
            return True
        limit = max(limit, self._source.buffered)
        if self.failed or (self.length is not None and self.length - self.received > limit):
            return False
        deadline = time.monotonic() + seconds
        pieces: list[bytes] = []
        size = 0
        try:
            while size <= limit:
                piece = self._take(limit + 1 - size, max(0.0, deadline - time.monotonic()))
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
        except BodyIncomplete:
            self.failed = True
        except BodyStalled:
            pass  # only later than it was worth waiting for
        self._settled += b"".join(pieces)
        return self.done

    def _begin(self) -> None:
        if self.failed:
            raise self._incomplete()
        if not self._invited:
            self._invited = True
            self._source.invite()

    def _some(self, limit: int) -> bytes:
        if self._settled:
            piece, self._settled = self._settled[:limit], self._settled[limit:]
        else:
            self._begin()
            try:
                piece = self._take(limit, self._source.stall_s)
            except (BodyIncomplete, BodyStalled) as error:
                self._fail(error)
                raise
        self.received += len(piece)
        return piece

    def _take(self, limit: int, wait_s: float) -> bytes:
        room = self._room(wait_s)
        if not room:
            return b""
        piece = self._source.take(min(limit, room), wait_s)
        if not piece:
            raise self._incomplete()
        self.arrived += len(piece)
        self._spend(len(piece))
        return piece

    def _fill(self, view: memoryview, wait_s: float) -> int:
        room = self._room(wait_s)
        if not room:
            return 0
        count = self._source.take_into(view[:room] if len(view) > room else view, wait_s)
        if not count:
            raise self._incomplete()
        self.arrived += count
        self._spend(count)
        return count

    def _fail(self, error: BodyIncomplete | BodyStalled) -> None:
        self.failed = True
        self.stalled = isinstance(error, BodyStalled)

    def _incomplete(self) -> BodyIncomplete:
        return BodyIncomplete(received=self.received, expected=self.length)

    def _room(self, wait_s: float) -> int:
        """How many body bytes come next in one piece on the connection; 0 at the end."""
        raise NotImplementedError

    def _spend(self, count: int) -> None:
        """``count`` of the bytes that ``_room`` promised were taken."""
        raise NotImplementedError


class FixedBody(Body):
    """A body of ``length`` bytes (RFC 9112 §6.3); 0 for a request without one."""

    def __init__(self, connection: Source, length: int) -> None:
        super().__init__(connection, length)
        self._left = length

    def _room(self, wait_s: float) -> int:
        return self._left

    def _spend(self, count: int) -> None:
        self._left -= count
        self.done = not self._left


class ChunkedBody(Body):
    """A body in the chunked transfer coding (RFC 9112 §7.1), decoded as a stream: a chunk's size costs no memory.

    Extensions and trailer fields are checked for their form and dropped.
    """

    def __init__(self, connection: Source) -> None:
        super().__init__(connection, None)
        self._left = 0
        self._next_line: Callable[[float], None] = self._read_size
        self._trailer_left = connection.trailer_bytes

    def _room(self, wait_s: float) -> int:
        while not self._left and not self.done:
            self._next_line(wait_s)
        return self._left

    def _spend(self, count: int) -> None:
        self._left -= count
        if not self._left:
            self._next_line = self._read_chunk_end

    def _fill(self, view: memoryview, wait_s: float) -> int:
        # Small chunks: as many as are here already, so that each of the caller's buffers is worth its round.
        filled = super()._fill(view, wait_s)
        source = self._source
        while 0 < filled < len(view) and not self.done and source.buffered:
            if self._left:
                filled += super()._fill(view[filled:], wait_s)
            elif source.line_ready():
                self._next_line(wait_s)
            else:
                break
        return filled

    def _line(self, limit: int, wait_s: float) -> bytes:
        line = self._source.take_line(limit, wait_s)
        if line is None:
            raise self._incomplete()
        return line

    def _read_size(self, wait_s: float) -> None:
        match = _SIZE_LINE.fullmatch(self._line(_LINE_BYTES, wait_s))
        if match is None:
            raise self._incomplete()
        self._left = int(match[1], 16)
        if not self._left:
            self._next_line = self._read_trailer

    def _read_chunk_end(self, wait_s: float) -> None:
        if self._line(_LINE_BYTES, wait_s):
            raise self._incomplete()
        self._next_line = self._read_size

    def _read_trailer(self, wait_s: float) -> None:
        line = self._line(max(0, self._trailer_left), wait_s)
        self._trailer_left -= len(line) + 2
        if not line:
            self.done = True
        elif _TRAILER_LINE.fullmatch(line) is None:
            raise self._incomplete()

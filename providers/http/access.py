"""The access log: what was asked and answered, a line a request, written by a thread of its own.

A worker only appends to a queue. The lines of some milliseconds are made and written together: that is a hand-over of
the interpreter for many requests, and a slow or full disk holds none of them up.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as _in_quotes
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from appliance.logs.secrets import masked, masked_path, masked_query

Ended = Literal["complete", "cut", "stalled", "slow", "failed", "refused"]

_GATHER_S = 0.03
_LINES_AT_ONCE = 256
# About ten megabytes; beyond, lines are lost and counted.
_MOST_QUEUED = 20_000
_PATIENCE_S = 5.0
# Bytes, so that a line fits into a pipe.
_PATH_MOST = 2400
_QUERY_MOST = 600
_AGENT_MOST = 300
_METHOD_MOST = 32
# POSIX: a pipe takes so much from each of several writers without mixing them.
_PIPE_BYTES = 4096


class Entry(NamedTuple):
    """A request that has ended. ``at`` is the Unix time at which its head had come.

    ``path`` and ``query`` are as they were sent. ``device`` is the id of the app password, ``token`` that of the
    bearer token. ``status`` is 0 where nothing was answered, ``method`` empty where there was no request (refused). The
    bytes are those of the bodies.
    """

    at: float
    request_id: str
    address: str
    user: str | None
    device: int | None
    token: int | None
    method: str
    path: str
    query: str
    status: int
    received: int
    sent: int
    seconds: float
    agent: str
    ended: Ended


class AccessLog:
    """Any thread. Make it in the process that serves."""

    def __init__(
        self, write: Callable[[bytes], None], line: Callable[[Entry], str], *, tell: Callable[[str], None]
    ) -> None:
        """``write`` takes whole lines and raises ``OSError`` if it took none; ``tell`` is for who runs the server."""
        self._write = write
        self._line = line
        self._tell = tell
        self._entries: deque[Entry] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def add(self, entry: Entry) -> None:
        """Never blocks, never raises."""
        if len(self._entries) >= _MOST_QUEUED:
            self._lost += 1
            return
        self._entries.append(entry)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is queued, and end."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(_GATHER_S)
            # Before the queue is emptied: what comes later wakes this thread again.
            self._wake.clear()
            self._empty()
        self._empty()

    def _empty(self) -> None:
        while self._entries:
            entries = [self._entries.popleft() for _ in range(min(_LINES_AT_ONCE, len(self._entries)))]
            try:
                self._write("".join(map(self._line, entries)).encode("utf-8", "backslashreplace"))
            except OSError as error:
                self._lost += len(entries)
                if not self._failing:
                    self._tell(f"the access log cannot be written and loses lines: {error.strerror or error}")
                self._failing = True
            else:
                self._tell_of_losses()

    def _tell_of_losses(self) -> None:
        self._failing = False
        if self._lost:
            lost, self._lost = self._lost, 0
            self._tell(f"the access log is written again; {lost} lines were lost")


def write_stderr(lines: bytes) -> None:
    """Whole lines to the standard error stream, which other processes may write to as well."""
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + _PIPE_BYTES) + 1 or lines.find(b"\n", start) + 1 or len(lines)
        start += os.write(2, lines[start:end])


def json_line(entry: Entry) -> str:
    """An object; what is not known is null."""
    # By hand: the encoder takes three times as long for an object, which is a part of a small request that counts.
    return (
        f'{{"time":"{_time(entry.at)}","id":"{entry.request_id}","address":"{entry.address}",'
        f'"user":{_quoted(entry.user)},"device":{"null" if entry.device is None else entry.device},'
        f'"token":{"null" if entry.token is None else entry.token},'
        f'"method":{_quoted(entry.method[:_METHOD_MOST])},"path":{_quoted(_target(entry))},'
        f'"status":{entry.status or "null"},"received":{entry.received},"sent":{entry.sent},'
        f'"ms":{entry.seconds * 1000:.1f},"agent":{_quoted(_agent(entry.agent))},"ended":"{entry.ended}"}}\n'
    )


def text_line(entry: Entry) -> str:
    """For reading; "-" is what is not known. Texts that a client chose stand in quotes."""
    who = entry.user or "-"
    if entry.device is not None:
        who += f"#{entry.device}"
    if entry.token is not None:
        who += f"#token-{entry.token}"
    request = _quoted(f"{entry.method[:_METHOD_MOST]} {_target(entry)}") if entry.method else "-"
    return (
        f"{_time(entry.at)} {entry.request_id} {entry.address} {who} {request} {entry.status or '-'} "
        f"in {entry.received} out {entry.sent} {entry.seconds * 1000:.1f} ms {entry.ended} "
        f"{_quoted(_agent(entry.agent))}\n"
    )


def shown_path(path: str) -> str:
    """A path as it was sent, for people: decoded, without secrets, control characters escaped, not too long."""
    if "%" in path:
        path = unquote_to_bytes(path[: 4 * _PATH_MOST]).decode("utf-8", "backslashreplace")
    return _bounded(masked_path(path), _PATH_MOST)


def _target(entry: Entry) -> str:
    path = shown_path(entry.path)
    return f"{path}?{_bounded(masked_query(entry.query), _QUERY_MOST)}" if entry.query else path


@lru_cache(maxsize=256)
def _agent(agent: str) -> str:
    return _bounded(masked(agent), _AGENT_MOST)


def _bounded(text: str, most: int) -> str:
    if not text.isprintable():
        text = "".join(map(_escaped, text[: most + 1]))
    # At most four bytes each.
    if len(text) * 4 > most and len(encoded := text.encode()) > most:
        return f"{encoded[:most].decode('utf-8', 'ignore')}…"
    return text


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()


def _quoted(text: str | None) -> str:
    """As JSON; null for what is empty."""
    return _in_quotes(text) if text else "null"


def _time(at: float) -> str:
    milliseconds = int(at * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")

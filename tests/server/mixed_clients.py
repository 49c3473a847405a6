"""Clients that do everything at once and know what has to be there afterwards, whatever happened to the server."""

from __future__ import annotations

import hashlib
import http.client
import random
import ssl
import threading
import time
from collections import Counter
from typing import NamedTuple

from tests.server.content import noise
from tests.server.dav_client import Answer, Dav
from tests.server.listing import names
from tests.server.running import Server

# What a client may meet when the process that answers it is killed. A refused connection is not among it.
RESETS = (
    ConnectionResetError,
    BrokenPipeError,
    http.client.IncompleteRead,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
NAMES = ("a", "b", "c", "d/a", "d/b")
SHARED = "/dav/shared/"
_LARGE = noise(1_500_000, seed=9)


class Stored(NamedTuple):
    """A PUT that was acknowledged: the version that its ETag names, and the SHA-256 of its body."""

    node_id: int
    seq: int
    digest: bytes


class MixedClient:
    """Random requests until ``done``, one at a time.

    ``possible`` holds for each of its names what may be there: the digest of a body, None for nothing. After an answer
    that is one, after a connection that was reset in the middle there can be two. ``slowest``: seconds of the
    answer that took longest, with its connection.
    """

    def __init__(self, server: Server, number: int, done: threading.Event) -> None:
        self._thread = threading.Thread(target=self._run, name=f"client {number}")
        self._chosen = random.Random(number)
        self._done = done
        self._dav: Dav = server.dav()
        self._home = f"/dav/client-{number}/"
        self._unique = 0
        self.number = number
        self.possible: dict[str, set[bytes | None]] = {name: {None} for name in NAMES}
        self.stored: list[Stored] = []
        self.answers: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self.slowest = 0.0
        self.error: BaseException | None = None

    def prepare(self) -> None:
        """While nothing is killed yet."""
        self._dav.ok("MKCOL", self._home)
        self._dav.ok("MKCOL", self._home + "d")

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._done.is_set():
                self._step()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever joins
            self.error = error

    def finish(self) -> None:
        """When nothing is killed any more: everything is there."""
        self._thread.join(120)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        for name in NAMES:
            assert len(self._settle(name)) == 1
        expected = {name for name in NAMES if self.possible[name] != {None}}
        found = names(self._dav, self._home) | {f"d/{name}" for name in names(self._dav, self._home + "d/")}
        assert found - {"d/"} == expected
        self._dav.close()

    # -- requests

    def _ask(
        self, method: str, path: str, body: bytes | list[bytes] | None = None, headers: dict[str, str] | None = None
    ) -> Answer | None:
        """None if the connection was reset: the server may have done it or not."""
        begun = time.monotonic()
        try:
            answer = self._dav(method, path, iter(body) if isinstance(body, list) else body, headers)
        except RESETS as error:
            self.resets[type(error).__name__] += 1
            self._dav.close()
            return None
        self.slowest = max(self.slowest, time.monotonic() - begun)
        assert answer.status < 500, f"{method} {path}: {answer.status} {answer.text}"
        self.answers[f"{method} {answer.status}"] += 1
        return answer

    def _step(self) -> None:
        name, other = self._chosen.sample(NAMES, 2)
        verb = self._chosen.choices(
            (self._put, self._get, self._delete, self._move, self._copy, self._list, self._share),
            (40, 25, 6, 8, 6, 5, 10),
        )[0]
        verb(name, other)

    def _body(self) -> tuple[bytes, bytes | list[bytes]]:
        """Never sent before, but for most of a large one; and the same, mostly as it is, now and then in pieces."""
        self._unique += 1
        kind = self._chosen.random()
        begin = b"client %d body %d " % (self.number, self._unique)
        if kind < 0.03:
            body = begin + _LARGE
        else:
            body = begin + self._chosen.randbytes(20_000 if kind < 0.1 else self._chosen.randrange(4_000))
        if self._chosen.random() < 0.7:
            return body, body
        return body, [body[at : at + 100_000] for at in range(0, len(body), 100_000)]

    def _put(self, name: str, _: str) -> None:
        body, sent = self._body()
        digest = hashlib.sha256(body).digest()
        answer = self._ask("PUT", self._home + name, sent)
        if answer is None:
            self.possible[name].add(digest)
            return
        assert answer.status in (201, 204)
        self._note(answer, digest)
        self.possible[name] = {digest}

    def _note(self, answer: Answer, digest: bytes) -> None:
        node_id, seq = answer.etag.strip('"').split("-")[-2:]
        self.stored.append(Stored(int(node_id, 16), int(seq, 16), digest))

    def _get(self, name: str, _: str) -> None:
        answer = self._ask("GET", self._home + name)
        if answer is None:
            return
        assert answer.status in (200, 404)
        found = hashlib.sha256(answer.body).digest() if answer.status == 200 else None
        assert found in self.possible[name], f"{self._home}{name} is not what was stored there last"
        self.possible[name] = {found}

    def _settle(self, name: str) -> set[bytes | None]:
        """Ask until it is known what is there."""
        while True:
            before = sum(self.resets.values())
            self._get(name, name)
            if sum(self.resets.values()) == before:
                return self.possible[name]

    def _delete(self, name: str, _: str) -> None:
        answer = self._ask("DELETE", self._home + name)
        if answer is None:
            self.possible[name].add(None)
            return
        assert answer.status == 204 or None in self.possible[name]
        self.possible[name] = {None}

    def _move(self, name: str, other: str) -> None:
        self._transfer("MOVE", name, other)

    def _copy(self, name: str, other: str) -> None:
        self._transfer("COPY", name, other)

    def _transfer(self, method: str, name: str, other: str) -> None:
        (here,), (there,) = self._settle(name), self._settle(other)
        answer = self._ask(method, self._home + name, headers={"Destination": self._home + other})
        left = here if method == "COPY" else None
        if answer is None:
            self.possible[name], self.possible[other] = {here, left}, {there, here}
            found = (*self._settle(name), *self._settle(other))
            assert found in {(here, there), (left, here)}, f"half of a {method} happened"
            return
        assert answer.status == (404 if here is None else 201 if there is None else 204)
        if here is not None:
            self.possible[name], self.possible[other] = {left}, {here}

    def _list(self, _: str, __: str) -> None:
        answer = self._ask("PROPFIND", self._home, headers={"Depth": "1"})
        assert answer is None or answer.status == 207

    def _share(self, name: str, _: str) -> None:
        """A name that all clients write; who does not know its present version is refused."""
        path = SHARED + name[-1]
        found = self._ask("GET", path)
        if found is None:
            return
        given = {"If-Match": found.etag} if found.status == 200 else {"If-None-Match": "*"}
        body, sent = self._body()
        answer = self._ask("PUT", path, sent, given)
        if answer is not None and answer.status != 412:
            assert answer.status in (201, 204)
            self._note(answer, hashlib.sha256(body).digest())

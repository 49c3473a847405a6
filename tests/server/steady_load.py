"""Clients that read and write all the time, and to whom nothing may be refused: not once, for no reason."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.server.dav_client import Dav
from tests.server.listing import parse
from tests.server.running import Server

# Nothing, a row, a pack of its own, several portions.
SIZES = (0, 700, 700, 20_000, 20_000, 90_000, 90_000, 400_000)
_NAMES = [f"file-{number}" for number in range(12)]


class SteadyLoad:
    """While its context lasts. What was there before is read as well: ``known`` holds paths and bodies."""

    def __init__(self, server: Server, known: dict[str, bytes], *, clients: int = 4, pause_s: float = 0.03) -> None:
        self.answers: Counter[str] = Counter()
        self._over = threading.Event()
        self._pause_s = pause_s
        self._clients = [_Client(server, number, known) for number in range(clients)]
        self._slow = _Slow(server)
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in [*self._clients, self._slow]]
        self._errors: list[BaseException] = []

    def __enter__(self) -> SteadyLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)
        try:
            if error[0] is None:
                self.require_well()
                for client in [*self._clients, self._slow]:
                    client.require_all()
        finally:
            for client in [*self._clients, self._slow]:
                client.close()

    def require_well(self) -> None:
        """Nothing was refused so far."""
        if self._errors:
            raise self._errors[0]
        assert all(thread.is_alive() for thread in self._threads) or self._over.is_set()

    def _run(self, client: _Client | _Slow) -> None:
        try:
            while not self._over.is_set():
                self.answers[client.step()] += 1
                time.sleep(self._pause_s)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever ends the load
            self._errors.append(error)


class _Client:
    def __init__(self, server: Server, number: int, known: dict[str, bytes]) -> None:
        self._dav: Dav = server.dav(timeout=120)
        self._chosen = random.Random(number)
        self._known = known
        self._paths = list(known)
        self._home = f"/dav/steady-{number}/"
        self.there: dict[str, bytes] = {}
        # There is one from an earlier load, maybe.
        assert self._dav("DELETE", self._home).status in (204, 404)
        self._dav.ok("MKCOL", self._home)

    def step(self) -> str:
        """One request, whose answer has to be the right one."""
        what = self._chosen.choices(["PUT", "GET", "known", "DELETE", "PROPFIND"], [4, 4, 4, 1, 1])[0]
        name = self._chosen.choice(_NAMES)
        if what == "PUT":
            body = self._chosen.randbytes(self._chosen.choice(SIZES))
            answer = self._dav("PUT", self._home + name, body)
            assert answer.status == (204 if name in self.there else 201), f"PUT {answer.status} {answer.text}"
            self.there[name] = body
        elif what == "GET":
            answer = self._dav("GET", self._home + name)
            expected = (200, self.there[name]) if name in self.there else (404, answer.body)
            assert (answer.status, answer.body) == expected, f"GET {answer.status} {answer.text[:200]}"
        elif what == "known" and self._paths:
            path = self._chosen.choice(self._paths)
            answer = self._dav("GET", path)
            assert (answer.status, answer.body) == (200, self._known[path]), f"GET {path} {answer.status}"
        elif what == "DELETE":
            answer = self._dav("DELETE", self._home + name)
            assert answer.status == (204 if name in self.there else 404), f"DELETE {answer.status} {answer.text}"
            self.there.pop(name, None)
        else:
            answer = self._dav("PROPFIND", self._home, headers={"Depth": "1"})
            assert answer.status == 207, f"PROPFIND {answer.status} {answer.text}"
            assert set(parse(answer)) - {self._home} == {self._home + each for each in self.there}
        return what

    def require_all(self) -> None:
        for name, body in self.there.items():
            answer = self._dav("GET", self._home + name)
            assert (answer.status, answer.body) == (200, body)

    def close(self) -> None:
        self._dav.close()


class _Slow:
    """Uploads that take seconds, so that blobs move in the middle of them."""

    def __init__(self, server: Server) -> None:
        self._dav: Dav = server.dav(timeout=120)
        self._turn = 0
        self._there: dict[str, bytes] = {}

    def step(self) -> str:
        self._turn += 1
        path = f"/dav/slow-{self._turn % 3}"
        body = random.Random(self._turn).randbytes(2_500_000 + self._turn)
        answer = self._dav("PUT", path, _slowly(body))
        assert answer.status in (201, 204), f"slow PUT {answer.status} {answer.text}"
        self._there[path] = body
        return "slow PUT"

    def require_all(self) -> None:
        for path, body in self._there.items():
            answer = self._dav("GET", path)
            assert (answer.status, answer.body) == (200, body)

    def close(self) -> None:
        self._dav.close()


def _slowly(body: bytes) -> Iterator[bytes]:
    step = len(body) // 20 + 1
    for start in range(0, len(body), step):
        yield body[start : start + step]
        time.sleep(0.1)


def fill(server: Server, files: int, size: int, *, threads: int = 4) -> dict[str, bytes]:
    """Files of about this size, some of them much smaller; paths and bodies."""
    known: dict[str, bytes] = {}

    def put(numbers: range) -> None:
        with server.dav(timeout=120) as dav:
            for number in numbers:
                path = f"/dav/known-{number % 50}/{number}"
                body = random.Random(number).randbytes(size if number % 3 else size // 20)
                dav.ok("PUT", path, body)
                known[path] = body

    with server.dav() as dav:
        for number in range(min(files, 50)):
            dav.ok("MKCOL", f"/dav/known-{number}")
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(put, range(number, files, threads)) for number in range(threads)]:
            done.result()
    return known

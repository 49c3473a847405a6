"""Things that happen at the same time: bodies that wait in the middle, and works that start together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from appliance.errors import HoldfastError
from appliance.files import write
from appliance.files.write import Written
from appliance.tree.paths import parse
from tests.files.person import Person

PATIENCE_S = 30


class Waiting:
    """A body that stops in the middle until it may go on."""

    def __init__(self, content: bytes) -> None:
        half = len(content) // 2
        self._parts = [content[:half], content[half:]]
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._parts:
            return 0
        if len(self._parts) == 1:
            self.reached.set()
            assert self.go_on.wait(PATIENCE_S), "nobody let the body go on"
        part = self._parts.pop(0)
        buffer[: len(part)] = part
        return len(part)


@contextmanager
def uploading(who: Person, path: str, content: bytes, **options: Any) -> Iterator[Future[Written]]:
    """A PUT half of whose body has come while what is within happens; its outcome is there afterwards."""
    body = Waiting(content)
    options.setdefault("length", len(content))
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(write.put_file, who.files, who.principal, parse(path), body, **options)
        try:
            assert body.reached.wait(PATIENCE_S), "the body was not read"
            yield put
        finally:
            body.go_on.set()


def together(who: Person, *works: Callable[[Person], object]) -> list[type[HoldfastError] | None]:
    """Start all at once; for each its error, None if it passed."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[Person], object]) -> type[HoldfastError] | None:
        start.wait(PATIENCE_S)
        try:
            work(who)
        except HoldfastError as error:
            return type(error)
        return None

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def one_passed(outcomes: Sequence[type[HoldfastError] | None], *refusals: type[HoldfastError]) -> bool:
    """Whether exactly one passed, and each other was refused for one of these reasons."""
    return list(outcomes).count(None) == 1 and {each for each in outcomes if each is not None} <= set(refusals)

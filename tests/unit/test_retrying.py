"""Patience with a store that fails, with a clock of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from appliance.backends import retrying
from appliance.backends.base import Blob
from appliance.backends.memory import MemoryBackend
from appliance.backends.retrying import Attempts, Circuit, RetryingBackend
from appliance.errors import BackendError, BlobMissing, HoldfastError, StorageFull
from tests.support.faults import BackendProxy


class Clock:
    """Stands still but for who waits for it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


class Flaky(BackendProxy):
    """Raises the next of ``errors`` in every call but put, until there are none; counts calls."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.errors: list[BaseException] = []
        self.calls = 0

    def _fail(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)

    def get(self, key: str, start: int, length: int) -> bytes:
        self._fail()
        return super().get(key, start, length)

    def head(self, key: str) -> int | None:
        self._fail()
        return super().head(key)

    def delete(self, key: str) -> None:
        self._fail()
        super().delete(key)

    def list(self, prefix: str) -> Iterator[Blob]:
        self._fail()
        for blob in super().list(prefix):
            yield blob
            self._fail()


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    """Opens after three requests, for five seconds."""
    return Circuit(limit=3, rest_s=5, clock=clock)


@pytest.fixture
def attempts(clock: Clock, circuit: Circuit) -> Attempts:
    """Ten seconds of them, with the longest pauses."""
    return Attempts(circuit, budget_s=10, clock=clock, sleep=clock.wait, chance=lambda: 1.0)


@pytest.fixture
def inner() -> Flaky:
    """With one blob."""
    flaky = Flaky()
    flaky.put("a", [b"abc"])
    return flaky


@pytest.fixture
def backend(inner: Flaky, attempts: Attempts) -> RetryingBackend:
    """Over it."""
    return RetryingBackend(inner, attempts)


def passing() -> BackendError:
    """What may not happen again."""
    return BackendError(key="a", reason="had a bad moment", temporary=True)


CALLS: dict[str, tuple[Callable[[Any], object], object]] = {
    "get": (lambda backend: backend.get("a", 1, 2), b"bc"),
    "head": (lambda backend: backend.head("a"), 3),
    "delete": (lambda backend: backend.delete("a"), None),
    "list": (lambda backend: list(backend.list("")), [Blob("a", 3)]),
}
every_call = pytest.mark.parametrize("name", CALLS)


@every_call
def test_what_passes_is_tried_again_with_longer_and_longer_pauses(
    inner: Flaky, backend: RetryingBackend, clock: Clock, name: str
) -> None:
    """Until it succeeds, and nobody notices."""
    inner.errors = [passing() for _ in range(6)]
    call, expected = CALLS[name]
    assert call(backend) == expected
    assert clock.waited == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.0])


@every_call
def test_what_does_not_pass_within_the_budget_is_raised(
    inner: Flaky, backend: RetryingBackend, clock: Clock, name: str
) -> None:
    """As the store raised it the last time; no attempt begins after the budget."""
    inner.errors = [passing() for _ in range(100)]
    with pytest.raises(BackendError, match="had a bad moment"):
        CALLS[name][0](backend)
    assert sum(clock.waited) <= 10
    assert inner.calls == len(clock.waited) + 1 == 8


@every_call
@pytest.mark.parametrize(
    "error",
    [
        BackendError(key="a", reason="is denied"),
        BlobMissing(key="a"),
        StorageFull(),
        KeyboardInterrupt(),
        ValueError("a defect"),
    ],
)
def test_what_cannot_pass_is_raised_at_once(
    inner: Flaky, backend: RetryingBackend, clock: Clock, name: str, error: BaseException
) -> None:
    """Trying again costs time and helps nobody."""
    inner.errors = [error]
    with pytest.raises(type(error)) as caught:
        CALLS[name][0](backend)
    assert caught.value is error
    assert clock.waited == []
    assert CALLS[name][0](backend) == CALLS[name][1]


def test_pauses_are_of_random_length(inner: Flaky, clock: Clock, circuit: Circuit) -> None:
    """From nothing to the longest, so that many who failed at once come back one by one."""
    chances = iter([0.0, 0.5, 1.0])
    backend = RetryingBackend(inner, Attempts(circuit, clock=clock, sleep=clock.wait, chance=lambda: next(chances)))
    inner.errors = [passing() for _ in range(3)]
    assert backend.head("a") == 3
    assert clock.waited == pytest.approx([0.0, 0.1, 0.4])


def test_list_goes_on_behind_what_it_gave(inner: Flaky, backend: RetryingBackend) -> None:
    """An error in the middle neither repeats nor leaves out a blob, and each blob has a budget of its own."""
    for number in range(10):
        inner.put(f"b/{number}", [b"x"])
    seen = []
    for blob in backend.list("b/"):
        seen.append(blob.key)
        inner.errors = [passing(), passing()]
    assert seen == [f"b/{number}" for number in range(10)]


def test_put_is_made_once(inner: Flaky, attempts: Attempts) -> None:
    """Its blocks come only once; who gathers them repeats."""

    class Failing(BackendProxy):
        puts = 0

        def put(self, key: str, blocks: Any) -> int:
            Failing.puts += 1
            raise passing()

    with pytest.raises(BackendError):
        RetryingBackend(Failing(inner), attempts).put("b", [b"x"])
    assert Failing.puts == 1


def fail(backend: RetryingBackend, inner: Flaky, times: int) -> None:
    """So many requests, each with all its attempts."""
    for _ in range(times):
        inner.errors = [passing() for _ in range(100)]
        with pytest.raises(BackendError, match="had a bad moment"):
            backend.head("a")
    inner.errors = []


def test_circuit_opens_after_failures_in_a_row(
    inner: Flaky, backend: RetryingBackend, clock: Clock, circuit: Circuit
) -> None:
    """A success in between begins anew; while it is open nothing is asked, and the reason is told."""
    fail(backend, inner, 2)
    assert backend.head("a") == 3
    fail(backend, inner, 2)
    assert not circuit.is_open
    fail(backend, inner, 1)
    assert circuit.is_open
    inner.calls, clock.waited = 0, []
    for call, _ in CALLS.values():
        with pytest.raises(BackendError) as caught:
            call(backend)
        assert caught.value.temporary
        assert "not tried, since the last 3 requests to the store failed" in caught.value.reason
        assert "had a bad moment" in caught.value.reason
    with pytest.raises(BackendError, match="not tried"):
        backend.put("b", iter(pytest.fail, None))
    assert inner.calls == 0
    assert clock.waited == []
    assert inner.inner.head("a") == 3


def test_one_request_finds_out_for_all_after_a_rest(
    inner: Flaky, backend: RetryingBackend, clock: Clock, circuit: Circuit
) -> None:
    """With a single attempt; if it fails, the others wait for another rest."""
    fail(backend, inner, 3)
    clock.now += 4.9
    with pytest.raises(BackendError, match="not tried"):
        backend.head("a")
    clock.now += 0.2
    inner.errors, inner.calls = [passing() for _ in range(100)], 0
    with pytest.raises(BackendError, match="had a bad moment"):
        backend.head("a")
    assert inner.calls == 1
    with pytest.raises(BackendError, match="not tried, since the last 4 requests"):
        backend.head("a")
    clock.now += 5.1
    inner.errors = []
    assert backend.head("a") == 3
    assert not circuit.is_open
    fail(backend, inner, 2)
    assert not circuit.is_open


@pytest.mark.parametrize(
    "error, closes",
    [(BlobMissing(key="a"), True), (StorageFull(), True), (KeyboardInterrupt(), False), (ValueError("x"), False)],
)
def test_refusal_is_an_answer_too(
    inner: Flaky, backend: RetryingBackend, clock: Clock, circuit: Circuit, error: BaseException, closes: bool
) -> None:
    """A store that says no is there; what says nothing about it leaves the question to the next request."""
    fail(backend, inner, 3)
    clock.now += 5.1
    inner.errors = [error]
    with pytest.raises(type(error)):
        backend.head("a")
    assert circuit.is_open is not closes
    assert backend.head("a") == 3
    assert not circuit.is_open


def test_only_one_thread_finds_out(clock: Clock, circuit: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for it a moment, and not for as long as a store may hang."""
    monkeypatch.setattr(retrying, "_PROBE_S", 0.05)
    attempts = Attempts(circuit, budget_s=0, clock=clock, sleep=clock.wait)
    for _ in range(3):
        with pytest.raises(BackendError):
            attempts.run("a", lambda: (_ for _ in ()).throw(passing()))
    clock.now += 5.1
    asked, release = threading.Event(), threading.Event()
    outcomes: list[object] = []

    def hang() -> str:
        asked.set()
        assert release.wait(20)
        return "back"

    probe = threading.Thread(target=lambda: outcomes.append(attempts.run("a", hang)))
    probe.start()
    assert asked.wait(20)
    for _ in range(5):
        with pytest.raises(BackendError, match="not tried"):
            attempts.run("a", pytest.fail)
    release.set()
    probe.join(20)
    assert outcomes == ["back"]
    assert attempts.run("a", lambda: "closed") == "closed"


@pytest.mark.parametrize("is_back", [True, False])
def test_others_do_what_the_one_found_out(clock: Clock, circuit: Circuit, is_back: bool) -> None:
    """Portions of one read, say, which are asked for side by side: all of them come, or none."""
    for _ in range(3):
        circuit.failed("gone", probe=False)
    clock.now += 5.1
    assert circuit.begin("a") is True
    outcomes: list[object] = []

    def another() -> None:
        try:
            outcomes.append(circuit.begin("b"))
        except BackendError as error:
            outcomes.append(str(error))

    others = [threading.Thread(target=another) for _ in range(3)]
    for other in others:
        other.start()
    if is_back:
        circuit.answered()
    else:
        circuit.failed("gone", probe=True)
    for other in others:
        other.join(20)
    assert len(outcomes) == 3
    assert all(outcome is False if is_back else "not tried" in str(outcome) for outcome in outcomes)


def test_request_that_waits_gives_up_when_the_circuit_opens(clock: Clock, circuit: Circuit) -> None:
    """What others found out meanwhile counts for it as well."""

    def wait(seconds: float) -> None:
        clock.wait(seconds)
        for _ in range(3):
            circuit.failed("gone", probe=False)

    attempts = Attempts(circuit, clock=clock, sleep=wait, chance=lambda: 1.0)
    calls: list[int] = []

    def request() -> None:
        calls.append(1)
        raise passing()

    with pytest.raises(HoldfastError):
        attempts.run("a", request)
    assert len(calls) == 2

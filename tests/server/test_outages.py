"""The database or the S3 store is gone for a while: who needs it is told to come back, and nothing is lost."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.dav_client import Answer, Dav
from tests.server.nodes import new_database
from tests.server.running import Server, until
from tests.support import postgres, s3

MIB = 1_048_576
SMALL, LARGE = 2_000, 3 * MIB


class Phase:
    """What is going on: ``before``, ``outage``, ``recovery``, ``after``; in between is neither."""

    def __init__(self) -> None:
        self.now = "before"


class Client:
    """Puts and gets files of its own, again and again; knows what has to be there."""

    def __init__(self, server: Server, number: int, phase: Phase, done: threading.Event) -> None:
        self._server = server
        self._home = f"/dav/client-{number}/"
        self._chosen = random.Random(number)
        self._phase = phase
        self._done = done
        # By name: what may be there. Two bodies after an answer that leaves it open.
        self.possible: dict[str, list[bytes | None]] = {}
        # The phases in which each request began and ended, and what came of it.
        self.answers: list[tuple[str, str, str]] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        with self._server.dav() as dav:
            dav.ok("MKCOL", self._home)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._server.dav(timeout=120) as dav:
                while not self._done.is_set():
                    self._step(dav)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever joins
            self.error = error

    def finish(self) -> None:
        self._thread.join(180)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        with self._server.dav() as dav:
            for name, possible in self.possible.items():
                answer = dav("GET", self._home + name)
                assert answer.status in (200, 404), (name, answer.status, answer.text)
                assert (answer.body if answer.status == 200 else None) in possible, (name, answer.status)

    def _step(self, dav: Dav) -> None:
        began = self._phase.now
        name = self._chosen.choice("abcdef")
        size = self._chosen.choice((SMALL, SMALL, LARGE))
        if self._chosen.random() < 0.5:
            body = self._chosen.randbytes(size)
            answer = dav("PUT", self._home + name, body)
            self._note(began, "PUT", answer, size)
            if answer.status in (201, 204):
                self.possible[name] = [body]
            else:
                self.possible[name] = [*self.possible.get(name, [None]), body]
            return
        try:
            answer = dav("GET", self._home + name)
        except http.client.IncompleteRead:
            # What had begun is broken off: never shorter without a word.
            self.answers.append((began, self._phase.now, "GET cut"))
            dav.close()
            return
        known = self.possible.get(name, [None])
        self._note(began, "GET", answer, max((len(each) for each in known if each), default=0))
        if answer.status in (200, 404):
            assert (answer.body if answer.status == 200 else None) in known

    def _note(self, began: str, method: str, answer: Answer, size: int) -> None:
        assert answer.status < 500 or answer.status == 503, f"{method}: {answer.status} {answer.text}"
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0
        what = f"{method} {'large' if size > SMALL else 'small'} {answer.status}"
        self.answers.append((began, self._phase.now, what))


class Told(dict[str, Counter[str]]):
    """By phase: the answers to requests that began and ended in it. Others may have any of two phases' answers."""

    def __init__(self, clients: list[Client]) -> None:
        super().__init__({phase: Counter() for phase in ("before", "outage", "recovery", "after")})
        for began, ended, what in (answer for client in clients for answer in client.answers):
            if began == ended and began in self:
                self[began][what] += 1


def outage(
    server: Server,
    seconds: float,
    stop: Callable[[], object],
    start: Callable[[], object],
    *,
    until_told: str | None = None,
    unsure: float = 0,
) -> Told:
    """What clients are answered before, between and after the stop and the start.

    The outage is longer than ``seconds`` on a busy machine, where nobody is ``until_told`` of it by then. Once the
    server works again, some of its processes may not know it for ``unsure`` seconds.
    """
    phase, done = Phase(), threading.Event()
    clients = [Client(server, number, phase, done) for number in range(4)]
    for client in clients:
        client.start()
    try:
        time.sleep(3)
        phase.now = "stopping"
        stop()
        phase.now = "outage"
        time.sleep(seconds)
        until(lambda: until_told is None or until_told in Told(clients)["outage"], 90, str(until_told))
        phase.now = "starting"
        start()
        phase.now = "recovery"
        until(lambda: _works(server), 60, "the recovery")
        time.sleep(unsure)
        phase.now = "after"
        time.sleep(3)
    finally:
        done.set()
    for client in clients:
        client.finish()
    told = Told(clients)
    assert told["before"], told
    assert told["after"], told
    assert not [what for what in told["before"] + told["after"] if what.endswith(("503", "cut"))], told
    return told


def _works(server: Server) -> bool:
    with server.dav() as dav:
        path = f"/dav/works-{time.monotonic_ns()}"
        return dav("PUT", path, random.randbytes(LARGE)).status == 201 and dav("GET", path).status == 200


@pytest.fixture
def store(tmp_path: Path) -> Iterator[s3.Running]:
    """An S3 server of the test's own."""
    name = next((name for name in s3.present() if name in ("minio", "versitygw", "rclone")), None)
    if name is None:
        pytest.skip("there is no S3 server that could be stopped")
    with s3.Running(name, tmp_path / "objects") as running:
        yield running


def over_s3(tmp_path: Path, store: s3.Running) -> Server:
    """A server whose blobs are in it."""
    (tmp_path / "server").mkdir()
    place, keys = store.place, store.credentials
    return Server(
        tmp_path / "server",
        settings={
            "blobs_url": f"s3://{place.bucket}/files?endpoint={place.endpoint}&region={place.region}",
            "s3_access_key": keys.access_key,
            "s3_secret_key": keys.secret_key,
        },
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [15, pytest.param(60, marks=pytest.mark.soak)])
def test_s3_that_stops_costs_answers_and_nothing_else(tmp_path: Path, store: s3.Running, seconds: float) -> None:
    """Large content is 503 with Retry-After meanwhile; small content, which is in the database, goes on."""
    server = over_s3(tmp_path, store).start()
    # Each process looks by itself every 5 seconds.
    told = "PUT large 503"
    during = outage(server, seconds, store.kill, lambda: (store.start(), store.ready()), until_told=told, unsure=8)[
        "outage"
    ]
    assert during[told], during
    assert during["PUT small 201"] + during["PUT small 204"], during
    assert during["GET small 200"], during
    assert not during["PUT small 503"], during
    server.may_report_errors = True
    server.finish()


@pytest.mark.timeout(600)
def test_s3_that_is_gone_is_no_empty_folder_and_no_damage(tmp_path: Path, store: s3.Running) -> None:
    """Listings are told as they are, content is 503, and whoever looks after stored bytes finds nothing wrong."""
    server = over_s3(tmp_path, store).start()
    body = random.Random(1).randbytes(LARGE)
    with server.dav() as dav:
        dav.ok("MKCOL", "/dav/folder")
        dav.ok("PUT", "/dav/folder/file", body)
    server.restart()
    store.kill()
    with server.dav(timeout=120) as dav:
        listed = dav("PROPFIND", "/dav/folder/", headers={"Depth": "1"})
        assert listed.status == 207
        assert "/dav/folder/file" in listed.text
        assert dav("GET", "/dav/folder/file").status == 503
        assert dav("GET", "/readyz").status == 503
        assert dav("GET", "/healthz").status == 200
    for command in (("check",), ("scrub", "--now")):
        told = server.holdfast(*command, succeeds=False, seconds=180)
        assert told.returncode != 0, (command, told.stdout, told.stderr)
        assert "does not answer" in told.stderr, told.stderr
        assert "finding" not in told.stdout, told.stdout
    other = server.holdfast(
        "serve", "--listen", "127.0.0.1:0", succeeds=False, environment={"HOLDFAST_DATA": str(tmp_path / "new")}
    )
    assert other.returncode == 2, other.stderr
    assert "blobs_url" in other.stderr
    store.start()
    store.ready()
    until(lambda: _works(server), 60, "the recovery")
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/folder/file").body == body
    server.may_report_errors = True
    server.finish()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.soak)])
def test_postgresql_that_restarts_costs_answers_and_nothing_else(tmp_path: Path, seconds: float) -> None:
    """Everything is 503 with Retry-After meanwhile, nothing afterwards."""
    try:
        with postgres.private_server() as running:
            blobs = tmp_path / "blobs"
            blobs.mkdir()
            (tmp_path / "server").mkdir()
            settings = {"database_url": new_database(running.url), "blobs_url": f"file://{blobs}"}
            server = Server(tmp_path / "server", settings=settings).start()
            told = outage(server, seconds, lambda: running.stop("fast"), running.start)
            assert told["outage"], told
            assert not [what for what in told["outage"] if not what.endswith("503")], told
            assert not [what for what in told["recovery"] if what.endswith(("503", "cut"))], told
            server.may_report_errors = True
            server.finish()
    except postgres.NotInstalled as reason:
        pytest.skip(str(reason))

"""What stands around the faces: whom a request counts for, which bytes, and what its answer tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from appliance.db.database import Database
from appliance.errors import BodyIncomplete, RateLimited
from appliance.principal import Principal, system
from appliance.rates import limiter as limiters
from appliance.rates.buckets import Buckets
from appliance.rates.limit import RateLimit, What, Whose
from appliance.rates.limiter import RateLimiter
from providers.front.metering import Meter
from providers.http.later import RESUMED
from tests.support.databases import on_sqlite

pytestmark = on_sqlite
ALICE = Principal("user", 1, "alice", "member", 1, 7, "dav", "192.0.2.1")


class Body:
    """A request's body of which so much has come."""

    def __init__(self, arrived: int) -> None:
        self.arrived = arrived


class Stream:
    """Blocks that are made when they are asked for."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        self.closed = True


class Face:
    """Answers what it is told to, and for whom."""

    def __init__(self, database: Database, *limits: tuple[Whose, What, int], exempt: str = "") -> None:
        made = [RateLimit.of(*each, workers=1) for each in limits]
        self.limiter = RateLimiter(made, Buckets(database))
        self.meter = Meter(self.limiter, exempt=lambda share: share == exempt)
        self.blocks: Iterable[bytes] = [b"hello"]
        self.headers: list[tuple[str, str]] = []
        self.principal: Principal | None = ALICE
        self.error: Exception | None = None
        self.told: dict[str, str] = {}
        self.status = ""
        self.more: dict[str, Any] = {}

    def ask(self, method: str = "GET", address: str = "192.0.2.1", arrived: int = 0) -> Iterable[bytes]:
        """The blocks of the answer."""
        environ = {"REQUEST_METHOD": method, "REMOTE_ADDR": address, "wsgi.input": Body(arrived),
                   "holdfast.target": "/dav/", **self.more}  # fmt: skip
        return self.meter.through(self._answer, environ, self._start)

    def bytes_left(self) -> int:
        """Of the user, as they would be told."""
        (told,) = self.limiter.users.of(1).told(float("inf"))
        return told.left

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.principal is not None:
            self.meter.admit(environ, self.principal)
        if self.error is not None:
            raise self.error
        start_response("200 OK", self.headers)
        return self.blocks

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = status
        self.told = dict(headers)


def test_request_counts_for_address_user_and_token(database: Database) -> None:
    """Each is told apart."""
    face = Face(database, ("user", "requests", 50), ("token", "requests", 40), ("address", "requests", 60))
    face.ask()
    assert face.told == {
        "RateLimit-Policy": '"address-requests";q=60;w=60, "user-requests";q=50;w=60, "token-requests";q=40;w=60',
        "RateLimit": '"address-requests";r=59;t=59, "user-requests";r=49;t=59, "token-requests";r=39;t=59',
    }


def test_main_password_counts_for_no_token_and_the_system_for_nobody(database: Database) -> None:
    """Strangers count for their address alone, if that has a limit."""
    face = Face(database, ("user", "requests", 50), ("token", "requests", 40))
    face.principal = Principal("user", 1, "alice", "member", 1, None, "dav", "192.0.2.1")
    face.ask()
    assert face.told["RateLimit-Policy"] == '"user-requests";q=50;w=60'
    for nobody in (None, system(1, face="dav")):
        face.principal = nobody
        face.ask()
        assert face.told == {}


def test_refused_user_is_not_answered_and_another_one_is(database: Database) -> None:
    """The face hears of it as of an error."""
    face = Face(database, ("user", "requests", 3))
    for _ in range(3):
        face.ask()
    with pytest.raises(RateLimited) as caught:
        face.ask()
    assert (caught.value.limit, caught.value.retry_after_s) == ("user-requests", 20)
    face.principal = Principal("user", 2, "bob", "member", 2, None, "dav", "192.0.2.1")
    face.ask()
    assert face.status == "200 OK"


def test_refused_address_is_answered_here_and_a_proxy_never(database: Database) -> None:
    """The face is not asked at all. HEAD has no body."""
    face = Face(database, ("address", "requests", 2), exempt="192.0.2.99")
    for _ in range(2):
        face.ask()
    assert list(face.ask()) == [b"too many address requests; try again in 30 s\n"]
    assert (face.status, face.told["Retry-After"]) == ("429 Too Many Requests", "30")
    assert list(face.ask("HEAD")) == []
    for _ in range(5):
        face.ask(address="192.0.2.99")
        assert face.status == "200 OK"
        assert face.told == {}


def test_bytes_of_body_and_answer_count_once(database: Database) -> None:
    """A whole answer when it is there, another one as it goes; HEAD sends none."""
    face = Face(database, ("user", "bytes", 1_000_000))
    most = face.bytes_left()
    assert face.ask(arrived=1000) is face.blocks
    assert most - face.bytes_left() == 1005
    face.ask("HEAD", arrived=10)
    assert most - face.bytes_left() == 1015
    face.blocks = stream = Stream([b"12345", b"", b"6789"])
    passing = face.ask()
    assert next(iter(passing)) == b"12345"
    assert most - face.bytes_left() == 1020
    assert list(passing) == [b"", b"6789"]
    assert most - face.bytes_left() == 1024
    passing.close()  # type: ignore[attr-defined]
    assert stream.closed


def test_body_that_breaks_off_counts(database: Database) -> None:
    """What has come has come."""
    face = Face(database, ("user", "bytes", 1_000_000))
    most = face.bytes_left()
    face.error = BodyIncomplete(received=300, expected=400)
    with pytest.raises(BodyIncomplete):
        face.ask("PUT", arrived=300)
    assert most - face.bytes_left() == 300


def test_answer_without_a_limit_of_bytes_is_passed_on_as_it_is(database: Database) -> None:
    """Nothing is between the face and the connection."""
    face = Face(database, ("user", "requests", 1000))
    face.blocks = Stream([b"1"])
    assert face.ask() is face.blocks


def test_answer_that_others_may_keep_tells_nothing(database: Database) -> None:
    """A shared cache would give it to them."""
    face = Face(database, ("user", "requests", 1000))
    face.headers = [("Cache-Control", "public, max-age=60")]
    face.ask()
    assert face.told == dict(face.headers)
    face.headers = [("Cache-Control", "private, no-cache")]
    face.ask()
    assert "RateLimit" in face.told


def test_who_has_waited_is_told_what_is_left_and_not_refused(database: Database) -> None:
    """It was counted as a request when the question came; the bytes of the answer count."""
    face = Face(database, ("user", "requests", 2), ("user", "bytes", 1_000_000))
    face.ask()
    face.ask()
    with pytest.raises(RateLimited):
        face.ask()
    user = face.limiter.users.of(1)
    before = [told.left for told in user.told(float("inf"))]
    face.more = {RESUMED: True}
    face.blocks = [b"x" * 700]
    face.ask()
    assert {"RateLimit", "RateLimit-Policy"} <= face.told.keys()
    assert [told.left for told in user.told(float("inf"))] == [before[0], before[1] - 700]


def test_oldest_subjects_are_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses somebody has, memory has an end."""
    monkeypatch.setattr(limiters, "_SUBJECTS_MOST", 3)
    addresses = Face(database, ("address", "requests", 100)).limiter.addresses
    first = addresses.of("192.0.2.1")
    assert addresses.of("192.0.2.1") is first
    for number in range(2, 5):
        addresses.of(f"192.0.2.{number}")
    assert addresses.of("192.0.2.1") is not first

"""URLs of an S3 store: as AWS signs, for one range, for a while; and what wrappers make of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from appliance.backends.base import Backend
from appliance.backends.cached import CachedBackend
from appliance.backends.exchanged import ExchangedBackend
from appliance.backends.memory import MemoryBackend
from appliance.backends.moving import MovingBackend
from appliance.backends.paced import PacedBackend, Pacer
from appliance.backends.retrying import Attempts, Circuit, RetryingBackend
from appliance.backends.s3_place import Credentials, Place
from appliance.backends.s3_presign import Presigner, canonical, sign, sign_query
from appliance.backends.sealed import SealedBackend
from tests.conformance.sealing import STORE, KeysInMemory
from tests.support import s3
from tests.support.content import noise
from tests.support.fetching import fetch
from tests.support.giving import Giving

KEY = "packs/00000001/00000001"
# Of AWS's documentation of Signature Version 4.
_OF_AWS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
_HOST = "examplebucket.s3.amazonaws.com"
_AT = datetime(2013, 5, 24, tzinfo=UTC)
_NO_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_query_is_signed_as_in_the_documentation_of_aws() -> None:
    """Its example of a URL that holds for a day."""
    query = sign_query("/test.txt", {"host": _HOST}, _OF_AWS, "us-east-1", _AT, 86400)
    assert query == (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_range_is_signed_as_in_the_documentation_of_aws() -> None:
    """Its example of a GET of the first ten bytes, whose signature stands in a header."""
    headers = {
        "host": _HOST,
        "range": "bytes=0-9",
        "x-amz-content-sha256": _NO_BODY,
        "x-amz-date": "20130524T000000Z",
    }
    found = sign(canonical("/test.txt", "", headers, _NO_BODY), _OF_AWS, "us-east-1", _AT)
    assert found == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


@pytest.mark.parametrize(
    ("place", "begins"),
    [
        (Place("files", "a/b/", "https://s3.example.com:8443"), "https://s3.example.com:8443/files/a/b/packs/"),
        (Place("files", "", "http://[::1]:9000"), "http://[::1]:9000/files/packs/"),
        (Place("files", "a/", "https://s3.example.com", style="virtual"), "https://files.s3.example.com/a/packs/"),
        (Place("my.files", "a/", "https://s3.example.com", style="virtual"), "https://s3.example.com/my.files/a/packs/"),
        (Place("files", "a/", region="eu-west-1", style="virtual"), "https://files.s3.eu-west-1.amazonaws.com/a/"),
    ],
)  # fmt: skip
def test_url_is_that_of_the_object(place: Place, begins: str) -> None:
    """As requests name it, in each style."""
    url = Presigner(place, _OF_AWS).url(KEY, 5, 10, 60)
    assert url.startswith(begins)
    assert parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"] == ["host;range"]


def test_url_names_the_endpoint_of_clients_and_the_session() -> None:
    """Without the secret; the token is signed along."""
    place = Place("files", "", "http://10.0.0.5:9000")
    with_token = Credentials("AKIA", "a secret", "a+token/with=signs")
    url = Presigner(place, with_token, "https://s3.example.com").url(KEY, 0, 1, 60)
    assert url.startswith(f"https://s3.example.com/files/{KEY}?")
    assert parse_qs(urlsplit(url).query)["X-Amz-Security-Token"] == ["a+token/with=signs"]
    assert "secret" not in url


@pytest.fixture
def backend(s3_server: s3.Server) -> Backend:
    """An empty one that gives URLs."""
    return s3_server.backend(presigns=True)


def given(backend: Backend, start: int, length: int, seconds: int = 60) -> str:
    """A URL that there has to be."""
    url = backend.presign(KEY, start, length, seconds)
    assert url is not None
    return url


def test_url_gives_its_range_and_no_other_byte(backend: Backend) -> None:
    """Refused by the store itself: without a range, with another, altered, for another blob or method."""
    content = noise(300_000)
    backend.put(KEY, [content])
    backend.put(KEY[:-1] + "2", [content])
    url = given(backend, 1000, 200_000)
    headers = {"Range": "bytes=1000-200999"}
    assert fetch(url, headers) == (206, content[1000:201_000])
    assert fetch(url, headers) == (206, content[1000:201_000])
    for other in ({}, {"Range": "bytes=0-"}, {"Range": "bytes=1000-201000"}, {"Range": "bytes=999-200999"},
                  {"Range": "bytes=1000-200998"}, {"Range": "bytes=1000-200999,250000-250001"}):  # fmt: skip
        # MinIO says 400 if a signed header is missing altogether, and that access is denied.
        status, body = fetch(url, other)
        assert status in (400, 403), other
        assert b"AccessDenied" in body or b"SignatureDoesNotMatch" in body
    altered = (
        url.replace(KEY, KEY[:-1] + "2"),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"),
        url.replace("SignedHeaders=host%3Brange", "SignedHeaders=host"),
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.replace("?", "?partNumber=1&"),
    )
    assert {fetch(each, headers)[0] for each in altered} == {403}
    assert {fetch(url, headers, method)[0] for method in ("PUT", "DELETE", "HEAD")} == {403}
    assert backend.get(KEY, 0, 300_000) == content


def test_url_expires(backend: Backend) -> None:
    """To the second."""
    backend.put(KEY, [b"content"])
    url, headers = given(backend, 1, 3, 2), {"Range": "bytes=1-3"}
    assert fetch(url, headers) == (206, b"ont")
    time.sleep(3.1)
    assert fetch(url, headers)[0] == 403


def test_host_of_clients_may_be_another(minio: s3.Running) -> None:
    """The host is signed: where the server itself goes does not matter."""
    plain = minio.backend("public")
    plain.put(KEY, [b"content"])
    endpoint = f"http://localhost:{minio.port}"
    url = Presigner(plain.place, minio.credentials, endpoint).url(KEY, 0, 7, 60)
    assert url.startswith(endpoint)
    assert fetch(url, {"Range": "bytes=0-6"}) == (206, b"content")
    assert fetch(url.replace("localhost", "127.0.0.1"), {"Range": "bytes=0-6"})[0] == 403


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner, _: RetryingBackend(inner, Attempts(Circuit())),
        lambda inner, folder: CachedBackend(inner, folder, 1_000_000),
        lambda inner, _: PacedBackend(inner, Pacer(1_000_000)),
        lambda inner, _: ExchangedBackend(inner, lambda: None),
    ],
    ids=["retrying", "cached", "paced", "exchanged"],
)
def test_wrapper_passes_it_on(wrap: Callable[[Backend, Path], Backend], tmp_path: Path) -> None:
    """What lies there is what it gives itself."""
    backend = wrap(Giving(MemoryBackend()), tmp_path)
    assert backend.presign(KEY, 1, 2, 3) == f"{KEY} 1 2 3"
    assert backend.url_s == 77


@pytest.mark.parametrize("seals", [True, False])
def test_sealing_gives_none(seals: bool) -> None:
    """Nobody could read it; and whether a blob is plain is not asked. Those of before may still be in use."""
    backend = SealedBackend(Giving(MemoryBackend()), KeysInMemory("one"), STORE, seals=seals)
    backend.put(KEY, [b"content"])
    assert backend.presign(KEY, 0, 7, 60) is None
    assert backend.url_s == 77


@pytest.mark.parametrize("announced", [True, False])
def test_moving_gives_none(announced: bool) -> None:
    """A blob would be gone from there before the URL has expired; those of before are waited for."""
    for old, new in ((Giving(MemoryBackend()), MemoryBackend()), (MemoryBackend(), Giving(MemoryBackend()))):
        backend = MovingBackend(old, new, announced=announced)
        assert backend.presign(KEY, 0, 7, 60) is None
        assert backend.url_s == 77


def test_without_a_presigner_there_is_none(minio: s3.Running) -> None:
    """As by the settings, unless they say otherwise."""
    backend = minio.backend()
    assert (backend.presign(KEY, 0, 7, 60), backend.url_s) == (None, 0)

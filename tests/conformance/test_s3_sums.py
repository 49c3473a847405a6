"""A store is asked once whether it compares CRC-32C; one that does not gets the sums that it has to know."""

from __future__ import annotations

import base64
import io
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytest
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3 import HTTPResponse

from appliance.backends import s3_client
from appliance.backends.s3_sums import SummingMinio, compares, sum_of
from appliance.errors import BackendError
from tests.support import s3
from tests.support.content import MIB, noise
from tests.support.faults import in_threads

COMPARES = {"minio": True, "versitygw": True, "moto": False}
CONTENT = noise(2 * MIB)


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The headers of all PUTs, names in lower case; they are still made."""
    made: list[dict[str, str]] = []
    real = s3_client._Pool.urlopen

    def urlopen(pool: Any, method: str, url: str, **named: Any) -> Any:
        if method == "PUT":
            made.append({name.lower(): value for name, value in named["headers"].items()} | {"url": url})
        return real(pool, method, url, **named)

    monkeypatch.setattr(s3_client._Pool, "urlopen", urlopen)
    return made


def with_crc(puts: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those of blobs, not of probes, that carry the right CRC-32C and are signed without a sum."""
    expected = base64.b64encode(sum_of(CONTENT).to_bytes(4)).decode()
    return [
        put
        for put in puts
        if (put.get("x-amz-checksum-crc32c"), put["x-amz-content-sha256"]) == (expected, "UNSIGNED-PAYLOAD")
        and "content-md5" not in put
    ]


def test_large_blobs_carry_the_sum_that_the_store_compares(s3_server: s3.Server, puts: list[dict[str, str]]) -> None:
    """Else that of the client. What the store was asked for is gone."""
    backend = s3_server.backend()
    for number in range(3):
        backend.put(f"packs/1/{number}", [CONTENT[:MIB], CONTENT[MIB:]])
        assert backend.get(f"packs/1/{number}", 0, len(CONTENT)) == CONTENT
    blobs = [put for put in puts if "probe-" not in put["url"]]
    assert len(blobs) == 3
    if s3_server.name in COMPARES:
        assert len(with_crc(blobs)) == (3 if COMPARES[s3_server.name] else 0)
    for put in blobs:
        if put not in with_crc(blobs):
            assert len(put["x-amz-content-sha256"]) == 64 or "content-md5" in put
    assert len(puts) - len(blobs) <= 2
    assert [blob.key for blob in backend.list("")] == [f"packs/1/{number}" for number in range(3)]


def test_small_blobs_ask_nothing(minio: s3.Running, puts: list[dict[str, str]]) -> None:
    """Their sum costs less than the question."""
    minio.backend().put("packs/1/1", [CONTENT[: MIB - 1]])
    assert len(puts) == 1
    assert len(puts[0]["x-amz-content-sha256"]) == 64


def test_threads_that_put_at_the_same_time_do_not_share_a_sum(minio: s3.Running) -> None:
    """Each sends its own; the store would refuse another one's."""
    backend = minio.backend()
    contents = [noise(MIB + number, number) for number in range(8)]
    in_threads(8, lambda thread: [backend.put(f"packs/{thread}/1", [contents[thread]])])
    for number, content in enumerate(contents):
        assert backend.get(f"packs/{number}/1", 0, len(content)) == content


class Refusing:
    """A store that answers puts of wrong and of right sums so; no real one does each of that on demand."""

    def __init__(self, wrong: Exception | None, right: Exception | None) -> None:
        self.answers = [wrong, right]
        self.there = 0

    def with_sum(self, crc: int) -> AbstractContextManager[None]:
        return nullcontext()

    def put_object(self, bucket: str, name: str, data: io.BytesIO, length: int, **named: Any) -> None:
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer
        self.there += 1

    def remove_object(self, bucket: str, name: str) -> None:
        self.there -= 1


def refusal(code: str, status: int = 400) -> S3Error:
    """As a store words it."""
    return S3Error(HTTPResponse(status=status), code, "", "", "", "")


@pytest.mark.parametrize(
    ("wrong", "right", "expected"),
    [
        (refusal("BadDigest"), None, True),
        (None, None, False),
        (refusal("BadDigest"), refusal("BadDigest"), False),
        (refusal("RequestTimeout"), None, None),
        (refusal("AccessDenied", 403), None, None),
        (refusal("NotImplemented", 501), None, None),
        (refusal("SlowDown", 503), None, None),
        (InvalidResponseError(403, "text/html", "<html>"), None, None),
        (ServerError("502", 502), None, None),
        (refusal("BadDigest"), refusal("SlowDown", 503), None),
    ],
)
def test_store_has_to_say_that_the_sum_is_wrong(
    wrong: Exception | None, right: Exception | None, expected: bool | None
) -> None:
    """Whatever else it refuses the put for says nothing of sums, and a blob would go out without any."""
    store = Refusing(wrong, right)
    assert compares(cast("SummingMinio", store), "bucket", "ours/") is expected
    assert store.there == 0


def test_store_that_cannot_be_asked_is_asked_again(minio: s3.Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put meanwhile, as with any other request that fails; the next put finds out."""
    backend = minio.backend()
    real = s3_client._Pool.urlopen
    down = True

    def urlopen(pool: Any, method: str, url: str, **named: Any) -> Any:
        if down and "probe-" in url:
            raise OSError("the line is cut")
        return real(pool, method, url, **named)

    monkeypatch.setattr(s3_client._Pool, "urlopen", urlopen)
    with pytest.raises(BackendError, match="does not answer") as caught:
        backend.put("packs/1/1", [CONTENT])
    assert caught.value.temporary
    down = False
    backend.put("packs/1/1", [CONTENT])
    assert backend.get("packs/1/1", 0, len(CONTENT)) == CONTENT

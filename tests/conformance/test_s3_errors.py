"""What goes wrong with an S3 store is told in words of the product, and is never taken for a blob that is missing."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from minio import time as client_time

from appliance.backends import s3_errors
from appliance.backends.retrying import Attempts, Circuit
from appliance.backends.s3 import S3Backend
from appliance.backends.s3_place import Place
from appliance.errors import BackendError, BlobMissing, HoldfastError, StorageFull
from tests.support import s3
from tests.support.content import MIB, noise
from tests.support.mounts import tmpfs

Call = Callable[[S3Backend], object]

CALLS: dict[str, Call] = {
    "put": lambda backend: backend.put("packs/1/1", [noise(1000)]),
    "put of a large blob": lambda backend: backend.put("packs/1/1", [noise(9 * MIB)]),
    "get": lambda backend: backend.get("packs/1/1", 0, 10),
    "get of nothing": lambda backend: backend.get("packs/1/1", 0, 0),
    "head": lambda backend: backend.head("packs/1/1"),
    "delete": lambda backend: backend.delete("packs/1/1"),
    "list": lambda backend: list(backend.list("")),
    "probe": lambda backend: backend.probe(),
}
every_call = pytest.mark.parametrize("name", CALLS)


def failure(call: Call, backend: S3Backend) -> HoldfastError:
    """What a call raises."""
    with pytest.raises(HoldfastError) as caught:
        call(backend)
    return caught.value


@every_call
@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"access_key": "nobody-at-all"}, "does not know the access key"),
        ({"secret_key": "hush-hush-hush"}, "the secret key does not fit the access key"),
    ],
    ids=["access key", "secret key"],
)
def test_wrong_key_is_told_by_every_call(
    s3_server: s3.Server, wrong: dict[str, str], said: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Which of the two is wrong, and nothing of the secret: neither in errors nor in logs."""
    caplog.set_level(logging.DEBUG)
    credentials = replace(s3_server.credentials, **wrong)
    error = failure(CALLS[name], S3Backend(s3_server.place, credentials))
    assert type(error) is BackendError
    # There are stores that do not tell wrong keys from missing rights.
    assert said in error.reason or (s3_server.name == "given" and "denies access" in error.reason)
    assert s3_server.place.endpoint in error.reason
    assert not error.temporary
    shown = "".join(traceback.format_exception(error)) + caplog.text
    assert credentials.secret_key not in shown
    assert s3_server.credentials.secret_key not in shown


@every_call
def test_bucket_that_is_not_there_is_no_empty_store(s3_server: s3.Server, name: str) -> None:
    """Neither is a blob missing in it, nor does a list of it end."""
    backend = S3Backend(s3_server.place._replace(bucket="another-bucket"), s3_server.credentials)
    error = failure(CALLS[name], backend)
    assert type(error) is BackendError
    assert "has no bucket another-bucket" in error.reason
    assert not error.temporary


@every_call
@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_that_differ_are_told_with_both_times(
    minio: s3.Running, monkeypatch: pytest.MonkeyPatch, name: str, hours: int
) -> None:
    """Who reads it sees which of them is wrong."""
    wrong = timedelta(hours=hours)
    monkeypatch.setattr(client_time, "utcnow", lambda: datetime.now(UTC) + wrong)
    monkeypatch.setattr(s3_errors, "_now", lambda: datetime.now(UTC) + wrong)
    error = failure(CALLS[name], minio.backend())
    assert type(error) is BackendError
    assert not error.temporary
    assert "the clocks differ" in error.reason
    here, there = (
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        for text in (error.reason.partition("here it is ")[2][:20], error.reason.partition("there ")[2][:20])
    )
    assert abs(here - there - wrong) < timedelta(minutes=1)
    assert abs(there - datetime.now(UTC)) < timedelta(minutes=1)


@every_call
def test_store_that_is_not_there_is_a_temporary_error(name: str) -> None:
    """Nobody listens at the port."""
    place = Place("bucket", endpoint="http://127.0.0.1:9")
    error = failure(CALLS[name], S3Backend(place, s3.CREDENTIALS))
    assert type(error) is BackendError
    assert error.temporary
    assert error.reason == "http://127.0.0.1:9 does not answer: Connection refused"


def test_name_that_nobody_knows_is_told() -> None:
    """A typing mistake in the endpoint, most of the time; the name server may also be away for a moment."""
    place = Place("bucket", endpoint="http://no-such-host.invalid")
    error = failure(CALLS["head"], S3Backend(place, s3.CREDENTIALS))
    assert "its name is not known" in str(error)


def test_plain_http_at_a_tls_port_and_the_other_way_round(tmp_path: Path, minio: s3.Running) -> None:
    """Both fail with an error of the product."""
    place = minio.place._replace(endpoint=minio.place.endpoint.replace("http:", "https:"))
    assert type(failure(CALLS["head"], S3Backend(place, minio.credentials))) is BackendError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of few mebibytes, where this machine lets us mount one."""
    with tmpfs(tmp_path / "small", 32 * MIB) as folder:
        yield folder


@pytest.mark.parametrize("name", [name for name in s3.present() if name in ("minio", "versitygw", "rclone")])
def test_full_store_is_storage_full(small_disk: Path, name: str) -> None:
    """Nothing of the put is seen; what is there can be read and deleted."""
    with s3.Running(name, small_disk / "objects") as server:
        # MinIO sometimes ceases to read and says that the body was cut off; asked again it says why.
        backend = server.backend(again=Attempts(Circuit()).run)
        stored = 0
        try:
            for stored in range(20):
                backend.put(f"packs/1/{stored:02}", [noise(4 * MIB, seed=stored)])
            pytest.fail("80 MiB found room on 32")
        except StorageFull:
            pass
        assert backend.head(f"packs/1/{stored:02}") is None
        assert [blob.key for blob in backend.list("")] == [f"packs/1/{number:02}" for number in range(stored)]
        for number in range(stored):
            assert backend.get(f"packs/1/{number:02}", 0, 4 * MIB) == noise(4 * MIB, seed=number)
            backend.delete(f"packs/1/{number:02}")
        if stored:
            backend.put("packs/2/1", [b"x"])


def test_missing_blob_is_missing_where_the_bucket_is(s3_server: s3.Server) -> None:
    """The other side of the tests above."""
    backend = s3_server.backend()
    assert backend.head("packs/1/1") is None
    with pytest.raises(BlobMissing):
        backend.get("packs/1/1", 0, 1)


def test_probe_leaves_nothing(s3_server: s3.Server) -> None:
    """And finds nothing wrong."""
    backend = s3_server.backend()
    backend.probe()
    assert list(backend.list("")) == []

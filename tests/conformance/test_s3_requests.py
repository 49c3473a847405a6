"""What the S3 backend asks of a store, and that it touches nothing else in the bucket."""

from __future__ import annotations

import io
import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.backends import s3_client
from appliance.backends.s3 import S3Backend
from appliance.backends.s3_place import Place
from appliance.errors import BackendError
from tests.support import s3
from tests.support.certificates import Certified
from tests.support.content import MIB, noise
from tests.support.faults import in_threads


def names(server: s3.Server) -> set[str]:
    """Everything in the bucket."""
    return {str(found.object_name) for found in server.client().list_objects(server.place.bucket, recursive=True)}


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, str]]]:
    """Method, URL and headers of all requests; they are still made."""
    made: list[tuple[str, str, dict[str, str]]] = []
    real = s3_client._Pool.urlopen

    def urlopen(pool: Any, method: str, url: str, **named: Any) -> Any:
        made.append((method, url, dict(named["headers"])))
        return real(pool, method, url, **named)

    monkeypatch.setattr(s3_client._Pool, "urlopen", urlopen)
    return made


def test_names_beside_the_prefix_stay_untouched(s3_server: s3.Server) -> None:
    """Neither listed, nor read, nor deleted: whatever begins alike or lies above."""
    backend = s3_server.backend("ours")
    client = s3_server.client()
    others = {f"{s3_server.place.prefix}{name}" for name in ("a", "ours-too/a", "our", "oursa", "a/b")} - {
        f"{s3_server.place.prefix}a"
    }
    for name in others:
        client.put_object(s3_server.place.bucket, name, io.BytesIO(b"theirs"), 6)
    for key in ("a", "b/c"):
        backend.put(key, [b"ours"])
    assert [blob.key for blob in backend.list("")] == ["a", "b/c"]
    for blob in list(backend.list("")):
        backend.delete(blob.key)
    for key in ("ours-too/a", "our", "a/b", "oursa"):
        assert backend.head(key) is None
        backend.delete(key)
    assert others <= names(s3_server)
    for name in others:
        client.remove_object(s3_server.place.bucket, name)


def test_place_without_a_prefix_is_the_whole_bucket(s3_server: s3.Server) -> None:
    """Keys are names then."""
    if s3_server.place.prefix:
        pytest.skip("the store that was given is used below a prefix")
    backend = S3Backend(s3_server.place, s3_server.credentials)
    backend.put("whole-bucket/key", [b"x"])
    assert "whole-bucket/key" in names(s3_server)
    assert [blob.key for blob in backend.list("whole-bucket")] == ["whole-bucket/key"]
    backend.delete("whole-bucket/key")


def test_marks_of_folders_are_no_blobs(minio: s3.Running) -> None:
    """Consoles put empty objects that end with a slash."""
    backend = minio.backend()
    for name in ("", "packs/"):
        minio.client().put_object(s3.BUCKET, backend.place.prefix + name, io.BytesIO(b""), 0)
    backend.put("packs/1/1", [b"x"])
    assert [blob.key for blob in backend.list("")] == ["packs/1/1"]


@pytest.mark.parametrize("count", [2_500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_thousands_of_blobs_are_listed_in_their_order(s3_server: s3.Server, count: int) -> None:
    """Over the pages of 1,000 that stores give out; also from the middle of them."""
    backend = s3_server.backend()
    keys = sorted(f"packs/{number % 97:08x}/{number:08x}" for number in range(count))
    in_threads(8, lambda thread: [backend.put(key, [b"x"]) for key in keys[thread::8]], seconds=110)
    assert [blob.key for blob in backend.list("")] == keys
    part = [key for key in keys if key.startswith("packs/0000001")]
    assert [blob.key for blob in backend.list("packs/0000001")] == part


def test_put_is_one_request_whatever_its_size(minio: s3.Running, requests: list[tuple[str, str, Any]]) -> None:
    """No upload in parts, of which a failure would leave some; the length is known ahead."""
    backend = minio.backend()
    # The first large one asks first what the store knows.
    backend.put("packs/1/1", [noise(MIB)])
    for size in (0, 1, 5 * MIB + 1, 33 * MIB):
        requests.clear()
        backend.put("packs/1/1", [noise(size)])
        assert [(method, url) for method, url, _ in requests] == [
            ("PUT", f"{minio.place.endpoint}/{s3.BUCKET}/{backend.place.prefix}packs/1/1")
        ]


def test_calls_that_are_needed_are_the_documented_ones(minio: s3.Running, requests: list[tuple[str, str, Any]]) -> None:
    """No look at the bucket, its region or its policy."""
    backend = minio.backend()
    backend.probe()
    list(backend.list("packs/"))
    assert backend.head("packs/1/1") is None
    asked = {(method, "list-type=2" in url) for method, url, _ in requests}
    assert asked == {("PUT", False), ("GET", False), ("GET", True), ("HEAD", False), ("DELETE", False)}


def test_encryption_is_asked_for_where_it_is_set(minio: s3.Running) -> None:
    """By AES256 and by a key of the store's own; else by no header."""
    for sse, key in (("", ""), ("AES256", ""), ("aws:kms", ""), ("aws:kms", s3.KMS_KEY)):
        place = minio.place._replace(prefix="sse/", sse=sse, sse_key=key)
        backend = S3Backend(place, minio.credentials)
        backend.put("a", [b"secret"])
        headers = minio.client().stat_object(s3.BUCKET, "sse/a").metadata or {}
        assert headers.get("x-amz-server-side-encryption", "") == sse
        assert str(headers.get("x-amz-server-side-encryption-aws-kms-key-id", "")).endswith(key)
        assert backend.get("a", 2, 3) == b"cre"
        backend.delete("a")


def test_bucket_stands_in_the_host_or_in_the_path(
    minio: s3.Running, monkeypatch: pytest.MonkeyPatch, requests: list[tuple[str, str, Any]]
) -> None:
    """Both styles reach the same blobs."""
    real = socket.getaddrinfo

    def resolve(host: Any, *others: Any, **named: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(s3.DOMAIN) else host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    by_path = minio.backend("style")
    place = by_path.place._replace(endpoint=f"http://{s3.DOMAIN}:{minio.port}", style="virtual")
    by_host = S3Backend(place, minio.credentials)
    by_host.put("a/b", [b"content"])
    assert requests[-1][1] == f"http://{s3.BUCKET}.{s3.DOMAIN}:{minio.port}/style/a/b"
    assert by_path.get("a/b", 0, 7) == b"content"
    assert requests[-1][1] == f"{minio.place.endpoint}/{s3.BUCKET}/style/a/b"
    assert [blob.key for blob in by_host.list("a")] == ["a/b"]
    by_host.probe()
    by_host.delete("a/b")
    assert by_path.head("a/b") is None


@pytest.mark.parametrize(
    "place, url",
    [
        (Place("bucket", "p/", region="eu-west-1", style="virtual"), "https://bucket.s3.eu-west-1.amazonaws.com/p/a"),
        (Place("bucket", "p/", region="eu-west-1"), "https://s3.eu-west-1.amazonaws.com/bucket/p/a"),
    ],
)
def test_without_an_endpoint_it_is_aws(
    monkeypatch: pytest.MonkeyPatch, requests: list[tuple[str, str, Any]], place: Place, url: str
) -> None:
    """By the address alone, which nothing here may reach."""

    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(BackendError, match="AWS S3 in eu-west-1 does not answer: its name is not known"):
        S3Backend(place, s3.CREDENTIALS).get("a", 0, 1)
    assert [asked[1] for asked in requests] == [url]


def test_session_token_goes_along(minio: s3.Running, requests: list[tuple[str, str, dict[str, str]]]) -> None:
    """A store that does not know it says so."""
    credentials = s3.Credentials(s3.CREDENTIALS.access_key, s3.CREDENTIALS.secret_key, "some-token")
    with pytest.raises(BackendError) as caught:
        S3Backend(minio.place, credentials).get("a", 0, 1)
    assert requests[0][2]["X-Amz-Security-Token"] == "some-token"
    assert "token" in caught.value.reason
    assert "some-token" not in str(caught.value)


@pytest.fixture
def authority(tmp_path: Path) -> Certified:
    """A certificate for 127.0.0.1, laid out as MinIO wants it."""
    made = Certified.make(tmp_path)
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "public.crt").write_bytes(made.files.certificate.read_bytes())
    (folder / "private.key").write_bytes(made.files.key.read_bytes())
    return made


def test_tls_is_used_and_trusts_what_the_system_trusts(
    tmp_path: Path, authority: Certified, monkeypatch: pytest.MonkeyPatch, requests: list[tuple[str, str, Any]]
) -> None:
    """An unknown authority is refused with a reason; over TLS a small body carries MD5, as the client does it."""
    if "minio" in s3.absent():
        pytest.skip(s3.absent()["minio"])
    server = s3.Running("minio", tmp_path / "objects", tls=tmp_path / "certs")
    server.start()
    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.files.root))
        server.make_bucket()
        trusting = server.backend()
        trusting.probe()
        trusting.put("big", [noise(9 * MIB)])
        assert trusting.get("big", MIB, 8 * MIB) == noise(9 * MIB)[MIB:]
        trusting.put("small", [noise(MIB - 1)])
        small, big = (
            next(headers for method, url, headers in requests if method == "PUT" and url.endswith(name))
            for name in ("/small", "/big")
        )
        assert small["x-amz-content-sha256"] == big["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert "Content-MD5" in small
        assert "Content-MD5" not in big
        assert big["x-amz-checksum-crc32c"]
        monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
        with pytest.raises(BackendError, match=r"the certificate of https://127.0.0.1:.* is not trusted") as caught:
            server.backend().head("a")
        assert not caught.value.temporary
    finally:
        server.kill()


def _child(read: Callable[[], bytes], answers: Any) -> None:
    answers.put(read())


def test_backend_is_usable_on_both_sides_of_a_fork(minio: s3.Running) -> None:
    """No connection is shared: each process has its own."""
    backend = minio.backend()
    backend.put("a", [noise(MIB)])
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [
        context.Process(target=_child, args=(lambda: backend.get("a", 0, MIB), answers), daemon=True) for _ in range(3)
    ]
    for child in children:
        child.start()
    assert all(backend.get("a", 0, MIB) == noise(MIB) for _ in range(20))
    assert [answers.get(timeout=30) for _ in children] == [noise(MIB)] * 3
    for child in children:
        child.join(20)


def test_connections_are_bounded(minio: s3.Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads share few; who gets none in time is told so."""
    made: list[Any] = []
    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda own, address: (made.append(address), real(own, address))[1])
    backend = minio.backend(limits=s3.Limits(connections=3))
    in_threads(24, lambda number: [backend.put(f"{number}/{turn}", [noise(50_000)]) for turn in range(5)])
    assert 1 <= len([address for address in made if address[1] == minio.port]) <= 3
